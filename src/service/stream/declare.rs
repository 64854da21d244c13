//! The stream and its consumer, as they have to be; and whether what is there is ours.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::api::{Api, ApiError, ConsumerInfo, StreamInfo};
use super::limits::{self, Smaller};
use super::settings;
use super::subjects::Subjects;
use crate::nats::names::Names;
use crate::nats::stored;
use crate::operation::MAX_PAYLOAD;
use crate::service::bundle::Bundles;
use crate::service::options::{ServeError, Settings};

/// The one consumer, shared by all instances.
pub(super) const CONSUMER: &str = "writer";

/// For how long the stream knows ids; the ledger knows them longer.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
/// No server allows less.
const SMALLEST_WINDOW: Duration = Duration::from_millis(100);
/// How often something smaller is tried at most.
const TRIES: usize = 16;
/// The largest message that the stream takes, header and payload: no operation is half as large.
const MAX_MSG_SIZE: usize = 2 * MAX_PAYLOAD;

/// What the stream and its consumer have to be.
#[derive(Clone, Debug)]
pub(in crate::service) struct Declaration {
    pub(in crate::service) name: String,
    stream_tag: String,
    subjects: Subjects,
    /// The subject of bundles, which it has while all instances understand them.
    stored_bundles: String,
    bundles: Bundles,
    max_bytes: i64,
    /// On how many servers it is kept, if that is said.
    replicas: Option<u8>,
    pub(super) ack_wait: Duration,
    /// What is less than was wanted, because server or account allow no more.
    adapted: Arc<Mutex<Adapted>>,
}

#[derive(Clone, Copy, Debug)]
struct Adapted {
    max_ack_pending: usize,
    duplicate_window: Duration,
}

/// What is created or changed.
#[derive(Clone, Copy)]
enum Put<'a> {
    /// The stream: a new one, or this one.
    Stream(Option<&'a StreamInfo>),
    Consumer,
}

impl Declaration {
    pub(in crate::service) fn new(
        names: &Names,
        database: &str,
        settings: &Settings,
        bundles: Bundles,
    ) -> Self {
        Self {
            name: names.stream.clone(),
            stream_tag: stored::stream_tag(&names.service, database),
            subjects: Subjects::of(names),
            stored_bundles: names.stored_bundles.to_string(),
            bundles,
            max_bytes: settings.stream_max_bytes.unwrap_or(-1),
            replicas: settings.stream_replicas,
            ack_wait: settings.ack_wait,
            adapted: Arc::new(Mutex::new(Adapted {
                max_ack_pending: settings.in_flight,
                duplicate_window: DUPLICATE_WINDOW,
            })),
        }
    }

    /// The same stream, on a subject that is not in use: it takes nothing more, and keeps what it has.
    pub(in crate::service) fn closed(&self) -> Self {
        Self { subjects: Subjects::only(self.closed_subject()), ..self.clone() }
    }

    fn closed_subject(&self) -> String {
        format!("_{}.closed", self.name)
    }

    fn is_closed(&self) -> bool {
        self.subjects.events == [self.closed_subject()]
    }

    pub(super) fn stream(&self) -> Value {
        let mut stream = json!({
            "name": self.name,
            "description": self.stream_tag,
            "subjects": self.subjects.events,
            "retention": "workqueue",
            "storage": "file",
            // What does not fit is refused and told so: never is something acknowledged thrown away for it.
            "discard": "new",
            "max_age": 0,
            "max_bytes": self.max_bytes,
            "max_msgs": -1,
            "max_msgs_per_subject": -1,
            "max_msg_size": MAX_MSG_SIZE,
            "max_consumers": -1,
            "duplicate_window": nanos(self.adapted.lock().duplicate_window),
        });
        // Without it a server makes one copy, and leaves those of a stream that is there.
        if let Some(replicas) = self.replicas {
            stream[settings::REPLICAS] = replicas.into();
        }
        stream
    }

    /// The same, for a stream that is there: it has the subject of bundles if it has it already, and those of a later version. Another
    /// instance may have given it these, or an older one may have taken them away.
    pub(super) fn stream_beside(&self, now: &Value) -> Value {
        let mut stream = self.stream();
        let bundles = self.bundles.are_taken() && !self.is_closed();
        let bundles = Some(self.stored_bundles.as_str()).filter(|_| bundles);
        stream["subjects"] = self.subjects.beside(&now["subjects"], bundles);
        stream
    }

    fn has_bundles(&self, now: &Value) -> bool {
        let there = now["subjects"].as_array().into_iter().flatten();
        there.filter_map(Value::as_str).any(|subject| subject == self.stored_bundles)
    }

    /// Takes note of whether the stream has the subject of bundles.
    pub(super) fn note_bundles(&self, now: &Value) {
        if !self.has_bundles(now) {
            self.bundles.set_stored(false);
        }
    }

    /// Gives the stream the subject of bundles, unless it has it.
    pub(in crate::service) async fn take_bundles(&self, api: &Api) -> Result<(), ApiError> {
        let info = api.stream(&self.name).await?;
        if !self.is_ours(&info) {
            return Ok(());
        }
        if !(self.is_closed() || self.has_bundles(&info.settings)) {
            let mut right = settings::right(&info.settings, &self.stream_beside(&info.settings));
            right["subjects"].as_array_mut().into_iter().for_each(|all| all.push(json!(self.stored_bundles)));
            api.update_stream(&self.name, &right).await?;
        }
        self.bundles.set_stored(true);
        Ok(())
    }

    pub(super) fn consumer(&self) -> Value {
        json!({
            "durable_name": CONSUMER,
            "description": "applies what the stream holds to the database",
            "deliver_policy": "all",
            "replay_policy": "instant",
            // "All" would acknowledge another instance's messages.
            "ack_policy": "explicit",
            "ack_wait": nanos(self.ack_wait),
            "max_deliver": -1,
            "max_ack_pending": self.adapted.lock().max_ack_pending,
        })
    }

    /// Whether this is our stream, for our database.
    pub(super) fn is_ours(&self, info: &StreamInfo) -> bool {
        info.config.description == self.stream_tag
    }

    pub(super) fn foreign(&self, info: &StreamInfo, in_the_way: bool) -> ServeError {
        let why = match info.config.description.as_str() {
            "" => "it has no description of ours".to_owned(),
            other => {
                format!("its description is {other:?}: it belongs to another database, or to another program")
            }
        };
        ServeError::NotOurStream { stream: self.name.clone(), why, in_the_way }
    }

    /// Asks for less the next time; false if that does not help.
    fn adapt(&self, error: &ApiError) -> bool {
        let Some(smaller) = limits::smaller(error) else { return false };
        let mut now = self.adapted.lock();
        match smaller {
            Smaller::AckPending(allowed) => {
                let less = allowed.unwrap_or(now.max_ack_pending / 2);
                if less == 0 || less >= now.max_ack_pending {
                    return false;
                }
                now.max_ack_pending = less;
                tracing::warn!(
                    stream = self.name,
                    "{error}: max_ack_pending is {less}. Nothing is lost by it"
                );
            }
            Smaller::DuplicateWindow(allowed) => {
                let less = allowed.unwrap_or(now.duplicate_window / 2);
                if less < SMALLEST_WINDOW || less >= now.duplicate_window {
                    return false;
                }
                now.duplicate_window = less;
                tracing::warn!(
                    stream = self.name,
                    "{error}: duplicate_window is {less:?}. Nothing is lost by it"
                );
            }
        }
        true
    }

    /// Creates or changes something for which a server or an account may have limits; asks for less where that helps.
    async fn put(&self, api: &Api, what: Put<'_>) -> Result<Option<ConsumerInfo>, ApiError> {
        let mut tries = 0;
        loop {
            let put = match what {
                Put::Stream(None) => api.create_stream(&self.name, &self.stream()).await.map(|()| None),
                Put::Stream(Some(info)) => {
                    let right = settings::right(&info.settings, &self.stream_beside(&info.settings));
                    api.update_stream(&self.name, &right).await.map(|()| None)
                }
                Put::Consumer => api.put_consumer(&self.name, CONSUMER, &self.consumer()).await.map(Some),
            };
            match put {
                Err(e) if tries < TRIES && self.adapt(&e) => tries += 1,
                put => return put,
            }
        }
    }

    /// Makes stream and consumer what they have to be.
    pub(super) async fn ensure(&self, api: &Api) -> Result<ConsumerInfo, ApiError> {
        self.ensure_stream(api).await?;
        self.ensure_consumer(api).await
    }

    /// The stream, as it has to be; whether it was created just now.
    pub(super) async fn ensure_stream(&self, api: &Api) -> Result<bool, ApiError> {
        match api.stream(&self.name).await {
            Ok(info) if !self.is_ours(&info) => {
                Err(ApiError::Declined(self.foreign(&info, true).to_string()))
            }
            Ok(info) => {
                let later = self.subjects.later(&info.settings["subjects"]).join(", ");
                if !later.is_empty() {
                    tracing::warn!(
                        stream = self.name,
                        subjects = later,
                        "the stream takes events that this version does not know: they wait in the dead letters for a version that \
                         does. If there is none any more, take these subjects from the stream (nats stream edit)"
                    );
                }
                match self.repair(api, &info).await {
                    Ok(differing) if differing.is_empty() => {}
                    // The stream of a service that empties it was given away on purpose.
                    Ok(differing) if self.is_closed() && differing == ["subjects"] => {
                        tracing::debug!(stream = self.name, "the stream takes nothing more");
                    }
                    Ok(differing) => {
                        let differing = differing.join(", ");
                        tracing::warn!(
                            stream = self.name,
                            differing,
                            "stream configuration differed; updated"
                        );
                    }
                    // What it holds is to be applied in any case; what is wrong with it is watched.
                    Err(e @ ApiError::Refused { .. })
                        if info.settings["subjects"] == self.stream_beside(&info.settings)["subjects"] =>
                    {
                        let help = limits::forbids(&e).map(|help| format!(". To change that, {help}"));
                        let help = help.unwrap_or_default();
                        tracing::warn!(
                            stream = self.name,
                            "the stream's settings are not ours, and stay: {e}{help}"
                        );
                    }
                    Err(e) => return Err(e),
                }
                Ok(false)
            }
            Err(e) if e.is_not_found() => {
                self.put(api, Put::Stream(None)).await?;
                tracing::info!(stream = self.name, "created the stream that takes events");
                Ok(true)
            }
            Err(e) => Err(e),
        }
    }

    /// Puts the stream's settings right, and says which were not.
    pub(super) async fn repair(&self, api: &Api, info: &StreamInfo) -> Result<Vec<String>, ApiError> {
        let differing = settings::of_stream(&info.settings, &self.stream_beside(&info.settings));
        if !differing.is_empty() {
            self.put(api, Put::Stream(Some(info))).await?;
        }
        Ok(differing)
    }

    /// Writes all of it anew, description included.
    pub(super) async fn put_whole(&self, api: &Api, info: &StreamInfo) -> Result<(), ApiError> {
        self.put(api, Put::Stream(Some(info))).await.map(drop)
    }

    /// Whether exactly these settings differ still.
    pub(super) async fn unchanged(&self, api: &Api, wrong: &[String]) -> bool {
        let differing = api.stream(&self.name).await;
        differing.is_ok_and(|info| {
            settings::of_stream(&info.settings, &self.stream_beside(&info.settings)) == wrong
        })
    }

    /// The consumer, as it has to be. One that cannot be changed is replaced: what it had handed out is handed out again,
    /// and the ledger knows it.
    pub(super) async fn ensure_consumer(&self, api: &Api) -> Result<ConsumerInfo, ApiError> {
        match self.put(api, Put::Consumer).await {
            Err(e @ ApiError::Refused { .. }) if limits::forbids(&e).is_none() && !e.may_pass() => {
                let there = api.consumer(&self.name, CONSUMER).await.is_ok();
                if !there {
                    return Err(e);
                }
                let replaced = self.replace_consumer(api).await;
                if replaced.is_ok() {
                    tracing::warn!(
                        stream = self.name,
                        "the consumer could not be changed ({e}), and was replaced"
                    );
                }
                replaced
            }
            put => put.map(Option::unwrap_or_default),
        }
    }

    /// A consumer that delivers nothing any more is replaced: a new one begins with what the queue still holds.
    pub(super) async fn replace_consumer(&self, api: &Api) -> Result<ConsumerInfo, ApiError> {
        if settings::keeps_only_for_consumers(&api.stream(&self.name).await?.settings) {
            let description =
                "without its consumer the stream would drop what is not applied (retention: interest)";
            return Err(ApiError::Declined(description.to_owned()));
        }
        match api.delete_consumer(&self.name, CONSUMER).await {
            Err(e) if !e.is_not_found() => Err(e),
            _ => self.put(api, Put::Consumer).await.map(Option::unwrap_or_default),
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
