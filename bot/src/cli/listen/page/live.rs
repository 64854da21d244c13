//! Keeps a page up to date: sections that have changed, as events of the server. A stream ends soon by itself, so that no viewer holds
//! a place for long; the browser asks for the next one.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Map, Value, json};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, timeout_at};

use super::super::act::access::Access;
use super::super::snapshot::Snapshot;
use super::{frame, parts};

/// How long a stream lasts: less than a connection may.
const LASTS: Duration = Duration::from_secs(8);
/// How soon the browser asks again.
const AGAIN: Duration = Duration::from_millis(300);

struct Viewer {
    now: watch::Receiver<Arc<Snapshot>>,
    access: Access,
    /// What it has been sent.
    has: HashMap<&'static str, String>,
    until: Instant,
    begun: bool,
    _place: OwnedSemaphorePermit,
}

pub(super) fn stream(
    now: watch::Receiver<Arc<Snapshot>>,
    access: Access,
    place: OwnedSemaphorePermit,
) -> Response {
    let until = Instant::now() + LASTS;
    let viewer = Viewer { now, access, has: HashMap::new(), until, begun: false, _place: place };
    Sse::new(stream::unfold(viewer, Viewer::next)).into_response()
}

impl Viewer {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        if self.begun {
            match timeout_at(self.until, self.now.changed()).await {
                Ok(Ok(())) => {}
                // It is time, or the process ends.
                _ => return None,
            }
        }
        self.begun = true;
        let now = Arc::clone(&self.now.borrow_and_update());
        let event = Event::default().retry(AGAIN).data(self.changed(&now).to_string());
        Some((Ok(event), self))
    }

    /// The sections that are not as they were sent last.
    fn changed(&mut self, now: &Snapshot) -> Value {
        let sections = frame::sections(&now.board, &self.access);
        let sections = sections.into_iter().map(|(id, _, content)| (id, content.0));
        let mut changed = Map::new();
        for (id, content) in sections.chain([("top", parts::top(&now.board).0)]) {
            if self.has.get(id) != Some(&content) {
                changed.insert(id.to_owned(), content.clone().into());
                self.has.insert(id, content);
            }
        }
        json!({
            "title": frame::title(&now.board),
            "icon": frame::icon(now.board.level),
            "sections": changed,
        })
    }
}
