//! The stream: declared, emptied into the database message by message, watched.

mod ack;
mod api;
mod attempt;
mod close;
mod consume;
mod consumer_replacement;
mod declare;
mod limits;
mod message;
mod missing_deliveries;
mod other_programs;
mod overlap;
mod plan;
mod pull;
mod pull_limits;
mod raw;
mod reasons;
mod removed_messages;
mod repair;
mod scan;
mod settings;
mod split;
mod subjects;
mod watch;
mod work;

pub(super) use api::{Api, ApiError};
pub(super) use close::close;
pub(super) use consume::Consume;
pub(super) use declare::Declaration;
pub(super) use overlap::Overlap;
pub(super) use plan::{Declared, Plan};
