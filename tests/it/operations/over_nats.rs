use eitherway::nats::{NatsOptions, NatsService};
use eitherway::operation::Refusal;
use eitherway::service::{ServiceOptions, serve};
use eitherway::stack::{BoxedStack, GuardedStore, Hedging, NO_PATH, StackBuilder, boxed};
use eitherway::{Cause, Code, Db, Request, Via};
use eitherway_layers::{Class, Classify};
use tokio::sync::oneshot;

use super::shop::{Buy, Count, Fixture, Insist, Shop, ShopClient};
use crate::support::{NatsServer, Url, wait_until};

/// A service over the shop, and a client that has no other path.
async fn served(f: &Fixture, server: &NatsServer) -> (Db<BoxedStack<Shop>>, oneshot::Sender<()>) {
    let (stop, stopped) = oneshot::channel::<()>();
    let (ready, is_ready) = oneshot::channel();
    let service = f.service.clone();
    let shutdown = async move {
        let _ = stopped.await;
    };
    let ready = move || ready.send(()).unwrap();
    tokio::spawn(serve(NatsOptions::new(server.url()), service, ServiceOptions::default(), ready, shutdown));
    is_ready.await.unwrap();
    let nats = NatsService::<Shop>::connect(NatsOptions::new(server.url())).await.unwrap();
    nats.recognised().await;
    let stack = StackBuilder::new().hedging(Hedging::off());
    (Db::new(boxed(stack.over(Some(nats), GuardedStore::closed(), NO_PATH).stack)), stop)
}

#[tokio::test]
async fn a_refusal_and_an_answer_of_nothing_are_the_same_over_nats() {
    let (f, server) = (Fixture::new().await, NatsServer::start().await);
    let (db, _stop) = served(&f, &server).await;
    let request = Request::<Shop>::new(Buy { item: "tea".into() });
    let refused = Cause::Refused(Box::new(Refusal::new("out_of_stock", "there is no tea left")));
    for _ in 0..2 {
        for error in
            [db.send(request.clone()).await.unwrap_err(), f.db.send(request.clone()).await.unwrap_err()]
        {
            assert_eq!((error.class(), error.cause()), (Class::Rejected, &refused));
        }
    }
    // more often than it takes to open the circuit
    for _ in 0..20 {
        assert_eq!(db.look("tea").await.unwrap(), None);
        let error = db.call(Insist { item: "tea".into() }).await.unwrap_err();
        assert_eq!(error.cause().code(), Code::NOT_FOUND, "{error}");
    }
    db.stock("tea", 3).await.unwrap();
    assert_eq!(db.buy("tea").await.unwrap(), 2);
    assert_eq!(db.call(Count { name: "x".into() }).await.unwrap().via, Via::NATS);
}

#[tokio::test]
async fn an_event_whose_statement_fails_is_a_dead_letter_and_the_stream_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (f, server) = (Fixture::new().await, NatsServer::with_jetstream(dir.path()).await);
    // An error without a class of its own, as a faulty statement has it.
    f.execute(
        "CREATE TRIGGER errs BEFORE INSERT ON sales WHEN NEW.item = 'poison'
         BEGIN SELECT json_extract('{}', 'no path'); END",
    )
    .await;
    let (db, _stop) = served(&f, &server).await;
    for name in ["one", "poison", "two", "poison", "three"] {
        db.call(Count { name: name.into() }).await.unwrap();
    }
    let sold = "SELECT count(*) FROM sales";
    let dead = "SELECT count(*) FROM dead_letters WHERE code = 'refused' AND reason LIKE '%no path%'";
    wait_until("three are applied and two set aside", || async {
        f.number(sold).await == 3 && f.number(dead).await == 2
    })
    .await;
    assert_eq!(f.number("SELECT n FROM counters WHERE name = 'ids'").await, 3);
}
