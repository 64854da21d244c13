//! A websocket as text frames.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::super::link::Ended;
use super::super::link::tcp::Stream;

/// How long the server may take to open the websocket, and a frame to be written.
const OPENS: Duration = Duration::from_secs(15);
const WRITES: Duration = Duration::from_secs(30);
/// The longest message, in bytes. The longest that a server sends is a playlist of thousands of titles.
pub(super) const LONGEST: usize = 8 * 1024 * 1024;

/// A websocket.
pub(super) struct Socket(WebSocketStream<Box<dyn Stream>>);

impl Socket {
    /// Opens it over this connection.
    pub(super) async fn open(stream: Box<dyn Stream>, host: &str, port: u16) -> Result<Self, Ended> {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        // The connection is encrypted already, if it is.
        let url = format!("ws://{host}:{port}/socket.io/?EIO=4&transport=websocket");
        let opened = tokio_tungstenite::client_async_with_config(url, stream, Some(config()));
        match timeout(OPENS, opened).await {
            Ok(Ok((socket, _))) => Ok(Self(socket)),
            Ok(Err(error)) => Err(Ended::Lost(format!("no websocket: {error}"))),
            Err(_) => Err(Ended::Lost(format!("the server opens no websocket within {OPENS:?}"))),
        }
    }

    /// The next text. Cancel safe.
    pub(super) async fn read(&mut self) -> Result<Utf8Bytes, Ended> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Close(_))) | None => {
                    return Err(Ended::Lost("the server has closed the connection".to_owned()));
                }
                // Pings of the websocket are answered by the library; binary frames are never sent to us.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Ended::Lost(error.to_string())),
            }
        }
    }

    /// Writes a text. Not cancel safe: it may be written in part.
    pub(super) async fn write(&mut self, text: String) -> Result<(), Ended> {
        match timeout(WRITES, self.0.send(Message::text(text))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Ended::Lost(error.to_string())),
            Err(_) => Err(Ended::Lost(format!("the server takes nothing any more since {WRITES:?}"))),
        }
    }

    /// Says goodbye.
    pub(super) async fn close(&mut self) {
        let _ = timeout(Duration::from_secs(2), self.0.close(None)).await;
    }
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(LONGEST)).max_frame_size(Some(LONGEST))
}
