//! Rosey embedded in another program: the example of the README.
//!
//! `cargo run --example embed` works with or without a NATS server. It leaves its two files in the current directory.

#![allow(clippy::print_stdout)]

use std::time::Duration;

use eitherway::Runtime;
use rosey::op::{Op, RoseyClient};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let nats = std::env::var("NATS_URL").unwrap_or("nats://127.0.0.1:4222".into());
    let runtime = Runtime::<Op>::builder()
        .nats(nats)
        .store("sqlite://rosey.db") // used only while the service on NATS writes to the same database
        .outbox("rosey.outbox") // keeps events that neither takes, and replays them
        .build()
        .await?;
    let db = runtime.client();

    db.user_joined("alice").await?;
    db.message_log("alice", "hello").await?;
    for line in db.recent_chat(10).await? {
        println!("<{}> {}", line.username, line.message);
    }
    println!("{}", runtime.health()); // which path serves, and why
    runtime.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
