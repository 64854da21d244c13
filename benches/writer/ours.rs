//! The service, called as the stack calls it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use eitherway::Request;
use eitherway::sql::{SqliteOptions, SqlxService, Synchronous};
use rosey::op::Op;
use tokio::runtime::Runtime;
use tower::Service;

use crate::load::Load;
use crate::measure::{Round, Side, callers};

/// A path for a new file.
pub(crate) fn file(dir: &Path, name: &str) -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    dir.join(format!("{name}-{}.db", COUNT.fetch_add(1, Ordering::Relaxed)))
}

/// The service over this file, with the options of a user.
pub(crate) fn service(runtime: &Runtime, file: &Path, synchronous: Synchronous) -> SqlxService<Op> {
    let options = SqliteOptions::new(file.to_str().unwrap()).unwrap().synchronous(synchronous);
    runtime.block_on(SqlxService::open(&options)).unwrap()
}

pub(crate) async fn ask(mut service: SqlxService<Op>, request: Request<Op>) {
    // The service is always ready.
    service.call(request).await.unwrap();
}

/// One service, shared by any number of rows.
pub(crate) struct Ours<'a> {
    runtime: &'a Runtime,
    service: SqlxService<Op>,
}

impl<'a> Ours<'a> {
    pub(crate) fn open(runtime: &'a Runtime, dir: &Path, name: &str, synchronous: Synchronous) -> Self {
        Self::over(runtime, service(runtime, &file(dir, name), synchronous))
    }

    pub(crate) const fn over(runtime: &'a Runtime, service: SqlxService<Op>) -> Self {
        Self { runtime, service }
    }

    /// Closes the service, which moves everything into the main file.
    pub(crate) async fn close(&self) {
        self.service.close().await;
    }

    pub(crate) fn row(&self, name: &'static str, load: Load) -> Row<'a> {
        Row { name, load, runtime: self.runtime, service: self.service.clone() }
    }
}

/// Operations of one kind.
pub(crate) struct Row<'a> {
    name: &'static str,
    load: Load,
    runtime: &'a Runtime,
    service: SqlxService<Op>,
}

impl Side for Row<'_> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self, count: usize, time: Duration) -> Round {
        let (service, load) = (self.service.clone(), self.load);
        callers(self.runtime, count, time, move |caller, turn| {
            ask(service.clone(), load.request(caller, turn))
        })
    }
}
