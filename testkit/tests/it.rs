//! The kit does what it says: otherwise a test that uses it proves nothing.
#![allow(clippy::unwrap_used, missing_docs)]

mod it {
    mod cluster;
    mod proxy;
    mod server;
    mod world;
}
