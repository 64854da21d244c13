//! The signals that ask a process to end.

use std::future::Future;
use std::io;

/// Waits for SIGTERM, or for Ctrl-C: what a service and a web server shut down on. From this call on, before the first poll,
/// neither ends the process any more. Where there is no SIGTERM, Ctrl-C alone counts.
///
/// # Errors
/// When the system does not let the process catch a signal.
///
/// # Panics
/// Outside a runtime of tokio.
pub fn shutdown_signal() -> io::Result<impl Future<Output = ()> + Send + use<>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        })
    }
    #[cfg(not(unix))]
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
