//! One task for each room. What ends one of them, a panic included, ends no other one.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use serde_json::json;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::super::args::ChatArgs;
use super::super::console;
use super::super::exit::{Exit, Failure};
use super::super::listen::{Endpoints, OfRoom};
use super::super::number::counted;
use super::super::supervisor::Supervisor;
use super::Room;
use eitherway::Namespace;

/// What the rooms of a process have in common.
#[derive(Clone)]
pub(in crate::cli) struct Process {
    pub(in crate::cli) chat: Arc<ChatArgs>,
    pub(in crate::cli) file_mode: u32,
    pub(in crate::cli) shutdown: CancellationToken,
    pub(in crate::cli) supervisor: Arc<Supervisor>,
}

/// How a room has ended.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Ended {
    pub(in crate::cli) exit: Exit,
    /// Why, as a sentence.
    pub(in crate::cli) why: String,
}

impl Process {
    /// Runs all of them, and returns when the last one has ended.
    ///
    /// # Errors
    /// That of a room that is alone. Of several, each says its own when it ends.
    pub(in crate::cli) async fn run<F>(
        &self,
        mut rooms: Vec<Room>,
        endpoints: &Endpoints,
        one: impl Fn(Room, OfRoom) -> F,
    ) -> Result<Exit, Failure>
    where
        F: Future<Output = Result<Ended, Failure>> + Send + 'static,
    {
        if rooms.len() == 1
            && let Some(room) = rooms.pop()
        {
            // It is told of as the process.
            let (told, span) = (endpoints.room(&Namespace::none()), room.paths.span());
            return one(room, told).instrument(span).await.map(|ended| ended.exit);
        }
        endpoints.rooms(rooms.iter().map(|room| room.name.as_str()));
        self.supervisor.waits_for(rooms.len());
        let (mut running, mut names) = (JoinSet::new(), HashMap::<Id, Room>::new());
        for room in rooms {
            let span = room.paths.span();
            let task = running.spawn(one(room.clone(), endpoints.room(&room.name)).instrument(span));
            names.insert(task.id(), room);
        }
        let mut exits = Vec::new();
        while let Some(ended) = running.join_next_with_id().await {
            let (id, ended) = match ended {
                Ok(ended) => ended,
                Err(e) => (e.id(), Err(Failure::new(Exit::Failed, format!("it is broken: {e}")))),
            };
            let Some(room) = names.remove(&id) else { continue };
            let left = counted(running.len() as u64, "room");
            let ended = ended.unwrap_or_else(|failure| told(&room, &failure));
            self.supervisor.forgets(&room.name);
            endpoints.room(&room.name).ended(ended.exit, &ended.why);
            room.paths.span().in_scope(|| match ended.exit {
                Exit::Ok => tracing::info!("this room has ended: {}; {left} left", ended.why),
                _ => tracing::error!("this room has ended: {}; {left} left", ended.why),
            });
            exits.push(ended.exit);
        }
        Ok(together(&exits))
    }
}

/// Says why a room has failed, as the process would that has no other one.
fn told(room: &Room, failure: &Failure) -> Ended {
    let why = failure.message().to_owned();
    let details = json!({"namespace": room.name.as_str()});
    console::ending(&room.says(&why), failure.exit, Some(why.clone()), details);
    Ended { exit: failure.exit, why }
}

/// The exit code of all: that of those which have not ended well, if they have the same one.
fn together(exits: &[Exit]) -> Exit {
    let mut bad = exits.iter().copied().filter(|exit| *exit != Exit::Ok);
    match bad.next() {
        None => Exit::Ok,
        Some(first) if bad.all(|exit| exit == first) => first,
        Some(_) => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_that_fail_alike_end_the_process_with_their_code() {
        use Exit::{Failed, MustNotStart, Ok, Unserved};
        for (exits, exit) in [
            (&[][..], Ok),
            (&[Ok, Ok], Ok),
            (&[Ok, MustNotStart, Ok], MustNotStart),
            (&[Unserved, Unserved], Unserved),
            (&[Unserved, MustNotStart], Failed),
        ] {
            assert_eq!(together(exits), exit, "{exits:?}");
        }
    }
}
