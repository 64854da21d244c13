//! Ports for servers, each held by one test of one process for as long as it lives.

use std::fs::{File, TryLockError};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the range from which systems take the near end of outgoing connections: a client that tries a closed port of
/// that range again and again may in the end connect to itself.
const FIRST: u16 = 20_000;
const COUNT: u32 = 10_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A free port. A lock beside it keeps it ours while its server is down.
#[derive(Debug)]
pub struct Port {
    /// Its number.
    pub number: u16,
    _lock: File,
}

impl Port {
    /// Takes a free port of the range 20000 to 29999, which systems do not give to outgoing connections.
    pub fn reserve() -> Self {
        let locks = std::env::temp_dir().join("eitherway-test-ports");
        std::fs::create_dir_all(&locks).unwrap();
        for _ in 0..COUNT {
            let turn = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(std::process::id().wrapping_mul(97));
            let number = FIRST + u16::try_from(turn % COUNT).unwrap();
            let lock =
                File::options().create(true).write(true).truncate(false).open(locks.join(number.to_string()));
            // A file of another user cannot be opened: that port is taken.
            let Ok(lock) = lock else { continue };
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(e)) => panic!("locking a port: {e}"),
            }
            if TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Self { number, _lock: lock };
            }
        }
        panic!("no free port");
    }
}
