//! The database service, in a task of the test.

use eitherway::nats::NatsOptions;
use eitherway::operation::Persist;
use eitherway::service::{ServeError, Served, ServiceOptions, serve};
use eitherway::sql::SqlService;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::{DbFile, LIMIT, Url};

/// A service that ends without a word when it is dropped, and drains when it is stopped.
#[derive(Debug)]
pub struct DbService<O> {
    /// Its store.
    pub sqlx: SqlService<O>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<Served, ServeError>>,
}

impl<O: Persist> DbService<O> {
    /// Starts one on the file, and returns when it listens.
    pub async fn start(server: &impl Url, file: &DbFile<O>) -> Self {
        Self::try_start(server, file, ServiceOptions::default()).await.unwrap()
    }

    /// The same with options.
    ///
    /// # Errors
    /// What the service says at its start.
    pub async fn try_start(
        server: &impl Url,
        file: &DbFile<O>,
        options: ServiceOptions,
    ) -> Result<Self, ServeError> {
        Self::try_start_at(&server.url(), file, options).await
    }

    /// The same, on a server of this address.
    ///
    /// # Errors
    /// What the service says at its start.
    pub async fn try_start_at(
        url: &str,
        file: &DbFile<O>,
        options: ServiceOptions,
    ) -> Result<Self, ServeError> {
        let sqlx = file.open().await;
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = oneshot::channel();
        let nats = NatsOptions::new(url).name("database service");
        let ready = move || ready.send(()).unwrap();
        let shutdown = async move {
            // Dropped without a word: the test has failed already.
            let _ = stopped.await;
        };
        let task = tokio::spawn(serve(nats, sqlx.clone(), options, ready, shutdown));
        match tokio::time::timeout(LIMIT, is_ready).await.expect("the service starts or says why not") {
            Ok(()) => Ok(Self { sqlx, stop, task }),
            Err(_) => Err(task.await.unwrap().expect_err("it was not ready")),
        }
    }

    /// Tells it to stop, and waits until it has.
    pub async fn stop(self) -> Served {
        self.stop.send(()).unwrap();
        let served =
            tokio::time::timeout(LIMIT, self.task).await.expect("the service stops").unwrap().unwrap();
        self.sqlx.close().await;
        served
    }
}
