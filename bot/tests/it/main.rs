//! Rosey from end to end: the bot, the program `rosey`, and what they promise. One binary: a test that changes what its whole process
//! shares (environment, limits, signals, the current directory) does so in a child process.
#![allow(clippy::unwrap_used, missing_docs)]

mod backups;
mod bot_end_to_end;
mod cli;
mod cluster;
mod cytube;
mod demo;
mod doctor;
mod durable;
mod endpoints;
mod ghosts;
mod handover;
mod irc;
mod namespaces;
mod outages;
mod outbox;
mod page;
mod postgres;
mod postgres_namespaces;
mod postgres_operator;
mod promises;
mod python_files;
mod quiet_log;
mod schedules;
mod soak;
mod supervised;
#[path = "../support/mod.rs"]
mod support;
mod top;
mod traces;
mod two_processes;
