//! Which other programs a service starts beside.

use super::*;

#[tokio::test]
async fn a_service_refuses_to_start_beside_another_make_unless_it_takes_over() {
    let server = NatsServer::start().await;
    let (file, peer) = (DbFile::new(), Peer::connect(&server).await);
    let _python = peer.answer("rosey.db.stats.recent_chat.get", HeaderMap::new(), "[]").await;
    let refused = DbService::try_start(&server, &file, ServiceOptions::default()).await;
    let error = refused.map(drop).expect_err("refused");
    assert!(
        matches!(&error, ServeError::ForeignService { subject, .. } if subject == "rosey.db.stats.recent_chat.get")
    );
    assert!(error.to_string().contains("the option `takeover`"), "{error}");
    let takeover = ServiceOptions::default().takeover(true);
    DbService::try_start(&server, &file, takeover).await.unwrap().stop().await;
}

#[tokio::test]
async fn a_service_refuses_to_start_beside_one_on_another_database() {
    let w = World::new().await;
    let refused = DbService::try_start(&w.server, &DbFile::new(), ServiceOptions::default()).await;
    let error = refused.map(drop).expect_err("refused");
    assert!(matches!(&error, ServeError::OtherDatabase { other, .. } if other == w.service.sqlx.database()));
}

#[tokio::test]
async fn a_monitor_that_only_listens_keeps_no_service_from_starting() {
    let server = NatsServer::start().await;
    let (file, peer) = (DbFile::new(), Peer::connect(&server).await);
    let _monitor = peer.listen(">").await;
    DbService::start(&server, &file).await.stop().await;
}
