//! The rooms of a bot's process: what is the own of each, and all of them until the last one has ended.
//!
//! | file | contains |
//! |---|---|
//! | `chats` | what `--chat` says |
//! | `files` | what the files of a room are called |
//! | `run` | one task for each room |

mod chats;
mod files;
mod run;

use std::path::{Path, PathBuf};

use super::args::{ChatArgs, DatabaseArgs, PathArgs};
use super::database_options::DatabaseOptions;
use super::exit::{Exit, Failure};
use super::outbox::OutboxArgs;
use crate::bot::chat::Source;
use eitherway::Namespace;

use chats::Chat;
pub(super) use chats::{Chats, chats};
pub(super) use run::{Ended, Process};

/// A room, and what is its own.
#[derive(Clone, Debug)]
pub(super) struct Room {
    /// Its namespace, which is none for the one that has no name.
    pub(super) name: Namespace,
    /// Whether it is the only one of this process.
    pub(super) is_alone: bool,
    pub(super) source: Source,
    pub(super) paths: PathArgs,
    pub(super) outbox: OutboxArgs,
    pub(super) report: Option<PathBuf>,
    pub(super) timeline: Option<PathBuf>,
}

fn usage(why: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Usage, format!("--chat: {why}"))
}

impl Room {
    /// All of them, as the options say. Whatever cannot go well is found before anything is opened.
    pub(super) fn all(chat: &ChatArgs, paths: &PathArgs, outbox: &OutboxArgs) -> Result<Vec<Self>, Failure> {
        let chats: Vec<Chat> = chat.chat.iter().flat_map(|chats| chats.0.clone()).collect();
        let is_alone = chats.len() == 1;
        let mut rooms = Vec::<Self>::new();
        for chat_of_one in chats {
            let mut room = Self {
                name: paths.namespace.clone().unwrap_or_default(),
                is_alone,
                source: chat_of_one.source,
                paths: paths.clone(),
                outbox: outbox.clone(),
                report: chat.report.clone(),
                timeline: chat.timeline.clone(),
            };
            if let Some(name) = chat_of_one.name {
                room = room.called(name)?;
            } else if rooms.iter().any(|other| other.name == room.name) {
                return Err(usage(
                    "of several rooms each has a name of its own, as in lounge=irc://…: its namespace and its files are \
                     called so",
                ));
            }
            rooms.iter().try_for_each(|other| room.differs_from(other))?;
            room.source.check()?;
            rooms.push(room);
        }
        match &paths.namespace {
            Some(named) if !rooms.iter().any(|room| room.name == *named) => Err(usage(format!(
                "each room has a name, which is its namespace; --namespace names another one, {named}: leave it out"
            ))),
            _ => Ok(rooms),
        }
    }

    /// With the namespace and the files of this name.
    fn called(self, name: Namespace) -> Result<Self, Failure> {
        let beside = |file: PathBuf| files::of_room(&file, &name);
        let paths = PathArgs {
            namespace: Some(name.clone()),
            database: self.paths.database.of_room(&name)?,
            ..self.paths
        };
        let room = Self {
            paths,
            outbox: self.outbox.of_room(&name),
            report: self.report.map(beside),
            timeline: self.timeline.map(beside),
            name,
            ..self
        };
        let mut files = room.files()?;
        files.sort();
        match files.windows(2).find(|two| two[0] == two[1]) {
            Some(two) => Err(usage(format!("{}: two of its files are {}", room.name, two[0].display()))),
            None => Ok(room),
        }
    }

    /// Refuses what two rooms cannot share.
    fn differs_from(&self, other: &Self) -> Result<(), Failure> {
        if self.name == other.name {
            let name = &self.name;
            return Err(usage(format!("{name} stands there twice; each room has a namespace of its own")));
        }
        if self.source.is_stdin() && other.source.is_stdin() {
            return Err(usage("the standard input is the chat of one room alone"));
        }
        let (own, others) = (self.files()?, other.files()?);
        if let Some(file) = own.iter().find(|file| others.contains(file)) {
            return Err(usage(format!("two rooms would have the file {}", file.display())));
        }
        match self.paths.database.named_or_usual()? {
            DatabaseOptions::Postgres(options) if options.names_schema() => {
                Err(usage("each room has a schema of its own; leave out ?schema="))
            }
            _ => Ok(()),
        }
    }

    /// What it writes.
    fn files(&self) -> Result<Vec<PathBuf>, Failure> {
        let database = match self.paths.database.named_or_usual()? {
            DatabaseOptions::Sqlite(options) => Some(options.path().to_owned()),
            DatabaseOptions::Postgres(_) => None,
        };
        let outbox = self.outbox.file().map(Path::to_owned);
        Ok([database, outbox, self.report.clone(), self.timeline.clone()].into_iter().flatten().collect())
    }

    /// What is said of it, where it is not the only one.
    pub(super) fn says(&self, text: &str) -> String {
        if self.is_alone || self.name.is_none() { text.to_owned() } else { format!("{}: {text}", self.name) }
    }
}

impl DatabaseArgs {
    /// The one of the room of this name.
    fn of_room(self, name: &Namespace) -> Result<Self, Failure> {
        let database_url = match &self.database_url {
            Some(url) => Some(files::database_of_room(url, name)?),
            None => None,
        };
        let usual = Some(files::database_of_room(self.usual(), name)?);
        Ok(Self { database_url, usual, namespace: name.clone(), ..self })
    }
}

impl OutboxArgs {
    /// The one of the room of this name.
    fn of_room(self, name: &Namespace) -> Self {
        self.renamed(|file| files::of_room(file, name))
    }
}
