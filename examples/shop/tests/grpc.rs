//! The shop over gRPC: its server in a process of its own, a real nats-server, and the client.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use eitherway_shop::grpc::proto::shop_client::ShopClient;
use eitherway_shop::grpc::proto::{Change, NewOrder, Order, OrderId};
use eitherway_shop::grpc::{Channel, client};
use support::{Database, World, on_each_database};
use tonic::transport::Endpoint;
use tonic::{Code, Request, Response};

on_each_database! { orders_over_grpc_take_effect_once_over_both_paths_and_the_status_says_what_became_of_them }

fn served_by<A>(response: &Response<A>) -> &str {
    response.metadata().get("served-by").unwrap().to_str().unwrap()
}

fn order(key: &'static str, quantity: u32) -> Request<NewOrder> {
    let mut request = Request::new(NewOrder { item: "tea".into(), quantity });
    request.metadata_mut().insert("idempotency-key", key.parse().unwrap());
    request
}

/// Waits until this path serves, by orders of something that is not in stock.
async fn served_over(shop: &mut ShopClient<Channel>, path: &str) {
    for _ in 0..1_000 {
        let change = Change { item: "probe".into(), by: 1 };
        if shop.stock_changed(change).await.is_ok_and(|taken| served_by(&taken) == path) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{path} serves nothing");
}

async fn orders_over_grpc_take_effect_once_over_both_paths_and_the_status_says_what_became_of_them(
    database: Database,
) {
    let (_server, world) = World::without_stream(database).await;
    let (mut serve, mut grpc) = (world.serve(), world.grpc().await);
    let mut shop = client(Endpoint::from_shared(format!("http://{}", world.address())).unwrap());

    served_over(&mut shop, "nats").await;
    shop.stock_changed(Change { item: "tea".into(), by: 10 }).await.unwrap();
    let placed = shop.place_order(order("one", 3)).await.unwrap();
    assert_eq!(served_by(&placed), "nats");
    let first = placed.into_inner();
    assert_eq!(first, Order { id: "one".into(), item: "tea".into(), quantity: 3 });
    serve.stop().await;
    served_over(&mut shop, "db").await;
    let again = shop.place_order(order("one", 3)).await.unwrap();
    assert_eq!((served_by(&again), again.get_ref()), ("db", &first));
    assert_eq!(shop.get_order(OrderId { id: "one".into() }).await.unwrap().into_inner(), first);

    let mut late = order("late", 1);
    late.metadata_mut().insert("grpc-timeout", "0S".parse().unwrap());
    let unknown = OrderId { id: "none".into() };
    for (what, status, code) in [
        ("sold out", shop.place_order(order("two", 8)).await.unwrap_err(), Code::FailedPrecondition),
        ("a check", shop.place_order(order("three", 0)).await.unwrap_err(), Code::InvalidArgument),
        ("another order", shop.place_order(order("one", 4)).await.unwrap_err(), Code::AlreadyExists),
        ("none of this id", shop.get_order(unknown).await.unwrap_err(), Code::NotFound),
        ("no id", shop.place_order(order("", 1)).await.unwrap_err(), Code::InvalidArgument),
    ] {
        assert_eq!(status.code(), code, "{what}: {status}");
    }
    let late = shop.place_order(late).await.unwrap_err();
    assert!(matches!(late.code(), Code::DeadlineExceeded | Code::Cancelled), "{late}");
    assert_eq!(world.database.number("SELECT count(*) FROM orders").await, 1);
    assert_eq!(world.database.number("SELECT count FROM stock WHERE item = 'tea'").await, 7);
    grpc.stop().await;
}
