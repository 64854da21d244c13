//! The kit for Rosey's operations: what the tests of the framework and of the bot put between real servers and real files.
#![allow(dead_code, unused_imports)] // each test file uses a part of it

mod client;
mod notices;
mod postgres;
mod stream;

use std::time::Duration;

use rosey::op::Op;

pub(crate) use client::{
    As, Load, Over, assert_exactly_once, assert_exactly_once_with, db_only, declare, direct, nats, nats_only,
    nats_within, recognised, stack,
};
pub(crate) use eitherway_testkit::{
    BOTH, BytesPeer, Dice, Direction, End, FaultWindow, FileLock, LIMIT, NatsCluster, NatsServer,
    NewConnections, Peer, Port, Proxy, Said, Schedule, Split, Tally, Transition, Url, doubles, holds_within,
    knob, next, proc, silent, wait_until,
};
pub(crate) use notices::{all_clear, noticed, notices, ping};
pub(crate) use postgres::{Postgres, short_limits};
pub(crate) use rosey::op::RoseyClient;
pub(crate) use stream::{Durable, off, on};

pub(crate) type Bot = eitherway_testkit::Client<Op>;
pub(crate) type DbFile = eitherway_testkit::DbFile<Op>;
pub(crate) type DbService = eitherway_testkit::DbService<Op>;
pub(crate) type OutboxFile = eitherway_testkit::OutboxFile<Op>;

/// An address at which no server listens.
pub(crate) const NOWHERE: &str = "nats://127.0.0.1:1";
/// Within 5 s something is noticed; twice that, for a machine on which other tests run.
pub(crate) const SOON: Duration = Duration::from_secs(10);
