//! What the service manager is told (systemd, `Type=notify`): that this process is ready, that it is about to end, and that it
//! lives, as long as its writer does. Without `NOTIFY_SOCKET` nobody is told anything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use eitherway::Namespace;
use parking_lot::Mutex;
use sd_notify::NotifyState;
use tokio::time;
use tokio_util::sync::{CancellationToken, DropGuard};

/// For how long the writer of the database has not turned to its queue; none while no database is open here.
type Silence = Box<dyn Fn() -> Option<Duration> + Send + Sync>;

/// That of each room's, and of the database of a service.
type Silences = Mutex<BTreeMap<Namespace, Silence>>;

/// Tells the service manager. It ends when this is dropped.
pub(super) struct Supervisor {
    silences: Arc<Silences>,
    /// How many rooms are not ready yet.
    waits: AtomicUsize,
    stops: Arc<Stopping>,
    _end: Option<DropGuard>,
}

/// The end is told once, however soon this process ends: by whoever is first.
#[derive(Default)]
struct Stopping(AtomicBool);

impl Stopping {
    fn tell(&self) {
        if !self.0.swap(true, Ordering::Relaxed) {
            tell(&[NotifyState::Stopping]);
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stops.tell();
    }
}

impl Supervisor {
    pub(super) fn start(shutdown: &CancellationToken) -> Self {
        let silences = Arc::<Silences>::default();
        let stops = Arc::<Stopping>::default();
        let end = std::env::var_os("NOTIFY_SOCKET").is_some().then(|| {
            let (end, shutdown) = (CancellationToken::new(), shutdown.clone());
            let (ended, silent, stops) = (end.clone(), Arc::clone(&silences), Arc::clone(&stops));
            tokio::spawn(async move { ended.run_until_cancelled(run(shutdown, &silent, &stops)).await });
            end.drop_guard()
        });
        Self { silences, waits: AtomicUsize::new(1), stops, _end: end }
    }

    /// Sets how many rooms are to be ready before the process is: one, if nothing is said.
    pub(super) fn waits_for(&self, rooms: usize) {
        self.waits.store(rooms, Ordering::Relaxed);
    }

    /// The files are open, or there is a NATS server to wait for before one is made. However long it is away, that is no reason to
    /// start this process again.
    pub(super) fn ready(&self) {
        let one_less = |rooms: usize| rooms.checked_sub(1);
        if self.waits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) == Ok(1) {
            tell(&[NotifyState::Ready]);
        }
    }

    /// The same of a room, with the writer that is to feed the watchdog.
    pub(super) fn ready_with(
        &self,
        room: &Namespace,
        silence: impl Fn() -> Option<Duration> + Send + Sync + 'static,
    ) {
        self.silences.lock().insert(room.clone(), Box::new(silence));
        self.ready();
    }

    /// A room has ended: it is waited for no more, and its writer feeds nothing.
    pub(super) fn forgets(&self, room: &Namespace) {
        if self.silences.lock().remove(room).is_none() {
            self.ready();
        }
    }
}

/// For how long the writer that is silent for the longest has been.
fn longest(silences: &Silences) -> Option<Duration> {
    silences.lock().values().filter_map(|silence| silence()).max()
}

async fn run(shutdown: CancellationToken, silences: &Silences, stops: &Stopping) {
    let watchdog = Watchdog::of_environment();
    let stopping = async {
        shutdown.cancelled().await;
        stops.tell();
        std::future::pending::<()>().await;
    };
    let feeding = async {
        let Some(watchdog) = watchdog else { return std::future::pending().await };
        loop {
            if watchdog.is_fed(longest(silences)) {
                tell(&[NotifyState::Watchdog]);
            }
            time::sleep(watchdog.every()).await;
        }
    };
    tokio::join!(stopping, feeding);
}

/// After how long a manager that hears nothing ends this process.
#[derive(Clone, Copy, Debug)]
struct Watchdog(Duration);

impl Watchdog {
    fn of_environment() -> Option<Self> {
        sd_notify::watchdog_enabled().filter(|after| !after.is_zero()).map(Self)
    }

    /// Two are heard before a third is missed.
    fn every(self) -> Duration {
        self.0 / 4
    }

    /// A timer alone would prove that timers run. A writer that waits for work turns to its queue every second, and so does one
    /// whose transactions fail; one that hangs does not.
    fn is_fed(self, silent: Option<Duration>) -> bool {
        silent.is_none_or(|silent| silent < self.0 / 2)
    }
}

fn tell(what: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(what) {
        tracing::debug!("the service manager is not told: {e}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_that_is_silent_for_half_of_the_time_feeds_no_watchdog() {
        let watchdog = Watchdog(Duration::from_secs(60));
        assert!(watchdog.is_fed(None), "there is no database here");
        assert!(watchdog.is_fed(Some(Duration::from_secs(29))));
        assert!(!watchdog.is_fed(Some(Duration::from_secs(30))));
        assert!(watchdog.every() * 2 <= Duration::from_secs(30), "a lost one is no end");
    }
}
