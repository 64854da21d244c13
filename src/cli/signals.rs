//! SIGINT and SIGTERM: the first one asks for an end in order, the second one ends at once.

use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// A switch that turns true with the first signal. A second one ends the process.
pub(super) fn shutdown() -> watch::Receiver<bool> {
    let (tx, rx) = watch::channel(false);
    tokio::spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            tracing::error!("signals cannot be caught: an interrupt will end this process at once");
            return std::future::pending().await;
        };
        let mut first: Option<Instant> = None;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            match first {
                None => {
                    tracing::info!("told to stop; tell me again to stop at once");
                    first = Some(Instant::now());
                    let _ = tx.send(true);
                }
                // Some tools signal the process and its group: that is one word, said twice.
                Some(told) if told.elapsed() < Duration::from_millis(500) => {}
                Some(_) => {
                    tracing::warn!("told twice: ending at once");
                    std::process::exit(130);
                }
            }
        }
    });
    rx
}

/// Waits for the switch.
pub(super) async fn told(mut shutdown: watch::Receiver<bool>) {
    // A sender that is gone could not catch signals: then there is nothing to wait for but the default action.
    if shutdown.wait_for(|told| *told).await.is_err() {
        std::future::pending::<()>().await;
    }
}
