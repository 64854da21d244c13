//! Asks a process for its board, over HTTP at an address or at a socket.

use std::io;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::http::header::HOST;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time;

use super::super::listen::Address;
use super::super::listen::board::Board;

/// How long a question may take, and how long its answer may be.
const LIMIT: Duration = Duration::from_secs(3);
const BYTES: usize = 4 << 20;

/// The part of `/status.json` that is shown.
#[derive(Deserialize)]
struct Status {
    board: Board,
}

/// The board, as it is now.
///
/// # Errors
/// Why there is none, as a sentence.
pub(super) async fn board(address: &Address) -> Result<Board, String> {
    let asked = async {
        match address {
            Address::Tcp(address) => asked(TcpStream::connect(address).await).await,
            Address::Unix(path) => asked(UnixStream::connect(path).await).await,
        }
    };
    let answer = time::timeout(LIMIT, asked).await;
    let bytes = answer.unwrap_or_else(|_| Err(format!("no answer within {} s", LIMIT.as_secs())));
    let bytes = bytes.map_err(|why| {
        format!(
            "{address}: {why}; name where a process listens (its --listen) with --connect, 127.0.0.1:7677 or unix:PATH"
        )
    })?;
    let status: Status = serde_json::from_slice(&bytes)
        .map_err(|e| format!("{address}: the answer is not that of a rosey of this version: {e}"))?;
    Ok(status.board)
}

async fn asked<S>(stream: io::Result<S>) -> Result<Vec<u8>, String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let stream = stream.map_err(|e| e.to_string())?;
    let failed = |e: hyper::Error| e.to_string();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let connection = tokio::spawn(connection);
    let request = Request::get("/status.json").header(HOST, "rosey").body(Body::empty());
    let request = request.map_err(|e| e.to_string())?;
    let answer = sender.send_request(request).await.map_err(failed)?;
    let code = answer.status();
    let body = to_bytes(Body::new(answer.into_body()), BYTES).await.map_err(|e| e.to_string());
    connection.abort();
    if !code.is_success() {
        return Err(format!("/status.json answers {code}"));
    }
    body.map(|bytes| bytes.to_vec())
}
