//! The handbook: the files of the folder `docs/` that are about this crate.

#[doc = include_str!("../docs/operations.md")]
pub mod operations {}

#[doc = include_str!("../docs/database.md")]
pub mod database {}

#[doc = include_str!("../docs/outbox.md")]
pub mod outbox {}

#[doc = include_str!("../docs/outages.md")]
pub mod outages {}

#[doc = include_str!("../docs/wire.md")]
pub mod wire {}

#[doc = include_str!("../docs/architecture.md")]
pub mod architecture {}
