//! One look at a room, and what is remembered of it until the next one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time;

use super::snapshot::{Room, Seldom};
use super::sources::{Parts, shown};
use crate::op::Op;
use eitherway::sql::{LetterGroup, SqlService};

/// How long one question may take.
const LIMIT: Duration = Duration::from_secs(1);
/// How many groups of dead letters are told of.
const GROUPS: u32 = 20;

/// What is remembered.
#[derive(Default)]
pub(super) struct Look {
    seldom: Seldom,
    letters: Vec<LetterGroup>,
    /// Why the last read was not answered, and how many in a row were not answered in time.
    unread: Option<String>,
    late: u32,
    oldest: Option<i64>,
    /// A look at the disk, which may hang: there is one at a time.
    disk: Option<JoinHandle<Seldom>>,
}

impl Look {
    /// Looks once; `closer`: also at what costs a read.
    pub(super) async fn at(&mut self, parts: &Parts, closer: bool) -> Room {
        let database = parts.database();
        // What has just been opened is not known at all.
        let new = database.is_some() && self.seldom.dead_letters.is_none();
        if new || closer {
            self.look_closer(database.as_ref(), parts).await;
        }
        let answers = match &database {
            Some(database) => time::timeout(LIMIT, database.ping()).await.map_or_else(
                |_| {
                    Err("it does not answer: a transaction takes long, or waits for another program's lock"
                        .to_owned())
                },
                |answered| answered.map_err(|cause| cause.to_string()),
            ),
            None => Ok(()),
        };
        // A writer that has nothing to do does not know whether its database is there.
        let answers = answers.and_then(|()| self.unread.clone().map_or(Ok(()), Err));
        self.look_at_outbox(parts, closer).await;
        Room {
            room: parts.room.clone(),
            ended: parts.ended.clone(),
            database: database.map(|database| shown(&database, answers, self.seldom, &self.letters)),
            paths: parts.paths(self.oldest),
            bot: parts.bot(),
        }
    }

    /// Since when its oldest event waits: asked when one begins to wait, and seldom from then on.
    async fn look_at_outbox(&mut self, parts: &Parts, closer: bool) {
        let Some(outbox) = parts.outbox().filter(|outbox| outbox.counts().waiting > 0) else {
            self.oldest = None;
            return;
        };
        if (self.oldest.is_none() || closer)
            && let Ok(Ok(oldest)) = time::timeout(LIMIT, outbox.oldest()).await
        {
            self.oldest = oldest;
        }
    }

    /// Looks at what costs a read.
    async fn look_closer(&mut self, database: Option<&SqlService<Op>>, parts: &Parts) {
        let Some(database) = database else { return };
        let read = time::timeout(LIMIT, database.dead_letters()).await;
        self.late = if read.is_err() { self.late + 1 } else { 0 };
        match read {
            Ok(Ok(letters)) => {
                self.unread = None;
                self.seldom.dead_letters = Some(letters);
                self.letters = if letters == 0 { Vec::new() } else { self.groups(parts).await };
            }
            Ok(Err(cause)) => self.unread = Some(cause.to_string()),
            // One that is late may have been behind others.
            Err(_) if self.late > 1 => {
                self.unread = Some(format!("it has not answered {} reads in a row", self.late));
            }
            Err(_) => {}
        }
        let file = database.readers().map(|_| PathBuf::from(database.shown()));
        if self.disk.is_none() {
            self.disk = file.map(|file| tokio::task::spawn_blocking(move || sizes(&file)));
        }
        if let Some(disk) = &mut self.disk
            && let Ok(found) = time::timeout(LIMIT, disk).await
        {
            self.disk = None;
            let dead_letters = self.seldom.dead_letters;
            self.seldom = Seldom { dead_letters, ..found.unwrap_or_default() };
        }
    }

    /// The dead letters of the service's database, by what they have in common.
    async fn groups(&self, parts: &Parts) -> Vec<LetterGroup> {
        let Some((_, place)) = parts.database_and_place() else { return Vec::new() };
        let read = async {
            let mut letters = place.letters().await?;
            let groups = letters.groups(GROUPS).await;
            letters.close().await;
            groups
        };
        match time::timeout(LIMIT, read).await {
            Ok(Ok(groups)) => groups,
            // They are told of as they were.
            _ => self.letters.clone(),
        }
    }
}

/// How large the files are, and what is free beside them.
fn sizes(file: &Path) -> Seldom {
    let bytes = |file: &Path| fs::metadata(file).ok().map(|file| file.len());
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    let disk = rustix::fs::statvfs(file).ok();
    Seldom {
        dead_letters: None,
        file_bytes: bytes(file),
        log_bytes: bytes(Path::new(&log)),
        disk_free_bytes: disk.map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
    }
}
