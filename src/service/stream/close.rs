//! Turning the stream off: it takes nothing more, is emptied into the database, and deleted.

use std::time::Duration;

use tokio::time;
use tracing::Instrument;

use super::api::{Api, ApiError};
use super::consume::Consume;
use super::declare::Declaration;
use crate::operation::Operation;
use crate::store::Store;

/// The pause between looks at what is left.
const LOOK: Duration = Duration::from_millis(50);

/// Empties the stream and deletes it. Returns early when the service is told to stop: then the next start goes on.
///
/// The subjects of events are listened to before the stream lets go of them, so that no moment is left in which
/// what is published is not taken. What comes in that moment is in the stream as well: with an id, as all of ours, it takes
/// effect once; without, [`Overlap`](super::Overlap) passes over it here.
pub(in crate::service) async fn close<O: Operation, D: Store<O>>(consume: Consume<O, D>) {
    let (api, declaration) = (consume.shared.api.clone(), consume.declaration.clone());
    let stop = consume.stop.clone();
    let taking = stop.child_token();
    let until = taking.clone().drop_guard();
    let running = tokio::spawn(Consume { stop: taking, ..consume }.run().in_current_span());
    stop.run_until_cancelled(empty(&api, &declaration)).await;
    drop(until);
    let _ = running.await;
    if stop.is_cancelled() {
        return;
    }
    match delete(&api, &declaration).await {
        Ok(true) => tracing::info!(stream = declaration.name, "the stream is empty, and deleted"),
        Ok(false) => {
            tracing::error!(stream = declaration.name, "the stream is not deleted: something is in it again")
        }
        Err(e) => tracing::error!(stream = declaration.name, "the empty stream is not deleted: {e}"),
    }
}

/// Waits until nothing is left.
async fn empty(api: &Api, declaration: &Declaration) {
    let mut said = false;
    loop {
        match api.stream(&declaration.name).await {
            Ok(info) if info.state.messages == 0 => return,
            Ok(info) => {
                if !std::mem::replace(&mut said, true) {
                    let messages = info.state.messages;
                    tracing::info!(
                        stream = declaration.name,
                        messages,
                        "emptying the stream into the database"
                    );
                }
            }
            Err(e) if e.is_not_found() => return,
            Err(e) => tracing::debug!("the stream cannot be looked at: {e}"),
        }
        time::sleep(LOOK).await;
    }
}

async fn delete(api: &Api, declaration: &Declaration) -> Result<bool, ApiError> {
    match api.stream(&declaration.name).await {
        // Nothing was ever to come: but what is acknowledged is never thrown away.
        Ok(info) if info.state.messages > 0 => return Ok(false),
        Err(e) if e.is_not_found() => return Ok(true),
        Err(e) => return Err(e),
        Ok(_) => {}
    }
    match api.delete_stream(&declaration.name).await {
        Err(e) if !e.is_not_found() => Err(e),
        _ => Ok(true),
    }
}
