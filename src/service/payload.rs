//! How much one message may carry on this server.

use std::sync::Arc;
use std::time::Duration;

use tokio::time;

use super::Shared;

/// What the headers of an answer may need.
const HEADERS: usize = 1024;
/// A server with no more than this for a message is named.
const SMALL: usize = 4096;
/// How often the server's limit is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// The key of the notice.
const KEY: &str = "max_payload";

impl<O, D> Shared<O, D> {
    /// How long the body of an answer may be, beside its headers.
    pub(super) fn most(&self) -> usize {
        room(self.client.max_payload())
    }
}

const fn room(max_payload: usize) -> usize {
    let quarter = max_payload / 4;
    max_payload.saturating_sub(if quarter < HEADERS { quarter } else { HEADERS })
}

/// Names a limit that is small, for as long as the service runs: another server, or a reload, may have another one.
pub(super) async fn watch<O, D>(shared: Arc<Shared<O, D>>) {
    loop {
        if shared.connection.borrow().up {
            match shared.client.max_payload() {
                small @ 1..=SMALL => shared.notices.raise(
                    KEY,
                    format!(
                        "the NATS server takes messages of {small} bytes at most (max_payload): longer answers are cut, or \
                         refused, and longer events do not reach it. Set max_payload to 1MB, the usual limit, and reload the \
                         server"
                    ),
                ),
                _ => shared.notices.clear(KEY),
            }
        }
        if time::timeout(LOOK, shared.stop.cancelled()).await.is_ok() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::room;

    #[test]
    fn a_small_message_has_room_for_a_body_too() {
        assert_eq!(room(1 << 20), (1 << 20) - 1024);
        assert_eq!((room(4096), room(1024), room(0)), (3072, 768, 0));
    }
}
