//! Custom operations: a to-do list that goes over NATS first, falls back to SQLite, and applies every
//! operation once.
//!
//! `cargo run --example todo` works alone; with `NATS_URL` set it serves its own subjects there, and uses
//! them.

#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::time::Duration;

use eitherway::nats::NatsOptions;
use eitherway::operation::{Definition, Done, Invalid, Migration, Spec};
use eitherway::service::{ServiceOptions, serve};
use eitherway::sql::{SqlService, SqliteOptions};
use eitherway::{Request, Runtime};
use serde::{Deserialize, Serialize};

/// Adds an entry to the list.
#[derive(Debug, Serialize, Deserialize)]
pub struct Add {
    text: String,
}

impl Definition for Add {
    type Answer = Done;
    const SPEC: Spec = Spec::event("add", "todo.add");
    const STATEMENTS: &'static [&'static str] =
        &["INSERT INTO todo (op_id, at, text) SELECT id, at, op ->> 'text' FROM new"];

    fn check(&self) -> Result<(), Invalid> {
        if self.text.is_empty() { Err("text: is empty".into()) } else { Ok(()) }
    }
}

/// Returns the entries of the list, oldest first.
#[derive(Debug, Serialize, Deserialize)]
pub struct List {}

impl Definition for List {
    type Answer = Vec<BTreeMap<String, String>>;
    const SPEC: Spec = Spec::query("list", "todo.list").list();
    const ANSWER: &'static str =
        "SELECT json_group_array(json_object('text', text) ORDER BY at, op_id) FROM todo";
}

const TABLES: &[Migration] = &[Migration::new(
    10,
    "todo",
    "CREATE TABLE todo (op_id TEXT PRIMARY KEY, at INTEGER NOT NULL, text TEXT NOT NULL)",
)];

eitherway::operations! {
    /// The operations of a to-do list.
    pub enum Todo -> TodoAnswer in "todo" with TABLES { Add(Add), List(List) }
}

eitherway::client! {
    /// The list's methods.
    pub trait TodoClient for Todo {
        /// Puts something on the list.
        add(text: impl Into<String>) => Add { text: text.into() };
        /// What is on the list.
        list() => List {};
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("todo.db");
    let database = SqlService::<Todo>::open(&SqliteOptions::new(&file.to_string_lossy())?).await?;
    let url = std::env::var("NATS_URL");
    let nats = url.as_deref().unwrap_or("nats://127.0.0.1:1");
    let runtime = Runtime::builder().nats(nats).store(database.clone()).build().await?;
    if let (Ok(url), Some(nats)) = (&url, runtime.nats()) {
        tokio::spawn(serve(
            NatsOptions::new(url),
            database,
            ServiceOptions::default(),
            || {},
            std::future::pending(),
        ));
        nats.recognised().await;
    }
    let db = runtime.client();

    let request = Request::<Todo>::new(Add { text: "water the plants".into() });
    for _ in 0..3 {
        let reply = db.send(request.clone()).await?; // the same request, three times: one effect
        println!("added via={}", reply.via);
    }
    db.add("feed the cat").await?;
    for item in db.list().await? {
        println!("- {}", item["text"]);
    }
    runtime.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
