//! What an error of PostgreSQL means.

use super::passwords;
use crate::error::{Cause, Code};

const READS_ONLY: &str = "this PostgreSQL only reads: a standby, or the primary of before";

/// Why something was not done, or is not known to be.
#[derive(Debug)]
pub(super) enum Fault {
    /// No connection: nothing was sent.
    NotConnected(sqlx::Error),
    /// Connecting has taken too long: nothing was sent.
    NoConnection,
    /// All connections for reading were in use: nothing was sent.
    Taken,
    /// The server only reads: nothing was sent.
    ReadOnly,
    /// It takes writes, and another server does on a later timeline: nothing was sent.
    Superseded { timeline: u32, newest: u32 },
    /// None of several servers will do, for these reasons: nothing was sent.
    Nowhere(Vec<(String, Fault)>),
    /// Connecting has failed for this reason a moment ago: nothing was sent.
    Before(Cause),
    /// The server says no, or the connection was lost.
    Server(sqlx::Error),
    /// The role may not; and what the owner is to run.
    Forbidden(sqlx::Error, String),
    /// The server does not answer.
    Silent,
    /// A function has done with its transaction what is not its own to do.
    Ended(Cause),
    /// It was sent, its fate is not known, and it could not be repeated for this reason.
    Unrepeated(Box<Fault>),
}

/// What no operation is the cause of.
const ENVIRONMENT: [&str; 13] =
    ["08", "25", "26", "28", "3D", "40", "42P05", "42501", "53", "55", "57", "58", "F0"];

/// On a connection that stands: a statement with another number of parameters than it was given.
const PROTOCOL: &str = "08P01";

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Server(error)
    }
}

impl Fault {
    /// Why none of the servers will do, each with its name.
    pub(super) fn of_all(mut faults: Vec<(String, Self)>) -> Self {
        match faults.pop() {
            Some((_, fault)) if faults.is_empty() => fault,
            Some(last) => {
                faults.push(last);
                Self::Nowhere(faults)
            }
            None => Self::NoConnection,
        }
    }

    /// The error's code, <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
    fn state(&self) -> Option<String> {
        match self {
            Self::Server(error) | Self::NotConnected(error) | Self::Forbidden(error, _) => {
                Some(error.as_database_error()?.code()?.into_owned())
            }
            Self::Nowhere(faults) => faults.iter().find_map(|(_, fault)| fault.state()),
            _ => None,
        }
    }

    /// Whether its code begins with one of these.
    pub(super) fn is_of(&self, classes: &[&str]) -> bool {
        self.state().is_some_and(|state| classes.iter().any(|class| state.starts_with(class)))
    }

    /// Whether what was sent may have been done.
    pub(super) fn is_unknown(&self) -> bool {
        match self {
            Self::Silent | Self::Unrepeated(_) => true,
            Self::Server(error) => match error.as_database_error() {
                // ended by an administrator or a crash; a connection's
                Some(_) => {
                    self.is_of(&["57P01", "57P02", "57P04", "57P05", "08"]) && !self.is_of(&[PROTOCOL])
                }
                None => Self::is_lost(error),
            },
            _ => false,
        }
    }

    /// Whether it is no word of the server, and the connection may be lost.
    pub(super) const fn is_lost(error: &sqlx::Error) -> bool {
        !matches!(
            error,
            sqlx::Error::Database(_)
                | sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::ColumnNotFound(_)
                | sqlx::Error::ColumnIndexOutOfBounds { .. }
                | sqlx::Error::Decode(_)
                | sqlx::Error::Encode(_)
                | sqlx::Error::RowNotFound
                | sqlx::Error::TypeNotFound { .. }
        )
    }

    /// Whether something of the name is there that was to be made.
    pub(super) fn is_there_already(error: &sqlx::Error) -> bool {
        let code = error.as_database_error().and_then(|said| said.code());
        code.is_some_and(|code| ["42P07", "42701", "42710", "42723"].contains(&&*code))
    }

    /// Whether an error that a function meets is none of its own.
    pub(super) fn is_of_the_environment(error: &sqlx::Error) -> bool {
        match error.as_database_error().and_then(|said| said.code()) {
            Some(code) => code != PROTOCOL && ENVIRONMENT.iter().any(|class| code.starts_with(class)),
            None => Self::is_lost(error),
        }
    }

    /// Whether there is no connection.
    pub(super) const fn is_unconnected(&self) -> bool {
        matches!(
            self,
            Self::NotConnected(_)
                | Self::NoConnection
                | Self::Taken
                | Self::ReadOnly
                | Self::Superseded { .. }
                | Self::Nowhere(_)
                | Self::Before(_)
        )
    }

    /// Whether the connection must not be used again.
    pub(super) fn spoils(&self) -> bool {
        matches!(self, Self::Ended(_))
            || self.is_unknown()
            || self.is_read_only()
            || self.is_of(&["57P03", "0A000", "26", "42P05"])
    }

    /// Whether the server undid it because of what another one did at the same time.
    pub(super) fn is_conflict(&self) -> bool {
        self.is_of(&["40"])
    }

    /// Whether a function is not there.
    pub(super) fn lacks_function(&self) -> bool {
        self.is_of(&["42883"])
    }

    /// Whether a server was reached, and none that takes writes.
    pub(super) fn has_only_readers(&self) -> bool {
        match self {
            Self::ReadOnly => true,
            Self::Nowhere(faults) => faults.iter().any(|(_, fault)| matches!(fault, Self::ReadOnly)),
            _ => false,
        }
    }

    /// A standby, or what was the primary before.
    fn is_read_only(&self) -> bool {
        self.is_of(&["25006"])
    }

    /// Whether it may come of some operation in a batch, whatever the server calls that, so that the rest could be applied without
    /// it.
    pub(super) fn is_of_an_operation(&self) -> bool {
        match self {
            Self::Server(error) | Self::Forbidden(error, _) => {
                error.as_database_error().is_some()
                    && (!self.is_of(&ENVIRONMENT) || self.is_of(&[PROTOCOL, "42501", "55000"]))
            }
            Self::Ended(_) => true,
            _ => false,
        }
    }

    /// Whether the values are at fault, if it is alone.
    fn is_of_the_values(&self) -> bool {
        self.is_of(&["21", "22", "23", "44", "54", "P0"])
    }

    /// What it means for an operation.
    pub(super) fn cause(&self) -> Cause {
        let (code, advice) = match self {
            Self::Before(cause) | Self::Ended(cause) => return cause.clone(),
            Self::NoConnection => (Code::UNAVAILABLE, "no connection to PostgreSQL in time"),
            Self::Taken => {
                (Code::UNAVAILABLE, "the connections to PostgreSQL for reading were in use all the time")
            }
            Self::ReadOnly => (Code::STORAGE, READS_ONLY),
            Self::Superseded { timeline, newest } => {
                let why = format!(
                    "this PostgreSQL takes writes on timeline {timeline}, and another one was promoted since, to timeline \
                     {newest}: nothing is written here; fence the old primary (stop it, or let it follow the new one)"
                );
                return Cause::new(Code::STORAGE, why);
            }
            Self::Nowhere(faults) => {
                let each: Vec<_> = faults.iter().map(|(server, fault)| (server, fault.cause())).collect();
                // A primary that cannot be reached says more than a standby beside it.
                let code = each.iter().map(|(_, cause)| cause.code()).find(|code| *code != Code::STORAGE);
                let each: Vec<_> = each.iter().map(|(server, cause)| format!("{server}: {cause}")).collect();
                let said = format!("none of the servers takes writes: {}", each.join("; "));
                return Cause::new(code.unwrap_or(Code::STORAGE), said);
            }
            Self::NotConnected(_) if self.is_of(&["53"]) => {
                (Code::OVERLOADED, "PostgreSQL takes no more connections")
            }
            Self::Server(_) | Self::NotConnected(_) if self.is_of(&["26", "42P05"]) => {
                (Code::DATABASE, "a pooler exchanges connections between statements: let it pool sessions")
            }
            Self::NotConnected(error) => {
                (Code::UNAVAILABLE, of_tls(error).unwrap_or("no connection to PostgreSQL"))
            }
            Self::Silent => (Code::UNANSWERED, "perhaps it is done, ask again: PostgreSQL does not answer"),
            Self::Unrepeated(why) => {
                let why = why.cause();
                return Cause::new(Code::UNANSWERED, format!("perhaps it is done, ask again: {why}"));
            }
            Self::Server(_) if self.is_unknown() => {
                (Code::UNANSWERED, "perhaps it is done, ask again: the connection to PostgreSQL was lost")
            }
            Self::Server(_) if self.is_of(&["57014", "55P03"]) || self.is_conflict() => {
                (Code::BUSY, "another connection holds the rows")
            }
            Self::Server(_) if self.is_of(&["57P03"]) => {
                (Code::UNAVAILABLE, "PostgreSQL is starting or stopping")
            }
            Self::Server(_) if self.is_read_only() => (Code::STORAGE, READS_ONLY),
            Self::Server(_) if self.is_of(&["53100", "58"]) => {
                (Code::STORAGE, "PostgreSQL's disk is full or fails")
            }
            Self::Forbidden(error, grant) => {
                let said = said(error);
                return Cause::new(
                    Code::DATABASE,
                    format!("the role lacks a right: {said}. Run as the owner of the schema: {grant}"),
                );
            }
            Self::Server(_) if self.is_of(&["42501"]) => {
                (Code::DATABASE, "the role lacks a right, which the owner of the schema can GRANT")
            }
            Self::Server(_) if self.is_of_the_values() => (Code::REFUSED, "the database refuses the values"),
            Self::Server(_) if self.is_of(&["42P01", "42P10", "42883", "42703", "3F000"]) => (
                Code::DATABASE,
                "PostgreSQL lacks a table, column, key or function of ours, or the role lost USAGE on the schema: it was changed by \
                 hand, or is being migrated: start again after the migration, and what is missing is named; a table that was \
                 dropped comes back from a backup",
            ),
            Self::Server(_) => (Code::DATABASE, "PostgreSQL reports an error"),
        };
        match self {
            Self::Server(error) | Self::NotConnected(error) => {
                Cause::new(code, format!("{advice}: {}", said(error)))
            }
            _ => Cause::new(code, advice),
        }
    }

    /// The same for what is the framework's own, which no data makes fail.
    pub(super) fn cause_of_the_frame(&self) -> Cause {
        match self.cause() {
            refused if refused.code() == Code::REFUSED => {
                Cause::new(Code::DATABASE, format!("PostgreSQL reports an error: {refused}"))
            }
            cause => cause,
        }
    }

    /// The same at the opening, with what can be done.
    pub(super) fn at_start(&self) -> String {
        let password = passwords::advice();
        let advice = match self.state().as_deref() {
            Some("3D000") => "; create it: CREATE DATABASE …",
            Some("28P01") => &password,
            Some("28000") => {
                "; the role is missing or may not log in, or the server's pg_hba.conf wants something else, such as TLS"
            }
            _ if self.has_only_readers() => {
                "; name the primary in the address as well, or make a standby one: SELECT pg_promote()"
            }
            _ => "",
        };
        format!("{}{advice}", self.cause())
    }
}

/// The message of an error, without the words of the library around it.
fn said(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(said) => match said.code() {
            Some(code) => format!("{} ({code})", said.message()),
            None => said.message().to_owned(),
        },
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::Tls(error) => error.to_string(),
        _ => error.to_string(),
    }
}

/// What can be done about TLS that does not come about. The library tells it by words alone.
fn of_tls(error: &sqlx::Error) -> Option<&'static str> {
    let said = match error {
        sqlx::Error::Tls(_) | sqlx::Error::Io(_) => said(error),
        _ => return None,
    };
    let advice = [
        (
            "UnknownIssuer",
            "the server's certificate is signed by no CA that is trusted here: name one with sslrootcert=FILE",
        ),
        ("not valid for name", "the server's certificate is for another host name than that of the address"),
        ("alert", "the server ends TLS: it may want a client's certificate, sslcert and sslkey"),
        ("xpired", "the server's certificate has expired; is the clock of this machine right?"),
        ("not valid yet", "the server's certificate is not valid yet; is the clock of this machine right?"),
        ("certificate", "the server's certificate is not accepted"),
        ("does not support TLS", "the server has TLS turned off, and sslmode wants it"),
    ];
    advice.into_iter().find(|(word, _)| said.contains(word)).map(|(_, advice)| advice)
}
