//! `rosey serve`.

use super::args::{JetStreamArg, ServeArgs, ServiceArgs};
use super::exit::{Exit, Failure};
use super::{console, signals};
use crate::service::{self, JetStream, Served, ServiceOptions};

pub(super) async fn run(args: ServeArgs) -> Result<Exit, Failure> {
    let shutdown = signals::shutdown();
    let db = args.database.open().await?;
    let options = args.service.options();
    let told = signals::told(shutdown);
    let served = service::serve(args.nats.options("rosey-serve"), db.clone(), options, || {}, told).await;
    db.close().await;
    Ok(report(&served?))
}

impl ServiceArgs {
    pub(super) fn options(&self) -> ServiceOptions {
        ServiceOptions {
            takeover: self.takeover,
            jetstream: match self.jetstream {
                JetStreamArg::Auto => JetStream::Auto,
                JetStreamArg::On => JetStream::On,
                JetStreamArg::Off => JetStream::Off,
            },
            stream_max_bytes: self.stream_max_bytes,
            ack_wait: self.stream_ack_wait_ms,
            ..ServiceOptions::default()
        }
    }
}

/// Says what was done, and what was lost.
pub(super) fn report(served: &Served) -> Exit {
    let Served { taken, done, refused, failed, returned, lost, buried } = served;
    console::say(format!(
        "stopped: {taken} taken, {done} done, {refused} refused ({buried} dead letters kept), {failed} failed and told \
         so, {returned} given back to the stream, {lost} lost"
    ));
    if *lost == 0 { Exit::Ok } else { Exit::Failed }
}
