//! Waiting for SQLite's thread without going to sleep at once.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use tokio::task;

/// For how long: a small transaction is over by then. A large one takes milliseconds, and is slept through.
const AWAKE: Duration = Duration::from_micros(120);
/// The most waits in a row that are slept through.
const MOST: u32 = 16;

/// Stays awake for a transaction that is likely to be over in a moment.
///
/// SQLite's thread reports the end of every statement. To wake a sleeper is a system call, which that thread makes in the
/// middle of the transaction; and a thread that was asleep takes its time to come. While we look by ourselves, in between
/// letting other tasks run, no thread is woken: that saves a third of the time of a single operation. Where it was in vain
/// (a large transaction, a slow disk, no core to spare) the next ones are slept through, twice as many each time.
#[derive(Debug, Default)]
pub(super) struct AdaptiveSpin {
    /// How many are to be slept through.
    skip: u32,
    /// How often in a row it was in vain.
    vain: u32,
}

impl AdaptiveSpin {
    /// Waits for `future`. Cancel safe if the future is.
    pub(super) async fn wait<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        if self.skip > 0 {
            self.skip -= 1;
            return future.await;
        }
        let since = Instant::now();
        while since.elapsed() < AWAKE {
            let looked = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            if let Poll::Ready(output) = looked {
                self.vain = 0;
                return output;
            }
            // SQLite's thread may be waiting for this very core.
            thread::yield_now();
            task::yield_now().await;
        }
        self.vain = (self.vain + 1).min(6);
        self.skip = ((1 << self.vain) / 4).min(MOST);
        // With a waker from here on: the future was polled without one before.
        poll_fn(|cx| future.as_mut().poll(cx)).await
    }
}
