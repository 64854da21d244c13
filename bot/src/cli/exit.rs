//! How a command ends: a number for scripts, a sentence for people.

use std::process::ExitCode;

use eitherway_layers::{Class, Classify};

use eitherway::error::{Cause, Code, Error};
use eitherway::outbox::OutboxError;
use eitherway::runtime::BuildError;
use eitherway::service::ServeError;
use eitherway::sql::OpenError;
use eitherway::sql::backup::CopyError;

/// The exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Done.
    Ok = 0,
    /// Done, and the outcome is bad.
    Failed = 1,
    /// Usage or configuration.
    Usage = 2,
    /// The operation was refused.
    Refused = 3,
    /// No path could serve the operation.
    Unserved = 4,
    /// The service must not start here.
    MustNotStart = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// The number.
    pub(super) const fn number(self) -> u8 {
        self as u8
    }

    /// What stands as the code of a failure that is no operation's.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Refused => "refused",
            Self::Unserved => "unserved",
            Self::MustNotStart => "must_not_start",
        }
    }
}

/// Why a command failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    message: String,
    /// Of the operation that failed, if it was one.
    pub(super) code: Option<Code>,
}

impl Failure {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), code: None }
    }

    /// An operation, or a step of it, that failed for this cause.
    pub(super) fn of(exit: Exit, cause: &Cause) -> Self {
        Self { exit, message: cause.to_string(), code: Some(cause.code()) }
    }

    /// The same with a sentence of its own.
    pub(super) fn because(exit: Exit, cause: &Cause, message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::of(exit, cause) }
    }

    /// The sentence.
    pub(super) fn message(&self) -> &str {
        &self.message
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let exit = match error {
            OpenError::Address(..) | OpenError::Namespace { .. } => Exit::Usage,
            OpenError::Newer { .. } | OpenError::InUse { .. } => Exit::MustNotStart,
            _ => Exit::Unserved,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<CopyError> for Failure {
    fn from(error: CopyError) -> Self {
        let exit = match error {
            CopyError::Open(error) => return error.into(),
            CopyError::Exists(_) | CopyError::Itself(_) => Exit::Usage,
            CopyError::InUse { .. } | CopyError::Another { .. } => Exit::MustNotStart,
            _ => Exit::Failed,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<OutboxError> for Failure {
    fn from(error: OutboxError) -> Self {
        let exit = match error {
            OutboxError::Missing { .. }
            | OutboxError::Another { .. }
            | OutboxError::File { .. }
            | OutboxError::Namespace { .. } => Exit::Usage,
            OutboxError::Locked { .. } | OutboxError::Damaged { .. } | OutboxError::Newer { .. } => {
                Exit::MustNotStart
            }
            _ => Exit::Unserved,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        let exit = match error {
            ServeError::Connect(_) | ServeError::Namespace(_) | ServeError::ReplyPrefix { .. } => Exit::Usage,
            ServeError::Connection(_) => Exit::Unserved,
            _ => Exit::MustNotStart,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<eitherway::nats::ConnectError> for Failure {
    fn from(error: eitherway::nats::ConnectError) -> Self {
        Self::new(Exit::Usage, error.to_string())
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Store(error) => error.into(),
            BuildError::Outbox(error) => error.into(),
            BuildError::Nats(error) => error.into(),
            error => Self::new(Exit::Usage, error.to_string()),
        }
    }
}

impl From<crate::bot::chat::OpenError> for Failure {
    fn from(error: crate::bot::chat::OpenError) -> Self {
        Self::new(Exit::Usage, error.to_string())
    }
}

impl<O> From<Error<O>> for Failure {
    fn from(error: Error<O>) -> Self {
        let exit = if error.class() == Class::Rejected { Exit::Refused } else { Exit::Unserved };
        Self::of(exit, error.cause())
    }
}
