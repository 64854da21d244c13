//! A layer of your own beside those of this crate: put it in [`yours`], and run
//!
//! ```sh
//! cargo bench -p eitherway-layers --all-features --bench own
//! ```
//!
//! It is measured around a service that answers at once and around one that fails, alone and as the innermost layer of the
//! standard stack. The request implements `Label`, the reply `ServedBy` and the error `Classify`; all are in `support`.

mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use eitherway_layers::{BreakerLayer, LogLayer, TimeoutLayer};
use support::{Error, LIMIT, Req, Res, fails, measure, standard, works};
use tower::{Layer, Service};

/// The layer to be measured. As an example, one of tower's; for yours, add your crate to the `dev-dependencies`.
fn yours<S>(inner: S) -> impl Service<Req, Response = Res, Error = Error> + Clone
where
    S: Service<Req, Response = Res, Error = Error> + Clone,
{
    tower::limit::ConcurrencyLimitLayer::new(1024).layer(inner)
}

fn own(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _entered = runtime.enter();
    let mut group = c.benchmark_group("own: answers");
    measure(&mut group, "bare", works());
    measure(&mut group, "yours", yours(works()));
    measure(&mut group, "timeout", TimeoutLayer::new(LIMIT).layer(works()));
    measure(&mut group, "breaker", BreakerLayer::default().layer(works()));
    measure(&mut group, "log", LogLayer::new("[NATS]").layer(works()));
    group.finish();
    let mut group = c.benchmark_group("own: fails");
    measure(&mut group, "bare", fails());
    measure(&mut group, "yours", yours(fails()));
    measure(&mut group, "timeout", TimeoutLayer::new(LIMIT).layer(fails()));
    group.finish();
    let mut group = c.benchmark_group("own: in the standard stack");
    measure(&mut group, "without", standard(works(), works()));
    measure(&mut group, "with yours around the first path", standard(yours(works()), works()));
    group.finish();
}

criterion_group!(benches, own);
criterion_main!(benches);
