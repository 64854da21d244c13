//! Real IRC servers, people on them, and one of them who writes down what happens.

mod person;
mod record;
mod server;
mod services;

pub(crate) use person::Person;
pub(crate) use record::Record;
pub(crate) use server::IrcServer;
pub(crate) use services::Services;
