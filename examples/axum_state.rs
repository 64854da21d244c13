//! The stack in the state of an axum service: HTTP requests in, the channel's database behind it.
//!
//! `cargo run --example axum_state` sends itself a few requests and exits.

#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use eitherway::stack::BoxedStack;
use eitherway::{Class, Classify, Db, Runtime};
use rosey::op::{Error, Op, RoseyClient, UserStats};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

type Memory = Arc<Db<BoxedStack<Op>>>;

/// The HTTP status for each class of error.
fn status(error: &Error) -> (StatusCode, String) {
    let status = match error.class() {
        Class::Rejected => StatusCode::UNPROCESSABLE_ENTITY,
        Class::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, error.to_string())
}

async fn joined(State(db): State<Memory>, Path(user): Path<String>) -> Result<(), (StatusCode, String)> {
    db.user_joined(user).await.map_err(|e| status(&e))
}

async fn user(
    State(db): State<Memory>,
    Path(user): Path<String>,
) -> Result<Json<UserStats>, (StatusCode, String)> {
    let found = db.user_stats(user).await.map_err(|e| status(&e))?;
    found.map(Json).ok_or((StatusCode::NOT_FOUND, "never seen".to_owned()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let store = dir.path().join("rosey.db").display().to_string();
    let runtime = Runtime::<Op>::builder().nats("nats://127.0.0.1:1").store(store).build().await?.boxed();
    let app = Router::new()
        .route("/users/{user}", get(user))
        .route("/users/{user}/joined", post(joined))
        .with_state(Arc::new(runtime.client()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });

    for request in ["POST /users/alice/joined", "GET /users/alice", "GET /users/nobody"] {
        let mut connection = tokio::net::TcpStream::connect(address).await?;
        let text = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        connection.write_all(text.as_bytes()).await?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await?;
        let status = answer.lines().next().unwrap_or_default();
        println!("{request}: {status} {}", answer.lines().last().unwrap_or_default());
    }
    runtime.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
