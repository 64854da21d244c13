//! The stream: declared, emptied into the database message by message, watched.

mod api;
mod close;
mod consume;
mod declare;
mod gone;
mod limits;
mod message;
mod overlap;
mod pull;
mod raw;
mod settings;
mod walk;
mod watch;

pub(super) use api::{Api, ApiError};
pub(super) use close::close;
pub(super) use consume::Consume;
pub(super) use declare::{Declaration, Declared, Plan};
pub(super) use overlap::Overlap;
