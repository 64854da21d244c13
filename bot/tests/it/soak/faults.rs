//! What breaks.

use std::time::Duration;

use crate::support::*;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    ServerKilled,
    ServerFrozen,
    ServiceKilled,
    ServiceFrozen,
    DatabaseLocked,
    BothDown,
}

impl Fault {
    pub(crate) const ALL: [Self; 6] = [
        Self::ServerKilled,
        Self::ServerFrozen,
        Self::ServiceKilled,
        Self::ServiceFrozen,
        Self::DatabaseLocked,
        Self::BothDown,
    ];
}

/// All of them, again and again, each time in another order.
pub(crate) fn in_any_order(seed: u64) -> impl Iterator<Item = Fault> {
    let mut dice = Dice::new(seed);
    std::iter::repeat_with(move || {
        let mut round = Fault::ALL;
        for place in (1..round.len()).rev() {
            round.swap(place, dice.one_of(0..=place as u64) as usize);
        }
        round
    })
    .flatten()
}

/// A server with JetStream, a file, and two services on both.
pub(crate) struct Env {
    pub(crate) world: Durable,
    /// Lives as long as the test: frozen at times, never killed.
    pub(crate) service: ServeProcess,
    /// Where it tells what it does.
    statistics: String,
    /// Is killed at times.
    other: ServeProcess,
}

impl Env {
    pub(crate) async fn new() -> Self {
        let world = Durable::new().await;
        let options = ["--jetstream", "on", "--stream-ack-wait-ms", "2000"];
        let service = ServeProcess::start_with(&world.server, &world.file, &options).await;
        let ping = Peer::connect(&world.server).await.request("$SRV.PING", "").await.json();
        let [name, id] = ["name", "id"].map(|field| ping[field].as_str().unwrap());
        let statistics = format!("$SRV.STATS.{name}.{id}");
        let other = ServeProcess::start_with(&world.server, &world.file, &options).await;
        Self { world, service, statistics, other }
    }

    /// What the service that lives tells of itself.
    pub(crate) async fn statistics(&self) -> serde_json::Value {
        Peer::connect(&self.world.server).await.request(&self.statistics, "").await.json()
    }

    /// Breaks something, and puts it right again after some seconds.
    pub(crate) async fn suffer(&mut self, fault: Fault) {
        let a_while = || tokio::time::sleep(Duration::from_secs(3));
        match fault {
            Fault::ServerKilled => {
                self.world.server.kill();
                a_while().await;
                self.world.server.restart().await;
            }
            Fault::ServerFrozen => {
                self.world.server.freeze();
                a_while().await;
                self.world.server.thaw();
            }
            Fault::ServiceKilled => {
                self.other.kill();
                self.service.freeze();
                a_while().await;
                self.service.thaw();
                self.other.restart().await;
            }
            Fault::ServiceFrozen => {
                self.service.freeze();
                a_while().await;
                self.service.thaw();
            }
            Fault::DatabaseLocked => {
                let held = self.world.file.hold().await;
                a_while().await;
                held.release().await;
            }
            Fault::BothDown => {
                self.world.server.kill();
                let held = self.world.file.hold().await;
                a_while().await;
                held.release().await;
                self.world.server.restart().await;
            }
        }
    }

    /// Waits until the stream is applied, and ends the services in order.
    pub(crate) async fn close(self) -> Durable {
        self.world.emptied().await;
        assert_eq!((self.service.terminate().await, self.other.terminate().await), (Some(0), Some(0)));
        self.world
    }
}
