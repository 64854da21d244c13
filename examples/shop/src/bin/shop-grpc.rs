//! The shop over gRPC (`shop-grpc ADDRESS`). Its database service is `shop serve`.
//!
//! `NATS_URL`, `SHOP_DB` and `SHOP_OUTBOX` say where the server, the database and the outbox are.

use std::env;
use std::time::Duration;

use eitherway::runtime::{Runtime, shutdown_signal};
use eitherway_shop::grpc::Grpc;
use eitherway_shop::grpc::proto::shop_server::ShopServer;
use tonic::transport::Server;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let var = |name, usual: &str| env::var(name).unwrap_or_else(|_| usual.to_owned());
    tracing_subscriber::fmt().with_env_filter(var("RUST_LOG", "info,eitherway_layers=debug")).init();
    let (nats, place) = (var("NATS_URL", "nats://127.0.0.1:4222"), var("SHOP_DB", "sqlite://shop.db"));
    let outbox = var("SHOP_OUTBOX", "shop-grpc.outbox");
    let runtime = Runtime::builder().nats(nats).store(place).outbox(outbox).build().await?.boxed();
    let address = env::args().nth(1).unwrap_or("127.0.0.1:50051".into()).parse()?;
    Server::builder()
        .concurrency_limit_per_connection(256)
        .timeout(Duration::from_secs(10))
        .add_service(ShopServer::new(Grpc(runtime.client())))
        .serve_with_shutdown(address, shutdown_signal()?)
        .await?;
    runtime.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
