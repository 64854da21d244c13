//! Rosey stores a chat bot's state. It is a user of the framework [`eitherway`]: every database operation goes over
//! NATS to a database service, and when that path fails, the *same request* runs on the database itself. Each
//! operation takes effect exactly once, and the log says which path served it.
//!
//! - [`op`] contains the operations of the chat bot, and [`op::RoseyClient`] the methods of its typed client.
//! - [`bot`] is the bot: events, dispatcher, handlers, chat sources.
//! - [`cli`] is the command `rosey`.

pub mod bot;
#[cfg(test)]
#[path = "../../src/captured_logs.rs"]
mod captured_logs;
pub mod cli;
pub mod op;
#[cfg(test)]
mod reference;
