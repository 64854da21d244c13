//! Whether another program pulls from our consumer, as far as that can be known: deliveries that no instance has received went to
//! such a program only if every instance is heard.

use std::time::Duration;

use tokio::time::{self, Instant};

use super::api::ConsumerInfo;
use super::declare::{CONSUMER, Declaration};
use super::missing_deliveries::{Discrepancy, MissingDeliveries};
use super::reasons::{self, events};
use super::split::Split;
use crate::operation::Operation;
use crate::service::Shared;
use crate::service::instance::THERE;
use crate::service::progress::PATIENCE;
use crate::service::received::Received;
use crate::store::Store;

/// How long the database may take to say which instances there are.
const LIMIT: Duration = Duration::from_secs(1);
/// Instances that come, go, or answer late do so for this long before that is said.
const UNSETTLED: Duration = Duration::from_secs(60);

/// What is known from one look to the next.
#[derive(Debug, Default)]
pub(super) struct OtherPrograms {
    deliveries: MissingDeliveries,
    split: Split,
    /// Since when it cannot be known.
    unknown: Option<Instant>,
}

/// What there is to say after a look.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// What such a program took.
    pub(super) took: Option<String>,
    /// That it is not known whether one is there, and why.
    pub(super) unknown: Option<String>,
}

/// Why nothing is known of what another program took.
enum Why {
    /// A server of the cluster is missing; for so long that counts.
    Split(Duration),
    /// So many deliveries are missing, and an instance that works on the database is not heard.
    Unheard(u64),
    /// The instances do not settle.
    Unsettled,
}

impl OtherPrograms {
    /// What was handed out before this is compared with nothing.
    pub(super) fn forget(&mut self, received: &Received) {
        self.deliveries.forget(received);
    }

    /// The same; why nothing can be known is said elsewhere.
    pub(super) fn interrupted(&mut self, received: &Received) {
        self.unknown = None;
        self.forget(received);
    }

    /// Whether no server is missing that counts.
    pub(super) fn hears_all(&self, ack_wait: Duration) -> bool {
        self.split.counts_for(ack_wait).is_none()
    }

    /// Looks once.
    pub(super) async fn look<O: Operation, D: Store<O>>(
        &mut self,
        shared: &Shared<O, D>,
        declaration: &Declaration,
        consumer: &ConsumerInfo,
    ) -> Said {
        let received = &shared.progress.received;
        // An instance there may take events the moment its server is back, before it is heard here.
        if self.split.look(consumer.cluster.missing()) {
            self.forget(received);
        }
        if shared.progress.is_walking() {
            // What is taken out then is never handed out.
            self.interrupted(received);
            return Said::default();
        }
        let mut why = Why::Unsettled;
        let mut took = None;
        if let Some(left) = self.split.counts_for(declaration.ack_wait) {
            self.forget(received);
            why = Why::Split(left);
        } else if let Some(found) = self.deliveries.look(consumer, received, &shared.instance.id) {
            match Self::is_whole(shared, &found, !consumer.cluster.leader.is_empty()).await {
                Some(true) => {
                    took = Some(found.missing.sentence(&declaration.name, CONSUMER));
                    self.deliveries.said(found);
                }
                // It is found again, until that instance is heard or has long been gone.
                Some(false) => why = Why::Unheard(found.missing.count),
                None => self.forget(received),
            }
        }
        let known = self.deliveries.compares() && !matches!(why, Why::Unheard(_));
        Said { took, unknown: if known { self.known() } else { self.unknown(&why, declaration) } }
    }

    /// Whether those among which was compared are all that work on this database; none if that is not known, or some came since.
    async fn is_whole<O: Operation, D: Store<O>>(
        shared: &Shared<O, D>,
        found: &Discrepancy,
        in_cluster: bool,
    ) -> Option<bool> {
        let among = |ids: &[String]| ids.iter().all(|id| found.among.instances.contains(id));
        // An instance that came and ended between two looks may have applied them.
        let started = time::timeout(LIMIT, shared.db.started_since(found.among.since)).await.ok()?.ok()?;
        if !among(&started) {
            return None;
        }
        if !in_cluster {
            return Some(true);
        }
        // An instance at a server that hears the leader, and not ours, receives what it is not heard to have received.
        let there = crate::clock::now().saturating_sub(THERE);
        let there = time::timeout(LIMIT, shared.db.seen_since(there)).await.ok()?.ok()?;
        Some(among(&there))
    }

    fn known(&mut self) -> Option<String> {
        self.unknown = None;
        None
    }

    fn unknown(&mut self, why: &Why, declaration: &Declaration) -> Option<String> {
        let since = self.unknown.get_or_insert_with(Instant::now).elapsed();
        let patience = if matches!(why, Why::Unsettled) { UNSETTLED } else { PATIENCE };
        if since < patience {
            return None;
        }
        let why = match why {
            Why::Split(left) => format!(
                "the cluster's server {} is not heard, nor is a service that is connected to it. It is known again when that server is \
                 back, or has been away for {} s more; one that is gone for good may be removed (nats server cluster peer-remove)",
                self.split.names(),
                left.as_secs() + 1
            ),
            Why::Unheard(count) => format!(
                "{} handed out, and acknowledged, that no service here has received, and a service that works on this database is not \
                 heard over NATS. It is known when that one is heard, or has been gone for {} s. See whether all servers of the cluster \
                 have routes to each other",
                events(*count),
                THERE / 1000
            ),
            Why::Unsettled => "the services on this database come and go, or one of them does not tell what it has received: it may be \
                               older, or hold an event for long"
                .to_owned(),
        };
        Some(reasons::unknown_others(&declaration.name, since, &why))
    }
}
