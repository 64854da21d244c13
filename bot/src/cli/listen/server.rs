//! Answers over HTTP/1.1, one request a connection, within limits: a client can hold up neither this process nor, for
//! long, the next one who does.

use std::collections::VecDeque;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::task::AbortHandle;
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::socket::{Socket, Stream};

/// How many connections are served at once. One more ends the oldest, so that many that stall keep out none.
const CONNECTIONS: usize = 32;
/// How long the head of a request may be on its way, and how long the whole connection may last.
const HEAD: Duration = Duration::from_secs(2);
const WHOLE: Duration = Duration::from_secs(10);
/// How many bytes the head of a request may have, and how many lines. Its body is read only for an act.
const BYTES: usize = 16 << 10;
const LINES: usize = 64;
/// The pause after a connection that could not be accepted, because this process has no more files for one.
const PAUSE: Duration = Duration::from_millis(200);

/// Serves until it is told to stop; connections that are open then end.
pub(super) async fn serve(socket: Socket, router: Router, stop: CancellationToken) {
    let mut open: VecDeque<AbortHandle> = VecDeque::with_capacity(CONNECTIONS);
    let mut failing = false;
    loop {
        let Some(accepted) = stop.run_until_cancelled(socket.accept()).await else { return };
        let stream = match accepted {
            Ok(stream) => stream,
            Err(e) => {
                // Once, as long as it lasts.
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!("the endpoints accept no connection at present: {e}");
                }
                time::sleep(PAUSE).await;
                continue;
            }
        };
        failing = false;
        let (router, stop) = (router.clone(), stop.clone());
        open.retain(|one| !one.is_finished());
        if open.len() == CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let one = tokio::spawn(async move {
            stop.run_until_cancelled(time::timeout(WHOLE, answer(stream, router))).await;
        });
        open.push_back(one.abort_handle());
    }
}

async fn answer(stream: Box<dyn Stream>, router: Router) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(LINES)
        .max_buf_size(BYTES)
        .keep_alive(false);
    let served = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await;
    if let Err(e) = served {
        tracing::debug!("a connection to the endpoints: {e}");
    }
}
