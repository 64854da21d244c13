//! Waiting for a condition, with a limit and a name.

use std::time::{Duration, Instant};

/// How long a condition may take to come true before a test gives up: 40 s. Far above what it takes; never a measure.
pub const LIMIT: Duration = Duration::from_secs(40);

/// Polls a condition every 5 ms until it holds. Cancel safe.
///
/// # Panics
/// It does not hold within [`LIMIT`]; the message names `what`.
pub async fn wait_until<F: Future<Output = bool>>(what: &str, condition: impl FnMut() -> F) {
    assert!(holds_within(LIMIT, condition).await, "after {LIMIT:?} still not: {what}");
}

/// Whether a condition comes true within `limit`. Cancel safe.
pub async fn holds_within<F: Future<Output = bool>>(
    limit: Duration,
    mut condition: impl FnMut() -> F,
) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if condition().await {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
