//! The kit does what it says: otherwise a test that uses it proves nothing.
#![allow(clippy::unwrap_used, missing_docs)]

mod it {
    mod proxy;
    mod server;
    mod world;
}
