//! The fault kit of the framework's tests, and the program `rosey` as a process.
#![allow(dead_code, unused_imports)] // each test file uses a part of it

mod bot;
pub(crate) mod browser;
pub(crate) mod cytube;
pub(crate) mod irc;
mod kit;
pub(crate) mod page;
mod process;
pub(crate) mod program;

pub(crate) use bot::{BotProcess, Fed, Report};
pub(crate) use kit::*;
pub(crate) use process::ServeProcess;
pub(crate) use program::{Program, Ran, run, run_with};
