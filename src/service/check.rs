//! Whether a service may start, asked before its database comes into being.

use std::sync::Arc;

use tokio::sync::watch;

use super::connection::{Connection, note};
use super::replies::Replies;
use super::stream::{Api, Declaration};
use super::tries::Tries;
use super::troubles::Troubles;
use super::{ServeError, ServiceOptions, plan};
use crate::nats::{NatsOptions, redact};
use crate::operation::Persist;

/// How a database that is not there yet is called: whatever runs already is on another one.
const NEW: &str = "a new one";

/// Whether answers may go to subjects below this prefix: what `serve` checks of each in
/// [`reply_prefixes`](ServiceOptions::reply_prefixes).
#[cfg(feature = "cli")]
pub(crate) fn reply_prefix<O: Persist>(prefix: &str) -> Result<(), ServeError> {
    Replies::new::<O>(&[prefix.to_owned()]).map(drop)
}

/// Whether [`serve`](super::serve) on a database that is still to be created would be refused, because something that is there
/// already is on another one, or is of another kind. For whoever must not leave a file behind then.
///
/// Waits for a server as long as that takes, and ends with `shutdown`. Nothing keeps others from starting afterwards:
/// `serve` asks again.
///
/// # Errors
/// Those of `serve`.
pub async fn check<O: Persist>(
    nats: NatsOptions,
    options: &ServiceOptions,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    check_for::<O>(nats, options, NEW, shutdown).await
}

/// The same for a service on the database of this id.
pub(crate) async fn check_for<O: Persist>(
    nats: NatsOptions,
    options: &ServiceOptions,
    database: &str,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    Replies::new::<O>(&options.reply_prefixes)?;
    let url = redact(&nats.url);
    let (events, state) = watch::channel(Connection::default());
    let troubles = Arc::new(Troubles::new(O::NAMES));
    let heard = Arc::clone(&troubles);
    let client = nats.connect(move |event| note(&events, &heard, &event)).await?;
    let (declaration, api) = (Declaration::new::<O>(database, options), Api::new(client.clone()));
    let asked = async {
        let mut tries = Tries::new(state.clone(), &url, &troubles);
        loop {
            tries.begin().await;
            let denied = || state.borrow().stream_denied;
            let planned = plan::<O>(&client, &api, &declaration, database, None, options, denied).await;
            if let Some(planned) = tries.end(planned).await {
                return planned;
            }
        }
    };
    tokio::select! {
        asked = asked => asked.map(drop),
        () = shutdown => Ok(()),
    }
}
