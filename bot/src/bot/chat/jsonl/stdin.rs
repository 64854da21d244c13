use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::mpsc;

const CHUNK: usize = 64 * 1024;

/// Reads the standard input on a detached thread: a read that blocks on a terminal or an idle pipe must not
/// keep the process alive after the bot has stopped.
pub(super) fn read() -> Threaded {
    threaded(io::stdin())
}

fn threaded(mut input: impl Read + Send + 'static) -> Threaded {
    let (chunks, read) = mpsc::channel(2);
    let started = std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        loop {
            let mut chunk = vec![0; CHUNK];
            let (sent, last) = match input.read(&mut chunk) {
                Ok(0) => return,
                Ok(length) => {
                    chunk.truncate(length);
                    (chunks.blocking_send(Ok(chunk)), false)
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => (chunks.blocking_send(Err(error)), true),
            };
            if sent.is_err() || last {
                return;
            }
        }
    });
    Threaded { chunks: read, chunk: Vec::new(), taken: 0, failed: started.err() }
}

/// See [`read`].
pub(super) struct Threaded {
    chunks: mpsc::Receiver<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    taken: usize,
    failed: Option<io::Error>,
}

impl AsyncRead for Threaded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        if self.taken == self.chunk.len() {
            match ready!(self.chunks.poll_recv(cx)) {
                Some(chunk) => (self.chunk, self.taken) = (chunk?, 0),
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = into.remaining().min(self.chunk.len() - self.taken);
        into.put_slice(&self.chunk[self.taken..self.taken + length]);
        self.taken += length;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("unplugged"))
        }
    }

    #[tokio::test]
    async fn a_thread_hands_over_everything_and_then_the_end_or_the_error() {
        let sent: Vec<u8> = (0..3 * CHUNK + 17).map(|place| place as u8).collect();
        let mut read = Vec::new();
        threaded(io::Cursor::new(sent.clone())).read_to_end(&mut read).await.expect("read");
        assert!(read == sent);
        let error = threaded(Read::chain(io::Cursor::new(b"x"), Broken))
            .read_to_end(&mut read)
            .await
            .expect_err("broken");
        assert_eq!(error.to_string(), "unplugged");
    }
}
