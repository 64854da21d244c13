//! The PostgreSQL server of the tests, and what its file takes from the root of their kit.

#[allow(dead_code)] // the tests use all of it
#[path = "../../bot/tests/support/kit/postgres.rs"]
mod postgres;

pub(crate) use eitherway_testkit::{LIMIT, Port, proc};
pub(crate) use postgres::Postgres;
