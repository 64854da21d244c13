//! Changes of schema.

/// A change of schema. Changes only add.
///
/// Each is applied once to a file, in the order of the versions; all that a file lacks, in one transaction. Several
/// with one version, one behind the other in the list, are the parts of one change.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Its place in the order, from 10 on; what is below is the framework's own.
    pub version: i64,
    /// What it does.
    pub description: &'static str,
    /// The statements.
    pub sql: &'static str,
    /// Whether this file needs the statements; see [`only_if`](Self::only_if).
    pub only_if: Option<&'static str>,
    /// What is said of a file of another program's; see [`tells`](Self::tells).
    pub tells: Option<&'static str>,
    /// What a function works out for the statements; see [`deriving`](Self::deriving).
    pub deriving: Option<Deriving>,
}

/// Texts, and what a function makes of each: what SQL cannot say.
#[derive(Clone, Copy, Debug)]
pub struct Deriving {
    /// One `SELECT` of one column: the texts, as the versions before have left them.
    pub of: &'static str,
    /// What is derived from a text; none if that is not to be among them.
    pub value: fn(&str) -> Option<String>,
    /// One `SELECT` of one text, for the log: what the statements are about to change.
    pub says: &'static str,
}

impl Migration {
    /// The change of schema that these statements make.
    #[must_use]
    pub const fn new(version: i64, description: &'static str, sql: &'static str) -> Self {
        Self { version, description, sql, only_if: None, tells: None, deriving: None }
    }

    /// The same, only for files of which this query says 1; it says 0 of the others. It is asked of the file as the
    /// versions before have left it. Either way the change is recorded as applied, and never looked at again.
    #[must_use]
    pub const fn only_if(self, query: &'static str) -> Self {
        Self { only_if: Some(query), ..self }
    }

    /// The same, and this query says whose file it is, for the log, when one that another program has made is taken over: a string, or
    /// NULL if it does not know. It is asked before anything is changed; the first of several that knows is believed.
    #[must_use]
    pub const fn tells(self, query: &'static str) -> Self {
        Self { tells: Some(query), ..self }
    }

    /// The same over the rows of the table `derived (id, text, value)`, which a version before has made: one of each text of which
    /// something is derived. It is the only part of its version.
    ///
    /// It is done once, and again when the database is opened and there are such texts: a program of before may have written them
    /// since. So the statements can be repeated, and leave no row in `derived`. Memory is bounded, whatever the number of texts.
    #[must_use]
    pub const fn deriving(self, deriving: Deriving) -> Self {
        Self { deriving: Some(deriving), ..self }
    }
}
