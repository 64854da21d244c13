//! The time to compile a stack grows linearly with its layers.

use crate::support::{Error, Req, Via, read};
use eitherway_layers::{
    BreakerLayer, Class, FallbackExt, LogLayer, PathChangeLogLayer, TimeoutLayer, breaker::Config,
};
use std::{future::ready, time::Duration};
use tower::{Layer, ServiceExt, service_fn};

/// Four layers: log, breaker, time-out and fallback.
macro_rules! four {
    ($inner:expr) => {{
        let limited = TimeoutLayer::new(Duration::from_secs(1)).layer($inner);
        let guarded = BreakerLayer::new(Config::new()).layer(limited);
        LogLayer::new("[NEST]").layer(guarded).fallback_to(service_fn(|req: Req| {
            ready(if req.write { Ok(Via(1)) } else { Err(Error::Of(Class::NotSent)) })
        }))
    }};
}

/// With a bound that is worked out anew at each layer this file would compile for hours: with twelve of these layers it
/// would take as long as all other tests, and twice as long with each further one.
#[tokio::test]
async fn a_nest_of_24_layers_compiles_and_serves() {
    let leaf = service_fn(|_: Req| ready(Err::<Via, _>(Error::Of(Class::Backend))));
    let nest = four!(four!(four!(four!(four!(four!(leaf))))));
    assert!(PathChangeLogLayer::new().layer(nest.clone()).oneshot(read(1)).await.is_err());
    assert_eq!(nest.oneshot(crate::support::write(1)).await.unwrap(), Via(1));
}
