//! What an operator sees first, in words: whether it is well, and if not, what, since when, and what to do. Page and
//! `rosey top` show it, and `/status.json` has it as `board`.

pub(in crate::cli) mod words;

use serde::{Deserialize, Serialize};

/// How something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum Level {
    #[default]
    Fine,
    /// It works, and not as it usually does.
    Warn,
    /// It does not work.
    Bad,
}

/// All of it. Times are unix milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct Board {
    pub(in crate::cli) command: String,
    pub(in crate::cli) version: String,
    pub(in crate::cli) started: i64,
    /// When it was looked.
    pub(in crate::cli) at: i64,
    pub(in crate::cli) level: Level,
    /// How it is, as a sentence, and since when.
    pub(in crate::cli) said: String,
    pub(in crate::cli) since: i64,
    /// What is wrong, the worst first.
    pub(in crate::cli) problems: Vec<Problem>,
    pub(in crate::cli) routes: Vec<Route>,
    pub(in crate::cli) circuits: Vec<Circuit>,
    pub(in crate::cli) tiles: Vec<Tile>,
    /// Dead letters, by what they have in common; the newest first.
    pub(in crate::cli) letters: Vec<Letters>,
    /// Events of all outboxes that were refused, and such as are too old.
    pub(in crate::cli) refused: u64,
    pub(in crate::cli) expired: u64,
    /// The outboxes that have some of them.
    #[serde(default)]
    pub(in crate::cli) aside: Vec<Aside>,
    pub(in crate::cli) lately: Vec<Change>,
    /// The last operations of a bot that change something, or have failed; the newest first.
    #[serde(default)]
    pub(in crate::cli) last: Vec<Ended>,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct Problem {
    pub(in crate::cli) level: Level,
    pub(in crate::cli) title: String,
    pub(in crate::cli) why: String,
    pub(in crate::cli) since: Option<i64>,
    /// What to do.
    pub(in crate::cli) advice: String,
}

/// What an outbox has set aside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct Aside {
    pub(in crate::cli) room: String,
    pub(in crate::cli) refused: u64,
    pub(in crate::cli) expired: u64,
}

/// How operations of one kind go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct Route {
    pub(in crate::cli) what: String,
    /// The circuit that it goes through, if it does: of this room, and of this name.
    #[serde(default)]
    pub(in crate::cli) circuit: Option<(String, String)>,
    pub(in crate::cli) steps: Vec<Step>,
    pub(in crate::cli) since: Option<i64>,
}

/// A part of a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct Step {
    pub(in crate::cli) name: String,
    pub(in crate::cli) state: StepState,
    /// Why not, of one that does not serve.
    pub(in crate::cli) why: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum StepState {
    /// It serves.
    Serves,
    /// It does not.
    Broken,
    /// It would be next.
    Next,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct Circuit {
    /// Of a process with several rooms.
    #[serde(default)]
    pub(in crate::cli) room: String,
    /// `events` or `requests`.
    pub(in crate::cli) name: String,
    pub(in crate::cli) state: String,
}

/// A number, with its last ten minutes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct Tile {
    pub(in crate::cli) name: String,
    pub(in crate::cli) value: String,
    pub(in crate::cli) note: String,
    pub(in crate::cli) level: Level,
    /// One or several lines, which stand on each other.
    pub(in crate::cli) lines: Vec<Line>,
}

/// A value in columns of five seconds, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct Line {
    pub(in crate::cli) name: String,
    pub(in crate::cli) values: Vec<f32>,
}

/// Dead letters of one subject that failed with one code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct Letters {
    /// Of a process with several rooms.
    #[serde(default)]
    pub(in crate::cli) room: String,
    pub(in crate::cli) operation: String,
    pub(in crate::cli) subject: String,
    pub(in crate::cli) code: String,
    pub(in crate::cli) count: u64,
    pub(in crate::cli) first: i64,
    pub(in crate::cli) last: i64,
    /// The number of the newest, and why it is here.
    pub(in crate::cli) newest: i64,
    pub(in crate::cli) reason: String,
}

/// Something that has changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct Change {
    pub(in crate::cli) at: i64,
    pub(in crate::cli) level: Level,
    pub(in crate::cli) said: String,
}

/// An operation that has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct Ended {
    pub(in crate::cli) at: i64,
    pub(in crate::cli) operation: String,
    pub(in crate::cli) id: String,
    /// The path that served; none, if it failed.
    pub(in crate::cli) path: Option<String>,
    /// The path, or the class of the error, in words; and how long it took.
    pub(in crate::cli) said: String,
    pub(in crate::cli) took: String,
}
