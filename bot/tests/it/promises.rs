//! What the service promises to strangers, to operators and to their files, seen from outside: through the command line and
//! the wire alone. One module a kind of fault.

mod bounds;
mod certificates;
mod clock;
mod configuration;
mod credentials;
mod derived_ids;
mod ended_connection;
mod file;
mod flooded;
mod foreign_service;
mod json_output;
mod limited_account;
mod limited_client;
mod locks_and_modes;
mod migrating;
mod operators;
mod order;
pub(crate) mod other_programs;
pub(crate) mod permissions;
mod poison;
mod progress;
mod replies;
mod results;
mod same_id;
mod secrets;
mod settings;
mod shared_inboxes;
mod shutdown;
mod signals;
mod switches;
mod values;
pub(crate) mod world;
