//! The stream: declared, emptied into the database message by message, watched.

mod api;
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
mod plan;
mod pull;
mod pull_limits;
mod raw;
mod reasons;
mod settings;
mod walk;
mod watch;
mod work;

pub(super) use api::{Api, ApiError};
pub(super) use close::close;
pub(super) use consume::Consume;
pub(super) use declare::Declaration;
pub(super) use overlap::Overlap;
pub(super) use plan::{Declared, Plan};
