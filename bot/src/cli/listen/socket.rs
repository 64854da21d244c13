//! The socket of the endpoints: bound, accepted from, and taken away at the end.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as Connection;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

use super::address::Address;

/// Who may connect: the user of this process and its group.
const MODE: u32 = 0o660;

/// A socket that listens.
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix { listener: UnixListener, path: PathBuf, inode: u64 },
}

/// A connection.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Socket {
    /// Binds it. A socket that a process has left behind, which has ended without taking it away, is replaced.
    ///
    /// # Errors
    /// Why not, as the end of a sentence.
    pub(super) async fn bind(address: &Address) -> Result<Self, String> {
        match address {
            Address::Tcp(address) => {
                TcpListener::bind(address).await.map(Self::Tcp).map_err(|e| match e.kind() {
                    io::ErrorKind::AddrInUse => {
                        "another program listens there; stop it, or name another port".to_owned()
                    }
                    io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
                    _ => e.to_string(),
                })
            }
            Address::Unix(path) => unix(path),
        }
    }

    /// Where it listens: the port too, if that was left to the system.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Tcp(listener) => {
                listener.local_addr().map_or_else(|e| e.to_string(), |address| format!("http://{address}"))
            }
            Self::Unix { path, .. } => Address::Unix(path.clone()).to_string(),
        }
    }

    /// The next connection. Cancel safe.
    pub(super) async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(listener) => Box::new(listener.accept().await?.0),
            Self::Unix { listener, .. } => Box::new(listener.accept().await?.0),
        })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Self::Unix { path, inode, .. } = self
            && fs::symlink_metadata(&*path).is_ok_and(|now| now.ino() == *inode)
        {
            let _ = fs::remove_file(path);
        }
    }
}

fn unix(path: &Path) -> Result<Socket, String> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err("there is a file that is no socket; name another path".to_owned());
        }
        Ok(_)
            if Connection::connect(path)
                .map_or_else(|e| e.kind() != io::ErrorKind::ConnectionRefused, |_| true) =>
        {
            return Err("another process listens there; stop it, or name another path".to_owned());
        }
        _ => {}
    }
    // Bound beside it and moved there with its mode: no client can connect before.
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let bound = || {
        let listener = UnixListener::bind(&beside)?;
        fs::set_permissions(&beside, Permissions::from_mode(MODE))?;
        let inode = fs::symlink_metadata(&beside)?.ino();
        fs::rename(&beside, path)?;
        Ok(Socket::Unix { listener, path: path.to_owned(), inode })
    };
    bound().map_err(|e: io::Error| {
        let _ = fs::remove_file(&beside);
        match e.kind() {
            io::ErrorKind::NotFound => "its directory is not there".to_owned(),
            _ => e.to_string(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &Path) -> Address {
        Address::Unix(path.to_owned())
    }

    #[tokio::test]
    async fn a_socket_is_private_and_gone_at_the_end_and_one_that_is_used_is_left() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("rosey.sock");
        let first = Socket::bind(&at(&path)).await.expect("bound");
        assert_eq!(fs::metadata(&path).expect("a socket").permissions().mode() & 0o777, MODE);
        let refused = Socket::bind(&at(&path)).await.err().expect("in use");
        assert!(refused.contains("another process"), "{refused}");
        drop(first);
        assert!(!path.exists(), "taken away");
        assert_eq!(
            fs::read_dir(dir.path()).expect("a directory").count(),
            0,
            "and nothing is left beside it"
        );
    }

    #[tokio::test]
    async fn what_a_process_left_is_replaced_and_a_file_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("rosey.sock");
        // The standard library's does not take it away.
        drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
        assert!(path.exists());
        drop(Socket::bind(&at(&path)).await.expect("replaced"));
        fs::write(&path, "notes").expect("a file");
        let refused = Socket::bind(&at(&path)).await.err().expect("a file is there");
        assert!(refused.contains("no socket"), "{refused}");
        assert_eq!(fs::read_to_string(&path).expect("a file"), "notes");
    }
}
