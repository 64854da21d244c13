//! `rosey serve`.

use super::args::ServeArgs;
use super::exit::{Exit, Failure};
use super::{console, signals};
use crate::service::{self, Served, ServiceOptions};

pub(super) async fn run(args: ServeArgs) -> Result<Exit, Failure> {
    let shutdown = signals::shutdown();
    let db = args.database.keeping(&args.keep)?.open().await?;
    let options = ServiceOptions { takeover: args.takeover, ..ServiceOptions::default() };
    let told = signals::told(shutdown);
    let served = service::serve(args.nats.options("rosey-serve"), db.clone(), options, || {}, told).await;
    db.close().await;
    Ok(report(&served?))
}

/// Says what was done, and what was lost.
pub(super) fn report(served: &Served) -> Exit {
    let Served { taken, done, refused, failed, lost, buried } = served;
    console::say(format!(
        "stopped: {taken} taken, {done} done, {refused} refused ({buried} dead letters kept), {failed} failed and told \
         so, {lost} lost"
    ));
    if *lost == 0 { Exit::Ok } else { Exit::Failed }
}
