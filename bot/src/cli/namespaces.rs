//! `rosey serve` for several namespaces: a store and a service for each, in one process. One that cannot serve says so and is
//! tried again; the others do not notice.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{self, Instant};

use super::addresses::named;
use super::args::{DatabaseArgs, ServeArgs};
use super::exit::{Exit, Failure};
use super::{serve, signals};
use eitherway::Namespace;
use eitherway::nats::NatsOptions;
use eitherway::service::{Served, ServiceOptions};

/// The pause before one is tried again, first and longest.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What is to be served.
pub(super) enum Rooms {
    /// The database that is named, or the usual one.
    One(Namespace),
    /// Each of these on a database of its own.
    Several(Vec<(Namespace, String)>),
}

impl Rooms {
    /// As the options say.
    pub(super) fn of(args: &ServeArgs) -> Result<Self, Failure> {
        let usage = |why: String| Failure::new(Exit::Usage, format!("--namespace: {why}"));
        let (mut plain, mut rooms) = (Vec::new(), Vec::<(Namespace, String)>::new());
        for (name, database) in args.namespace.iter().flat_map(|text| text.split(',')).map(named) {
            let namespace = Namespace::new(name).map_err(|e| usage(e.to_string()))?;
            let Some(database) = database else {
                plain.push(namespace);
                continue;
            };
            if rooms.iter().any(|(known, url)| *known == namespace || url == database) {
                return Err(usage(format!("{name}={database}: name and database stand there twice")));
            }
            rooms.push((namespace, database.to_owned()));
        }
        match (plain.pop(), rooms.is_empty()) {
            (None, true) => Ok(Self::One(Namespace::none())),
            (Some(one), true) if plain.is_empty() => Ok(Self::One(one)),
            (None, false) if args.database.database_url.is_none() => Ok(Self::Several(rooms)),
            (None, false) => {
                Err(usage("each has its database, and --database-url names another one".to_owned()))
            }
            (Some(one), _) => {
                Err(usage(format!("several need a database each, as in {one}=sqlite://{one}.db")))
            }
        }
    }
}

/// A namespace, and all that its service needs.
struct Room {
    namespace: Namespace,
    nats: NatsOptions,
    database: DatabaseArgs,
    options: ServiceOptions,
}

/// Serves all of them until `shutdown`; what they have done together.
pub(super) async fn run(
    args: &ServeArgs,
    rooms: Vec<(Namespace, String)>,
    shutdown: &watch::Receiver<bool>,
) -> Result<Served, Failure> {
    let mut all = JoinSet::new();
    for (namespace, url) in rooms {
        let database = DatabaseArgs { database_url: Some(url), ..args.database.clone().keeping(&args.keep) };
        let nats = args.nats.options("rosey-serve").namespace(namespace.clone());
        let room = Room { namespace, nats, database, options: args.service.options() };
        all.spawn(room.serve(shutdown.clone()));
    }
    let mut total = Served::default();
    while let Some(served) = all.join_next().await {
        total = total.and(served.map_err(|e| Failure::new(Exit::Failed, format!("a service: {e}")))?);
    }
    Ok(total)
}

impl Room {
    async fn serve(self, shutdown: watch::Receiver<bool>) -> Served {
        let namespace = self.namespace.as_str();
        let mut pause = AGAIN.0;
        loop {
            let begun = Instant::now();
            let one = serve::one(self.nats.clone(), &self.database, self.options.clone(), &shutdown);
            let failure = match one.await {
                Ok(served) => return served,
                Err(failure) => failure,
            };
            if begun.elapsed() > AGAIN.1 {
                pause = AGAIN.0;
            }
            tracing::error!(namespace, "not served, trying again in {pause:?}: {}", failure.message());
            if time::timeout(pause, signals::told(shutdown.clone())).await.is_ok() {
                return Served::default();
            }
            pause = (pause * 2).min(AGAIN.1);
        }
    }
}
