//! Doubles: a store in memory and a bus inside the process, as small as the traits allow. They prove that the service and the
//! runtime need nothing else of a database or a bus, and stand in for both where neither is what is tested.

mod bus;
mod store;

pub(crate) use bus::{LINE, Line, Served};
pub(crate) use store::{MEMORY, Memory};
