//! Signals. SIGINT and SIGTERM: the first one asks for an end in order, the second one ends at once. SIGHUP: a command
//! that runs for long reads its configuration and opens its log again.

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::reload;

/// Cancelled by the first signal. A second one ends the process.
pub(super) fn shutdown() -> CancellationToken {
    let interrupt = signal(SignalKind::interrupt()).ok();
    stopped_by([interrupt, signal(SignalKind::terminate()).ok(), None])
}

/// The same for a command with processes of its own: they must not outlive it when its terminal is closed.
pub(super) fn shutdown_with_terminal() -> CancellationToken {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    stopped_by(kinds.map(|kind| signal(kind).ok()))
}

fn stopped_by([mut interrupt, mut terminate, mut hangup]: [Option<Signal>; 3]) -> CancellationToken {
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::spawn(async move {
        if interrupt.is_none() || terminate.is_none() {
            tracing::error!("cannot catch signals: SIGINT and SIGTERM end this process without draining");
        }
        let mut first: Option<Instant> = None;
        loop {
            tokio::select! {
                () = heard(&mut interrupt) => {}
                () = heard(&mut terminate) => {}
                () = heard(&mut hangup) => {}
            }
            match first {
                None => {
                    tracing::info!("shutting down; press Ctrl-C again to exit immediately");
                    first = Some(Instant::now());
                    stopping.cancel();
                }
                // Some tools signal the process and its group: that is one word, said twice.
                Some(first) if first.elapsed() < Duration::from_millis(500) => {}
                Some(_) => {
                    tracing::warn!("second signal: exiting immediately");
                    std::process::exit(130);
                }
            }
        }
    });
    stop
}

/// What must not end a command that runs for long, from its first moment to its last: SIGHUP, SIGUSR1, SIGUSR2 and, where its
/// number is known, SIGXFSZ. One that comes before the command is set up waits for that.
pub(super) struct Caught {
    hangup: Option<Signal>,
    unused: [Option<Signal>; 2],
    too_large: Option<Signal>,
}

/// SIGXFSZ: a write would make a file larger than this process may (`ulimit -f`). Caught, it is an error of that write.
const TOO_LARGE: Option<i32> =
    if cfg!(any(target_arch = "mips", target_arch = "mips64")) { None } else { Some(25) };

impl Caught {
    /// Catches them.
    pub(super) fn new(runtime: &Runtime) -> Self {
        let _within = runtime.enter();
        let unused = [SignalKind::user_defined1(), SignalKind::user_defined2()];
        Self {
            hangup: signal(SignalKind::hangup()).ok(),
            unused: unused.map(|kind| signal(kind).ok()),
            too_large: TOO_LARGE.and_then(|number| signal(SignalKind::from_raw(number)).ok()),
        }
    }

    /// From now on SIGHUP reloads, SIGUSR1 and SIGUSR2 do nothing, and SIGXFSZ is an error of the write that it came of.
    pub(super) fn stay(self, runtime: &Runtime) {
        let Self { mut hangup, unused, mut too_large } = self;
        // The writer names the file, and continues with it.
        runtime.spawn(async move {
            heard(&mut too_large).await;
            tracing::error!(
                "a file has reached the largest size that this process may write (ulimit -f, LimitFSIZE= of systemd): raise \
                 that limit"
            );
        });
        runtime.spawn(async move {
            loop {
                heard(&mut hangup).await;
                // Files may be slow; a signal that comes meanwhile is heard after that.
                if tokio::task::spawn_blocking(reload::now).await.is_err() {
                    tracing::error!("SIGHUP: the reload failed; the previous configuration stays in force");
                }
            }
        });
        for mut signal in unused {
            runtime.spawn(async move {
                loop {
                    heard(&mut signal).await;
                    tracing::debug!("SIGUSR1 and SIGUSR2 have no meaning here, and are ignored");
                }
            });
        }
    }
}

/// Waits for the next one; indefinitely if it cannot be caught.
async fn heard(signal: &mut Option<Signal>) {
    let heard = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if heard.is_none() {
        std::future::pending::<()>().await;
    }
}
