//! The shop over HTTP (`shop http ADDRESS`), and its database service (`shop serve`).
//!
//! `NATS_URL`, `SHOP_DB` and `SHOP_OUTBOX` say where the server, the database and the outbox are: `sqlite://shop.db`, or
//! `postgres://HOST/DATABASE`.

use std::env;
use std::time::Duration;

use axum::extract::{Json, Path, State};
use axum::routing::{get, post};
use axum::{Router, serve};
use eitherway::operation::OperationOf;
use eitherway::stack::BoxedStack;
use eitherway::{Db, Error, Head, Reply, Runtime, nats::NatsOptions, runtime, service};
use eitherway_layers::LogLayer;
use eitherway_shop::{GetOrder, Order, PlaceOrder, Shop, StockChanged};
use tokio::net::TcpListener;

type Client = Db<BoxedStack<Shop>>;
type Answer<A> = Result<Reply<A>, Error<Shop>>;

/// Any operation whose fields are the body.
async fn ask<M: OperationOf<Set = Shop>>(db: State<Client>, head: Head, op: Json<M>) -> Answer<M::Answer> {
    db.with(head).call(op.0).await
}

async fn get_order(db: State<Client>, head: Head, id: Path<String>) -> Answer<Order> {
    db.with(head).call(GetOrder { id: id.0 }).await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let var = |name, usual: &str| env::var(name).unwrap_or_else(|_| usual.to_owned());
    tracing_subscriber::fmt().with_env_filter(var("RUST_LOG", "info,eitherway_layers=debug")).init();
    let (nats, place) = (var("NATS_URL", "nats://127.0.0.1:4222"), var("SHOP_DB", "sqlite://shop.db"));
    let stop = runtime::shutdown_signal()?;
    match env::args().nth(1).as_deref() {
        Some("serve") => {
            let database = runtime::open_store::<Shop>(&place).await?;
            let options = service::ServiceOptions::default().layer(LogLayer::new("[STORE]"));
            service::serve(NatsOptions::new(nats), database.clone(), options, || {}, stop).await?;
            database.close().await;
        }
        Some("http") => {
            let builder =
                Runtime::builder().nats(nats).store(place).outbox(var("SHOP_OUTBOX", "shop.outbox"));
            let runtime = builder.build().await?.boxed();
            let shop = Router::new()
                .route("/orders", post(ask::<PlaceOrder>))
                .route("/orders/{id}", get(get_order))
                .route("/stock", post(ask::<StockChanged>))
                .with_state(runtime.client());
            let address = env::args().nth(2).unwrap_or("127.0.0.1:8080".into());
            serve(TcpListener::bind(address).await?, shop).with_graceful_shutdown(stop).await?;
            runtime.shutdown(Duration::from_secs(5)).await;
        }
        _ => return Err("shop http [ADDRESS] | shop serve".into()),
    }
    Ok(())
}
