//! Connections for reading, beside the writer's: a few, which are opened when they are needed. They follow the writer to another
//! server, which a pool of sqlx does not. A transaction is never begun on one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time;
use tokio_util::task::AbortOnDropHandle;

use super::fault::Fault;
use super::link::{self, CLOSING, Connected, Purpose};
use super::options::PostgresOptions;

/// How long a connection that is not used stays open.
const IDLE: Duration = Duration::from_secs(60);

/// How long one is used that was made to a standby, while no server takes writes: then a primary is looked for again.
const SPARE: Duration = Duration::from_secs(1);

pub(super) struct Readers {
    options: PostgresOptions,
    places: Semaphore,
    idle: Arc<Mutex<Vec<(Instant, Connected)>>>,
    _closing: AbortOnDropHandle<()>,
}

/// A connection, taken out: dropped in the middle of something, it is closed.
pub(super) struct Reader<'a> {
    connected: Connected,
    readers: &'a Readers,
    _place: SemaphorePermit<'a>,
}

impl Readers {
    pub(super) fn new(options: &PostgresOptions) -> Self {
        let idle = Arc::<Mutex<Vec<(Instant, Connected)>>>::default();
        let of_the_task = Arc::clone(&idle);
        let closing = async move {
            loop {
                time::sleep(IDLE / 2).await;
                of_the_task
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .retain(|(since, _)| since.elapsed() < IDLE);
            }
        };
        Self {
            options: options.clone(),
            places: Semaphore::new(options.readers.max(1) as usize),
            idle,
            _closing: AbortOnDropHandle::new(tokio::spawn(closing)),
        }
    }

    /// A connection that is idle, or a new one.
    pub(super) async fn take(&self) -> Result<Reader<'_>, Fault> {
        let servers = self.options.servers();
        // Those before it may take as long as that.
        let place = match time::timeout(self.options.statement_timeout, self.places.acquire()).await {
            Ok(place) => place.map_err(|_| Fault::NotConnected(sqlx::Error::PoolClosed))?,
            Err(_) => return Err(Fault::Taken),
        };
        let idle = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            // Others might read what is old.
            let (primary, headless) = (servers.primary(), servers.is_headless());
            idle.retain(
                |(_, one)| if headless { one.since.elapsed() < SPARE } else { one.server == primary },
            );
            idle.pop()
        };
        let connected = match idle {
            Some((_, connected)) => connected,
            None => link::connect(&self.options, Purpose::Reading).await?,
        };
        Ok(Reader { connected, readers: self, _place: place })
    }

    /// What an error of one of them means.
    pub(super) fn fault(&self, error: sqlx::Error) -> Fault {
        self.options.fault(error)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.places.is_closed()
    }

    /// No connection is given any more, and those that are idle are closed.
    pub(super) async fn close(&self) {
        self.places.close();
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        for (_, connected) in idle {
            let _ = time::timeout(CLOSING, connected.connection.close()).await;
        }
    }
}

impl Reader<'_> {
    pub(super) const fn connection(&mut self) -> &mut PgConnection {
        &mut self.connected.connection
    }

    /// It can be used again.
    pub(super) fn give_back(self) {
        if !self.readers.is_closed() {
            let mut idle = self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push((Instant::now(), self.connected));
        }
    }
}
