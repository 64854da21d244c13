//! What messages for people call the commands and options of the program that embeds this crate.
//!
//! Errors and notices say what to do. Where that is a command or an option of the program, they name it as [`set`] has it:
//!
//! ```
//! use eitherway::hints::{self, Hints};
//!
//! hints::set(Hints {
//!     verify: "`shop verify`",
//!     option: |name| format!("--{name}"),
//!     ..Hints::NEUTRAL
//! });
//! ```

use std::sync::OnceLock;

/// The names that messages use.
#[derive(Clone, Copy, Debug)]
pub struct Hints {
    /// Where dead letters are read: a command of the program, such as `` `shop dead list` ``.
    pub dead_letters: &'static str,
    /// Where the events of an outbox are read.
    pub outbox: &'static str,
    /// What verifies a database.
    pub verify: &'static str,
    /// What puts a backup in the place of a database.
    pub restore: &'static str,
    /// What brings a database to the schema of this program.
    pub migrate: &'static str,
    /// What the program is called, where a newer release of it is needed.
    pub program: &'static str,
    /// How an option is written that is called like this in the program, perhaps with its value: `jetstream off`.
    pub option: fn(&str) -> String,
}

impl Hints {
    /// The names of this crate's own: what is used until [`set`] is called.
    pub const NEUTRAL: Self = Self {
        dead_letters: "the table `dead_letters`",
        outbox: "`outbox::list`",
        verify: "`sql::verify`",
        restore: "`sql::backup::restore`",
        migrate: "`SqlService::open`",
        program: "release of this program",
        option: |name| format!("the option `{name}`"),
    };
}

static HINTS: OnceLock<Hints> = OnceLock::new();

/// Sets the names for this process. The first call counts; call it before anything else of this crate.
pub fn set(hints: Hints) {
    let _ = HINTS.set(hints);
}

pub(crate) fn hints() -> &'static Hints {
    HINTS.get().unwrap_or(&Hints::NEUTRAL)
}

/// How messages name this option.
pub(crate) fn option(name: &str) -> String {
    (hints().option)(name)
}
