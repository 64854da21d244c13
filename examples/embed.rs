//! Rosey embedded in another program: the stack over both paths, and its typed client.
//!
//! `cargo run --example embed` works with or without a NATS server.

use std::time::Duration;

use rosey::nats::{NatsOptions, NatsService};
use rosey::op::Op;
use rosey::sql::{SqliteOptions, SqlxService};
use rosey::stack::{Direct, StackBuilder};
use rosey::{Class, Classify, Db};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("rosey.db");
    let database = SqlxService::<Op>::open(&SqliteOptions::new(&file.to_string_lossy())?).await?;
    let nats = NatsService::connect(NatsOptions::new("nats://127.0.0.1:4222")).await?;

    // Serves only while this is the database that the service on NATS writes to.
    let direct = Direct::open(database.clone());
    direct.follow(nats.status(), |_| async { None });

    let stack = StackBuilder::new().nats_timeout(Duration::from_millis(500)).build(nats, direct);
    let db = Db::new(stack);

    db.user_joined("alice").await?;
    db.message_log("alice", "hello").await?;
    if let Err(refused) = db.message_log("alice", "").await {
        assert_eq!(refused.class(), Class::Rejected);
        eprintln!("as it should be: {refused}");
    }
    for line in db.recent_chat(10).await? {
        eprintln!("<{}> {}", line.username, line.message);
    }
    database.close().await;
    Ok(())
}
