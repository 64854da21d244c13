use std::io;

use futures_util::future::{BoxFuture, FutureExt};
use serde::Serialize;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;

use super::super::{ChatSender, Unsent};

/// A sender that writes JSON lines: `{"say":…}` and `{"pm":{"user":…,"content":…}}`.
///
/// Every line is flushed. A writer that fails (a closed pipe) causes a transient error. If a future is
/// dropped in the middle of a line, the next message starts on a new line.
#[derive(Debug)]
pub struct JsonlSender<W> {
    output: Mutex<Output<W>>,
}

#[derive(Debug)]
struct Output<W> {
    writer: W,
    torn: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Said<'a> {
    Say(&'a str),
    Pm { user: &'a str, content: &'a str },
}

impl<W: AsyncWrite + Send + Unpin> JsonlSender<W> {
    /// A sender that writes to `writer`.
    pub fn new(writer: W) -> Self {
        Self { output: Mutex::new(Output { writer, torn: false }) }
    }

    async fn write(&self, said: Said<'_>) -> Result<(), Unsent> {
        let mut line = serde_json::to_vec(&said).map_err(|error| Unsent::permanent(error.to_string()))?;
        line.push(b'\n');
        let mut output = self.output.lock().await;
        output.line(&line).await.map_err(unsent)
    }
}

impl<W: AsyncWrite + Unpin> Output<W> {
    async fn line(&mut self, line: &[u8]) -> io::Result<()> {
        if std::mem::replace(&mut self.torn, true) {
            self.writer.write_all(b"\n").await?;
        }
        self.writer.write_all(line).await?;
        self.writer.flush().await?;
        self.torn = false;
        Ok(())
    }
}

fn unsent(error: io::Error) -> Unsent {
    Unsent::transient(format!("the output cannot be written: {error}"))
}

impl<W: AsyncWrite + Send + Unpin> ChatSender for JsonlSender<W> {
    fn say<'a>(&'a self, text: &'a str) -> BoxFuture<'a, Result<(), Unsent>> {
        self.write(Said::Say(text)).boxed()
    }

    fn pm<'a>(&'a self, user: &'a str, text: &'a str) -> BoxFuture<'a, Result<(), Unsent>> {
        self.write(Said::Pm { user, content: text }).boxed()
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), Unsent>> {
        async { self.output.lock().await.writer.flush().await.map_err(unsent) }.boxed()
    }
}
