use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// Reads lines of bounded length. A line that is too long is skipped without being kept in memory.
pub(super) struct Lines<R> {
    input: R,
    longest: usize,
    line: Vec<u8>,
    number: u64,
    position: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<'a> {
    /// A line, without its line ending.
    Line(&'a [u8]),
    /// A line that is too long.
    TooLong,
    End,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) const fn new(input: R, longest: usize) -> Self {
        Self { input, longest, line: Vec::new(), number: 0, position: 0 }
    }

    /// The number of the last line, starting at 1.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// Bytes read so far.
    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.line.capacity()
    }

    /// Reads the next line. Not cancel safe: a partly read line is lost with the future.
    pub(super) async fn next(&mut self) -> io::Result<Next<'_>> {
        self.line.clear();
        let (mut too_long, mut any) = (false, false);
        loop {
            let chunk = match self.input.fill_buf().await {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                chunk => chunk?,
            };
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let text = &chunk[..end.unwrap_or(chunk.len())];
            let at_end = chunk.is_empty();
            any |= !at_end;
            too_long |= self.line.len() + text.len() > self.longest;
            if !too_long {
                self.line.extend_from_slice(text);
            }
            let read = text.len() + usize::from(end.is_some());
            self.input.consume(read);
            self.position += read as u64;
            if end.is_some() || at_end {
                break;
            }
        }
        if !any {
            return Ok(Next::End);
        }
        self.number += 1;
        Ok(if too_long { Next::TooLong } else { Next::Line(&self.line) })
    }
}
