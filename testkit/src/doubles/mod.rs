//! Doubles: a store in memory and a bus inside the process, as small as the traits allow. They prove that the service and the
//! runtime need nothing else of a database or a bus, and stand in for both where neither is what is tested.

mod bus;
mod store;

pub use bus::{LINE, Line, Served};
pub use store::{MEMORY, Memory};
