use eitherway::{Code, Request};
use eitherway_layers::{Class, Classify};

use super::shop::{Everything, Fixture, Insist, Shop, ShopClient, Take};
use super::stores::on_each_store;

on_each_store! {
    an_answer_of_nothing_is_not_found_and_no_error_of_the_path,
    a_call_that_found_nothing_says_so_again_whatever_is_there_later,
}

async fn an_answer_of_nothing_is_not_found_and_no_error_of_the_path(f: Fixture) {
    assert_eq!(f.db.look("tea").await.unwrap(), None, "no row");
    assert_eq!(f.db.call(Everything {}).await.unwrap().answer, Vec::<String>::new(), "no row of a list");
    let error = f.db.call(Insist { item: "tea".into() }).await.unwrap_err();
    assert_eq!((error.class(), error.cause().code()), (Class::Rejected, Code::NOT_FOUND), "NULL: {error}");
    f.db.stock("tea", 2).await.unwrap();
    assert_eq!(f.db.look("tea").await.unwrap(), Some(2));
    assert_eq!(f.db.call(Everything {}).await.unwrap().answer, ["tea"]);
    assert_eq!(f.db.call(Insist { item: "tea".into() }).await.unwrap().answer, 2);
}

async fn a_call_that_found_nothing_says_so_again_whatever_is_there_later(f: Fixture) {
    let request = Request::<Shop>::new(Take { item: "tea".into() });
    let first = format!("{:?}", f.db.send(request.clone()).await.unwrap().answer);
    assert_eq!(first, "Take(None)");
    f.db.stock("tea", 2).await.unwrap();
    assert_eq!(format!("{:?}", f.db.send(request).await.unwrap().answer), first);
    assert_eq!(f.db.call(Take { item: "tea".into() }).await.unwrap().answer.as_deref(), Some("tea"));
    assert_eq!(f.number("SELECT count(*) FROM sales").await, 1);
}
