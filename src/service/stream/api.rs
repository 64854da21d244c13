//! The questions to JetStream that this service has. In JSON, because the floor is a server that knows less than the
//! client library does.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::context::{Context, ContextBuilder, RequestErrorKind};
use serde::Deserialize;
use serde_json::{Value, json};

// Error codes of JetStream: github.com/nats-io/nats-server, server/errors.json
const CONSUMER_NOT_FOUND: u64 = 10014;
const STREAM_NOT_FOUND: u64 = 10059;
pub(super) const MESSAGE_NOT_FOUND: u64 = 10037;
// A cluster that looks for a leader, or in which servers are missing.
const OF_A_CLUSTER: [u64; 4] = [10004, 10007, 10008, 10009];
const NOT_ENABLED: u64 = 10076;
const NOT_ENABLED_FOR_ACCOUNT: u64 = 10039;

/// A server of a cluster from which nothing has come for so long is not heard: they speak every second, at least.
const UNHEARD: Duration = Duration::from_secs(2);

/// How long the server may take to answer.
const LIMIT: Duration = Duration::from_secs(3);

/// Why a question has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(in crate::service) enum ApiError {
    #[error("the server has no JetStream")]
    Absent,
    #[error("the server does not let us use JetStream")]
    Denied,
    #[error("JetStream does not answer: {0}")]
    Silent(String),
    #[error("JetStream says: {description} ({code})")]
    Refused { code: u64, description: String },
    /// What this service does not ask JetStream for.
    #[error("{0}")]
    Declined(String),
}

impl ApiError {
    /// Whether there is no JetStream for us at all. Everything else may pass.
    pub(super) fn is_none(&self) -> bool {
        matches!(
            self,
            Self::Absent | Self::Denied | Self::Refused { code: NOT_ENABLED | NOT_ENABLED_FOR_ACCOUNT, .. }
        )
    }

    /// What JetStream says about it, without its number; nothing if it says nothing.
    pub(super) fn said(&self) -> Option<(u64, &str)> {
        match self {
            Self::Refused { code, description } => Some((*code, description)),
            _ => None,
        }
    }

    /// Whether it is a cluster's for as long as it has no leader: nothing is wrong with what was asked for.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if OF_A_CLUSTER.contains(code))
    }

    /// Whether what was asked for does not exist.
    pub(in crate::service) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code: CONSUMER_NOT_FOUND | STREAM_NOT_FOUND | MESSAGE_NOT_FOUND, .. })
    }
}

/// A stream, as far as it matters here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::service) struct StreamInfo {
    pub(super) config: StreamConfig,
    pub(in crate::service) state: StreamState,
    /// When it was created: one that was created again counts from 1 again.
    pub(super) created: String,
    pub(super) cluster: Cluster,
    /// Its settings, all of them.
    #[serde(skip)]
    pub(super) settings: Value,
}

impl StreamInfo {
    /// What says whose it is.
    pub(in crate::service) fn description(&self) -> &str {
        &self.config.description
    }

    /// Whether nothing goes in or out any more.
    pub(super) fn is_sealed(&self) -> bool {
        self.settings["sealed"] == true
    }
}

/// The servers that keep a stream or a consumer, as far as they matter here.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(from = "ClusterInfo")]
pub(super) struct Cluster {
    /// The one that answers for it; empty outside a cluster.
    pub(super) leader: String,
    /// Whether there is none, or one that hears no majority: it still answers for a while, with what it knew before.
    is_lost: bool,
    /// Those that are not heard, by their names.
    missing: Vec<String>,
}

/// What a server says of the servers that keep something.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClusterInfo {
    leader: String,
    replicas: Vec<Replica>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Replica {
    name: String,
    offline: bool,
    current: bool,
    /// For how long nothing has come from it, in nanoseconds.
    active: u64,
}

impl From<ClusterInfo> for Cluster {
    fn from(info: ClusterInfo) -> Self {
        let heard = |replica: &Replica| !replica.offline && Duration::from_nanos(replica.active) < UNHEARD;
        let (all, heard_of) =
            (info.replicas.len(), info.replicas.iter().filter(|replica| heard(replica)).count());
        let is_lost = all > 0 && (info.leader.is_empty() || heard_of < all.div_ceil(2));
        // A leader that was elected since tells of one that it has never heard as if it had, this moment.
        let never = |replica: &Replica| !replica.current && replica.active <= 1;
        let missing = info.replicas.into_iter().filter(|replica| !heard(replica) || never(replica));
        let mut missing: Vec<_> = missing.map(|replica| replica.name).collect();
        missing.sort_unstable();
        Self { leader: info.leader, is_lost, missing }
    }
}

impl Cluster {
    /// # Errors
    /// There is no leader, or it has lost the others: what was said with this may be long past.
    pub(super) fn known(&self) -> Result<(), ApiError> {
        if self.is_lost {
            return Err(ApiError::Silent("too few servers of the cluster hear each other".to_owned()));
        }
        Ok(())
    }

    /// The servers that are not heard, by their names, in order. Nor may the instances be that are connected to them.
    pub(super) fn missing(&self) -> &[String] {
        &self.missing
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::service) struct StreamConfig {
    pub(super) description: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::service) struct StreamState {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) first_seq: u64,
    /// When the first message was stored, as RFC 3339 writes it.
    pub(super) first_ts: String,
    pub(super) last_seq: u64,
}

impl StreamState {
    /// Whether everything up to this place has been acknowledged, and so applied: the queue keeps exactly what has not.
    /// A place that the stream has not reached is one of a stream that was deleted since.
    pub(in crate::service) fn has_applied(&self, sequence: u64) -> bool {
        self.messages == 0 || self.first_seq > sequence || sequence > self.last_seq
    }

    pub(in crate::service) const fn last(&self) -> u64 {
        self.last_seq
    }
}

/// A consumer, as far as it matters here.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(in crate::service) struct ConsumerInfo {
    pub(super) delivered: Sequence,
    pub(super) ack_floor: Sequence,
    pub(super) num_pending: u64,
    pub(super) num_ack_pending: u64,
    pub(super) num_waiting: u64,
    pub(super) paused: bool,
    pub(super) created: String,
    pub(super) cluster: Cluster,
    /// Its settings, all of them.
    pub(super) config: Value,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(in crate::service) struct Sequence {
    pub(super) consumer_seq: u64,
    pub(super) stream_seq: u64,
}

/// Asks JetStream.
#[derive(Clone, Debug)]
pub(in crate::service) struct Api(Context);

impl Api {
    pub(in crate::service) fn new(client: Client) -> Self {
        Self(ContextBuilder::new().timeout(LIMIT).build(client))
    }

    /// Whether there is JetStream for us.
    pub(in crate::service) async fn account(&self) -> Result<(), ApiError> {
        self.ask("INFO", &json!({})).await.map(drop)
    }

    /// The streams that store a subject.
    pub(in crate::service) async fn storing(&self, subject: &str) -> Result<Vec<String>, ApiError> {
        let names = self.ask("STREAM.NAMES", &json!({ "subject": subject })).await?;
        Ok(names["streams"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect())
    }

    pub(in crate::service) async fn stream(&self, name: &str) -> Result<StreamInfo, ApiError> {
        let mut answer = self.ask(&format!("STREAM.INFO.{name}"), &json!({})).await?;
        let info = StreamInfo::deserialize(&answer).map_err(|e| ApiError::Silent(e.to_string()))?;
        Ok(StreamInfo { settings: answer["config"].take(), ..info })
    }

    pub(super) async fn create_stream(&self, name: &str, config: &Value) -> Result<(), ApiError> {
        self.ask(&format!("STREAM.CREATE.{name}"), config).await.map(drop)
    }

    pub(super) async fn update_stream(&self, name: &str, config: &Value) -> Result<(), ApiError> {
        self.ask(&format!("STREAM.UPDATE.{name}"), config).await.map(drop)
    }

    pub(super) async fn delete_stream(&self, name: &str) -> Result<(), ApiError> {
        self.ask(&format!("STREAM.DELETE.{name}"), &json!({})).await.map(drop)
    }

    pub(super) async fn consumer(&self, stream: &str, name: &str) -> Result<ConsumerInfo, ApiError> {
        self.read(&format!("CONSUMER.INFO.{stream}.{name}"), &json!({})).await
    }

    /// Creates a durable consumer, or changes the one that is there.
    pub(super) async fn put_consumer(
        &self,
        stream: &str,
        name: &str,
        config: &Value,
    ) -> Result<ConsumerInfo, ApiError> {
        let body = json!({ "stream_name": stream, "config": config });
        self.read(&format!("CONSUMER.DURABLE.CREATE.{stream}.{name}"), &body).await
    }

    pub(super) async fn delete_consumer(&self, stream: &str, name: &str) -> Result<(), ApiError> {
        self.ask(&format!("CONSUMER.DELETE.{stream}.{name}"), &json!({})).await.map(drop)
    }

    async fn read<T: for<'a> Deserialize<'a>>(&self, subject: &str, body: &Value) -> Result<T, ApiError> {
        let answer = self.ask(subject, body).await?;
        serde_json::from_value(answer).map_err(|e| ApiError::Silent(e.to_string()))
    }

    pub(super) async fn ask(&self, subject: &str, body: &Value) -> Result<Value, ApiError> {
        let answer: Value = self.0.request(subject.to_owned(), body).await.map_err(|e| match e.kind() {
            RequestErrorKind::NoResponders => ApiError::Absent,
            _ => ApiError::Silent(e.to_string()),
        })?;
        match answer.get("error") {
            None => Ok(answer),
            Some(error) => Err(ApiError::Refused {
                code: error["err_code"].as_u64().unwrap_or_default(),
                description: error["description"].as_str().unwrap_or("no reason").to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_leader_says_that_hears_no_majority_is_not_known() {
        let known = |cluster: Value| Cluster::deserialize(cluster).expect("a cluster").known().is_ok();
        let heard = |seconds: &[f64]| {
            let replicas = seconds.iter().map(|s| json!({ "name": "x", "active": (s * 1e9) as u64 }));
            json!({ "leader": "a", "replicas": replicas.collect::<Vec<_>>() })
        };
        assert!(known(json!({})) && known(heard(&[])), "no cluster, or one copy");
        for (others, right) in
            [(&[0.1, 1.4][..], true), (&[0.1, 9.0], true), (&[2.5, 9.0], false), (&[2.5], false)]
        {
            assert_eq!(known(heard(others)), right, "{others:?}");
        }
        assert!(known(heard(&[0.1, 0.1, 9.0, 9.0])) && !known(heard(&[0.1, 9.0, 9.0, 9.0])));
        assert!(
            !known(json!({ "replicas": [{ "active": 0 }, { "active": 0 }, { "active": 0 }] })),
            "no leader"
        );
        let offline = json!({ "offline": true, "active": 0 });
        assert!(!known(json!({ "leader": "a", "replicas": [offline, offline] })));
    }

    #[test]
    fn the_servers_that_are_not_heard_are_known_by_their_names() {
        let replica = |name: &str, seconds: f64, more: Value| {
            let mut replica = json!({ "name": name, "active": (seconds * 1e9) as u64, "current": true });
            replica.as_object_mut().expect("it is one").extend(more.as_object().cloned().unwrap_or_default());
            replica
        };
        let here = replica("here", 0.1, json!({}));
        let missing = |others: &[&Value]| {
            let cluster = json!({ "leader": "a", "replicas": others });
            Cluster::deserialize(cluster).expect("a cluster").missing().to_vec()
        };
        assert_eq!(missing(&[]), Vec::<String>::new());
        assert_eq!(missing(&[&here, &replica("too", 1.4, json!({}))]), Vec::<String>::new());
        for away in [
            replica("away", 9.0, json!({})),
            replica("away", 0.0, json!({ "offline": true })),
            // not heard yet
            replica("away", 0.0, json!({ "current": false })),
        ] {
            assert_eq!(missing(&[&away, &here]), ["away"], "{away}");
        }
        let [a, b] = ["a", "b"].map(|name| replica(name, 9.0, json!({})));
        assert_eq!(missing(&[&b, &here, &a]), ["a", "b"]);
    }

    #[test]
    fn a_place_is_applied_when_the_queue_begins_behind_it() {
        let state = |messages, first_seq, last_seq| StreamState {
            messages,
            first_seq,
            last_seq,
            ..StreamState::default()
        };
        assert!(state(0, 8, 7).has_applied(7), "empty");
        assert!(state(2, 6, 7).has_applied(5));
        assert!(!state(2, 6, 7).has_applied(6));
        assert!(!state(2, 6, 7).has_applied(7));
        assert!(state(2, 1, 2).has_applied(7), "of a stream that was deleted");
    }
}
