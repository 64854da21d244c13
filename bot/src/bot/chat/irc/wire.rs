//! A connection as lines.

use std::time::Duration;

use tokio::io::{AsyncWriteExt, BufReader, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::super::lines::{Lines, Next};
use super::super::link::Ended;
use super::super::link::tcp::Stream;
use super::message::LONGEST_LINE;

/// How long lines may take to be written.
const WRITES: Duration = Duration::from_secs(30);
/// Lines that were read and not looked at. With that many, no more are read.
const READ_AHEAD: usize = 64;

/// Lines in, lines out.
pub(super) struct Wire {
    lines: mpsc::Receiver<Result<Vec<u8>, String>>,
    reader: JoinHandle<()>,
    output: WriteHalf<Box<dyn Stream>>,
}

impl Wire {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        let (input, output) = tokio::io::split(stream);
        let (read, lines) = mpsc::channel(READ_AHEAD);
        Self { lines, reader: tokio::spawn(read_all(input, read)), output }
    }

    /// The next line. Cancel safe.
    pub(super) async fn read(&mut self) -> Result<Vec<u8>, Ended> {
        match self.lines.recv().await {
            Some(Ok(line)) => Ok(line),
            Some(Err(reason)) => Err(Ended::Lost(reason)),
            None => Err(Ended::Lost("the server has closed the connection".to_owned())),
        }
    }

    /// Writes lines. Not cancel safe: a line may be written in part.
    pub(super) async fn write(&mut self, lines: &[String]) -> Result<(), Ended> {
        let mut bytes = Vec::new();
        for line in lines {
            bytes.extend_from_slice(line.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        let written = timeout(WRITES, async {
            self.output.write_all(&bytes).await?;
            self.output.flush().await
        });
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Ended::Lost(error.to_string())),
            Err(_) => Err(Ended::Lost(format!("the server takes nothing any more since {WRITES:?}"))),
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Reads to the end. A line longer than a server may send is skipped.
async fn read_all(input: ReadHalf<Box<dyn Stream>>, read: mpsc::Sender<Result<Vec<u8>, String>>) {
    let mut lines = Lines::new(BufReader::new(input), LONGEST_LINE);
    loop {
        let line = match lines.next().await {
            Ok(Next::Line(line)) => Ok(line.to_vec()),
            Ok(Next::TooLong) => continue,
            Ok(Next::End) => return,
            Err(error) => Err(error.to_string()),
        };
        let is_end = line.is_err();
        if read.send(line).await.is_err() || is_end {
            return;
        }
    }
}
