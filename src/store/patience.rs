//! Waiting for what may take long, and saying so.

use std::time::{Duration, Instant};

use tokio::time;

/// The time between two lines of the log.
const EVERY: Duration = Duration::from_secs(10);

/// Waits for this, and says every ten seconds that it goes on. Dropping it drops what it waits for.
pub(crate) async fn patiently<T>(what: &str, this: impl Future<Output = T>) -> T {
    let since = Instant::now();
    let mut this = std::pin::pin!(this);
    loop {
        match time::timeout(EVERY, this.as_mut()).await {
            Ok(done) => return done,
            Err(_) => tracing::info!("{what}: going on since {} s", since.elapsed().as_secs()),
        }
    }
}
