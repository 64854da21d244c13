//! What was asked for and confirmed is done, one after the other, within a limit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::super::super::dead;
use super::super::super::number::{counted, were};
use super::super::sources::{Parts, Sources};
use super::{Act, Force, What};
use eitherway::Cause;
use eitherway_layers::breaker::Handle;

/// How many letters one request does, and for how long: the rest is for the next one.
const LETTERS: u32 = 10_000;
const LIMIT: Duration = Duration::from_secs(6);

/// Does what is asked for, one at a time.
#[derive(Clone)]
pub(in crate::cli::listen) struct Done {
    sources: Arc<Sources>,
    turn: Arc<Mutex<()>>,
}

/// What became of letters.
#[derive(Default)]
struct Letters {
    done: u64,
    refused: Vec<(i64, Cause)>,
    left: usize,
}

impl Done {
    pub(in crate::cli::listen) fn new(sources: Arc<Sources>) -> Self {
        Self { sources, turn: Arc::default() }
    }

    /// Does it; what became of it. It is done to the end, also if nobody waits for that any more.
    ///
    /// # Errors
    /// Why it was not done, or not all of it.
    pub(in crate::cli::listen) async fn act(&self, act: Act) -> Result<String, String> {
        let this = self.clone();
        let done = tokio::spawn(async move {
            let busy = |_| "another act is still being done; look at the page, and ask again".to_owned();
            let _turn = match act.what {
                What::Circuit { .. } => None, // forced because something else hangs
                _ => Some(this.turn.try_lock().map_err(busy)?),
            };
            let done = this.now(&act).await;
            let (said, what) = (act.title(), act.fields());
            match &done {
                Ok(became) => {
                    tracing::warn!("an operator's act over the endpoints: {said} {what:?}: {became}");
                    this.sources.did(format!("Operator: {}. {became}", lower(said)));
                }
                Err(why) => {
                    tracing::warn!("an operator's act over the endpoints failed: {said} {what:?}: {why}");
                    this.sources.did(format!("Operator: {}. It failed: {why}", lower(said)));
                }
            }
            done
        });
        done.await.unwrap_or_else(|e| Err(format!("it was not finished: {e}")))
    }

    async fn now(&self, act: &Act) -> Result<String, String> {
        let parts = self.sources.room(&act.room);
        match &act.what {
            What::Letters { drop, subject, code, newest } => {
                let letters = letters(&parts, *drop, subject, code, *newest).await;
                let letters = letters.map_err(|e| e.to_string())?;
                letters.told(*drop)
            }
            What::Outbox => {
                let outbox = parts.outbox().ok_or("this process has no outbox")?;
                let retried = tokio::time::timeout(LIMIT, outbox.retry(None)).await;
                let retried = retried
                    .map_err(|_| "the outbox does not answer; it may be done later")?
                    .map_err(|e| e.to_string())?;
                let waits = format!("{} again", super::super::super::number::wait(retried.waiting, "event"));
                match retried.too_old {
                    0 => Ok(waits),
                    old => Err(format!("{waits}; {} too old to be offered again", were(old, "event"))),
                }
            }
            What::Circuit { events, to } => {
                let circuits = parts.circuits().ok_or("this process has no circuits")?;
                let handle: &Handle = if *events { &circuits.events } else { &circuits.requests };
                match to {
                    Force::Open => handle.force_open(),
                    Force::Closed => handle.force_closed(),
                    Force::Automatic => handle.reset(),
                }
                let state = super::super::board::words::circuit(handle.state().as_str());
                Ok(format!("The circuit is {state}."))
            }
        }
    }
}

/// Applies letters again, or removes them.
async fn letters(
    parts: &Parts,
    drop: bool,
    subject: &str,
    code: &str,
    newest: i64,
) -> Result<Letters, Cause> {
    let unavailable =
        || Cause::new(eitherway::error::Code::UNAVAILABLE, "the database is not open in this process");
    let (database, place) = parts.database_and_place().ok_or_else(unavailable)?;
    let mut letters = place.letters().await?;
    let (begin, mut became) = (Instant::now(), Letters::default());
    let ids = letters.ids_of(subject, code, newest, LETTERS).await;
    for (place, id) in ids.iter().flatten().enumerate() {
        if begin.elapsed() > LIMIT {
            became.left = ids.iter().flatten().count() - place;
            break;
        }
        let done = if drop {
            letters.drop_letter(*id).await
        } else {
            let late =
                |_| Err(Cause::new(eitherway::error::Code::UNAVAILABLE, "the database does not answer"));
            tokio::time::timeout(LIMIT, dead::retry(&database, &mut letters, *id)).await.unwrap_or_else(late)
        };
        match done {
            Ok(true) => became.done += 1,
            // Another act was quicker.
            Ok(false) => {}
            Err(cause) => became.refused.push((*id, cause)),
        }
    }
    letters.close().await;
    ids.map(|_| became)
}

impl Letters {
    fn told(&self, drop: bool) -> Result<String, String> {
        let done = format!("{} {}", were(self.done, "letter"), if drop { "removed" } else { "applied" });
        let left = match self.left {
            0 => String::new(),
            left => format!("; {} left for another time", counted(left as u64, "letter")),
        };
        match self.refused.last() {
            None => Ok(format!("{done}{left}.")),
            Some((id, cause)) => {
                let stay = counted(self.refused.len() as u64, "letter");
                Err(format!("{done}; {stay} could not be{left}. Number {id}: {cause}"))
            }
        }
    }
}

fn lower(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
