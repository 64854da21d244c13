//! Whether a service may start, asked before its database comes into being.

use std::sync::Arc;

use super::begin::plan;
use super::bundle::Bundles;
use super::connection::Carries;
use super::link::Link;
use super::log_throttle::LogThrottle;
use super::options::Settings;
use super::replies::Replies;
use super::startup_retries::StartupRetries;
use super::stream::{Api, Declaration, Plan};
use super::{ServeError, ServiceOptions};
use crate::namespace::Namespace;
use crate::nats::NatsOptions;
use crate::nats::names::Names;
use crate::operation::Operation;

/// How a database that is not there yet is called: whatever runs already is on another one.
const NEW: &str = "a new one";

/// Whether answers may go to subjects below this prefix: what `serve` checks of each in
/// [`reply_prefixes`](ServiceOptions::reply_prefixes).
///
/// # Errors
/// Why `serve` would refuse it.
pub fn reply_prefix<O: Operation>(prefix: &str) -> Result<(), ServeError> {
    let names = Names::new::<O>(&Namespace::none())?;
    Replies::new::<O>(&names, &[prefix.to_owned()]).map(drop)
}

/// Whether [`serve`](super::serve) on a database that is still to be created would be refused, because something that is there
/// already is on another one, or is of another kind. For a caller that must not leave a file behind then.
///
/// Waits for a server as long as that takes, and ends with `shutdown`. Nothing keeps others from starting afterwards:
/// `serve` asks again.
///
/// # Errors
/// Those of `serve`.
pub async fn check<O: Operation>(
    nats: NatsOptions,
    options: &ServiceOptions,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    check_for::<O>(nats, options, NEW, shutdown).await
}

/// The same for a service on the database of this id.
///
/// # Errors
/// Those of `serve`.
pub async fn check_for<O: Operation>(
    nats: NatsOptions,
    options: &ServiceOptions,
    database: &str,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let settings = &options.settings;
    let names = Names::new::<O>(&settings.namespace.or(&nats.namespace)?)?;
    Replies::new::<O>(&names, &settings.reply_prefixes)?;
    let troubles = Arc::new(LogThrottle::new(O::NAMES));
    let asked = async {
        loop {
            if let Some(planned) = ask(&names, &nats, settings, database, &troubles).await {
                return planned;
            }
        }
    };
    tokio::select! {
        asked = asked => asked.map(drop),
        () = shutdown => Ok(()),
    }
}

/// Asks over one connection; nothing, if the server has denied it what it hears answers on.
async fn ask(
    names: &Names,
    nats: &NatsOptions,
    settings: &Settings,
    database: &str,
    troubles: &Arc<LogThrottle>,
) -> Option<Result<Plan, ServeError>> {
    // It listens to no subject of ours: one connection is enough.
    let link = match Link::open(nats.clone(), Carries::Requests, troubles).await {
        Ok(link) => link,
        Err(e) => return Some(Err(e.into())),
    };
    let (declaration, api) = (
        Declaration::new(names, database, settings, Bundles::new(settings.bundles, settings.in_flight)),
        Api::new(link.client.clone()),
    );
    let links = [&link];
    let mut tries = StartupRetries::new(&links, troubles);
    loop {
        tries.begin().await;
        let denied = || link.now().stream_denied;
        match tries
            .end(plan::<()>(names, &link.client, &api, &declaration, database, None, settings, denied))
            .await
        {
            None if troubles.denials.inboxes() && link.now().up => return None,
            None => {}
            planned => return planned,
        }
    }
}
