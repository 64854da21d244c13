//! The stream: declared, emptied into the database message by message, watched.

mod api;
mod begin;
mod close;
mod consume;
mod declare;
mod elsewhere;
mod gone;
mod held;
mod limits;
mod mend;
mod message;
mod overlap;
mod pull;
mod raw;
mod reasons;
mod settings;
mod walk;
mod watch;

pub(super) use api::{Api, ApiError};
pub(super) use begin::{Declared, Plan};
pub(super) use close::close;
pub(super) use consume::Consume;
pub(super) use declare::Declaration;
pub(super) use overlap::Overlap;
