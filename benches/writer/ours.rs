//! The service, called as the stack calls it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use eitherway::Request;
use eitherway::sql::{SqlService, SqliteOptions, Synchronous};
use rosey::op::Op;
use tokio::runtime::Runtime;
use tower::Service;

/// A path for a new file.
pub(crate) fn file(dir: &Path, name: &str) -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    dir.join(format!("{name}-{}.db", COUNT.fetch_add(1, Ordering::Relaxed)))
}

/// The service over this file, with the options of a user.
pub(crate) fn service(runtime: &Runtime, file: &Path, synchronous: Synchronous) -> SqlService<Op> {
    let options = SqliteOptions::new(file.to_str().unwrap()).unwrap().synchronous(synchronous);
    runtime.block_on(SqlService::open(&options)).unwrap()
}

pub(crate) async fn ask(mut service: SqlService<Op>, request: Request<Op>) {
    // The service is always ready.
    service.call(request).await.unwrap();
}
