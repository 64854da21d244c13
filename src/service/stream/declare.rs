//! The stream and its consumer, as they have to be; and whether what is there is ours.

use std::time::Duration;

use async_nats::Client;
use serde_json::{Value, json};
use tokio::time;

use super::api::{Api, ApiError, StreamInfo};
use crate::nats::{Mode, stored};
use crate::operation::{Kind, MAX_PAYLOAD, Persist};
use crate::service::options::{JetStream, ServeError, ServiceOptions};

/// The one consumer, shared by all instances.
pub(super) const CONSUMER: &str = "writer";

/// The largest message that the stream takes, header and payload: no operation is half as large.
const MAX_MSG_SIZE: usize = 2 * MAX_PAYLOAD;

/// For how long a server that offers JetStream may be busy beginning.
const BEGINNING: Duration = Duration::from_secs(15);

/// What the stream and its consumer have to be.
#[derive(Clone, Debug)]
pub(in crate::service) struct Declaration {
    pub(in crate::service) name: String,
    mark: String,
    pub(super) subjects: Vec<String>,
    max_bytes: i64,
    max_ack_pending: usize,
    pub(super) ack_wait: Duration,
}

/// What is to be done about a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service) enum Plan {
    /// Events come by request and reply.
    Core,
    /// The same, because the server offers no JetStream; it may later.
    Unoffered,
    /// The same, once what the stream holds is applied.
    Empty,
    /// Events come from the stream.
    Stream,
}

impl Declaration {
    pub(in crate::service) fn new<O: Persist>(database: &str, options: &ServiceOptions) -> Self {
        let events = O::SPECS.iter().filter(|spec| spec.kind == Kind::Event);
        Self {
            name: O::stream(),
            mark: stored::mark(O::SERVICE, database),
            subjects: events.map(|spec| spec.subject.to_owned()).collect(),
            max_bytes: options.stream_max_bytes.unwrap_or(-1),
            max_ack_pending: options.in_flight,
            ack_wait: options.ack_wait,
        }
    }

    /// The same stream, on a subject that nobody uses: it takes nothing more, and keeps what it has.
    pub(in crate::service) fn closed(&self) -> Self {
        Self { subjects: vec![format!("_{}.closed", self.name)], ..self.clone() }
    }

    fn stream(&self) -> Value {
        json!({
            "name": self.name,
            "description": self.mark,
            "subjects": self.subjects,
            "retention": "workqueue",
            "storage": "file",
            // What does not fit is refused and told so: never is something acknowledged thrown away for it.
            "discard": "new",
            "max_age": 0,
            "max_bytes": self.max_bytes,
            "max_msgs": -1,
            "max_msg_size": MAX_MSG_SIZE,
            "max_consumers": -1,
            "num_replicas": 1,
            "duplicate_window": nanos(Duration::from_secs(120)),
        })
    }

    fn consumer(&self) -> Value {
        json!({
            "durable_name": CONSUMER,
            "description": "applies what the stream holds to the database",
            "deliver_policy": "all",
            "replay_policy": "instant",
            // "All" would acknowledge another instance's messages.
            "ack_policy": "explicit",
            "ack_wait": nanos(self.ack_wait),
            "max_deliver": -1,
            "max_ack_pending": self.max_ack_pending,
        })
    }

    /// Whether this is our stream, for our database.
    fn is_ours(&self, info: &StreamInfo) -> bool {
        info.config.description == self.mark
    }

    fn foreign(&self, info: &StreamInfo) -> ServeError {
        let why = match info.config.description.as_str() {
            "" => "it has no description of ours".to_owned(),
            other => format!("it is described as {other:?}, and ours would be {:?}", self.mark),
        };
        ServeError::NotOurStream { stream: self.name.clone(), why }
    }

    /// Makes stream and consumer what they have to be.
    pub(super) async fn ensure(&self, api: &Api) -> Result<(), ApiError> {
        match api.stream(&self.name).await {
            Ok(info) if !self.is_ours(&info) => {
                let description = self.foreign(&info).to_string();
                return Err(ApiError::Refused { code: 0, description });
            }
            Ok(info) => {
                let wanted = self.stream();
                if info.config.differs(&wanted) {
                    api.update_stream(&self.name, &wanted).await?;
                    tracing::warn!(stream = self.name, "the stream's settings were not ours; put right");
                }
            }
            Err(e) if e.is_not_found() => {
                api.create_stream(&self.name, &self.stream()).await?;
                tracing::info!(stream = self.name, "created the stream that takes events");
            }
            Err(e) => return Err(e),
        }
        api.put_consumer(&self.name, CONSUMER, &self.consumer()).await
    }

    /// A consumer that delivers nothing any more is replaced: a new one begins with what the queue still holds.
    pub(super) async fn replace_consumer(&self, api: &Api) -> Result<(), ApiError> {
        match api.delete_consumer(&self.name, CONSUMER).await {
            Err(e) if !e.is_not_found() => Err(e),
            _ => api.put_consumer(&self.name, CONSUMER, &self.consumer()).await,
        }
    }

    /// What is to be done, with what is there and with what other instances do.
    ///
    /// # Errors
    /// When the service must not start: see [`ServeError`].
    pub(in crate::service) async fn plan<O: Persist>(
        &self,
        client: &Client,
        api: &Api,
        wanted: JetStream,
        running: Option<Mode>,
        denied: impl Fn() -> bool + Send + Sync,
    ) -> Result<Plan, ServeError> {
        if let Err(none) = available(client, api, denied).await {
            if !none.is_none() {
                // Without it now, its stream would go on taking what is sent to us, and nobody would read it.
                return Err(ServeError::Connection(none.to_string()));
            }
            let why = none.to_string();
            return match (wanted, running) {
                (JetStream::On, _) => Err(ServeError::NoJetStream { why }),
                (_, Some(mode @ Mode::JetStream)) => Err(ServeError::OtherMode { mode }),
                (JetStream::Auto, _) => Ok(Plan::Unoffered),
                (JetStream::Off, _) => Ok(Plan::Core),
            };
        }
        let failed = |e: ApiError| ServeError::Connection(e.to_string());
        let ours = match api.stream(&self.name).await {
            Ok(info) => Some(info),
            Err(e) if e.is_not_found() => None,
            Err(e) => return Err(failed(e)),
        };
        let named_like_ours = ours.as_ref().filter(|info| !self.is_ours(info));
        for spec in O::SPECS {
            for stream in api.storing(spec.subject).await.map_err(failed)? {
                if stream != self.name {
                    return Err(ServeError::ForeignStream { stream, subject: spec.subject.to_owned() });
                }
                if let Some(info) = named_like_ours {
                    return Err(self.foreign(info));
                }
            }
        }
        match (wanted, running) {
            (JetStream::On, Some(mode @ Mode::Core)) | (JetStream::Off, Some(mode @ Mode::JetStream)) => {
                Err(ServeError::OtherMode { mode })
            }
            (JetStream::Auto, Some(Mode::Core)) => {
                tracing::info!("without a stream, as the instance that runs already");
                Ok(Plan::Core)
            }
            (JetStream::Off, _) if ours.as_ref().is_some_and(|info| self.is_ours(info)) => Ok(Plan::Empty),
            (JetStream::Off, _) => Ok(Plan::Core),
            (JetStream::Auto | JetStream::On, _) => match named_like_ours {
                Some(info) => Err(self.foreign(info)),
                None => Ok(Plan::Stream),
            },
        }
    }
}

/// Whether there is JetStream for us. A server that says it has it may be busy beginning, or look for a leader.
async fn available(client: &Client, api: &Api, denied: impl Fn() -> bool) -> Result<(), ApiError> {
    let deadline = time::Instant::now() + BEGINNING;
    loop {
        // Where a monitor hears everything, nobody says that nobody is there.
        let patience = if client.server_info().jetstream { BEGINNING } else { Duration::from_millis(500) };
        let error = match time::timeout(patience, api.account()).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(e)) => e,
            Err(_) => ApiError::Silent("no answer in time".to_owned()),
        };
        if denied() {
            return Err(ApiError::Denied);
        }
        let offered = client.server_info().jetstream;
        let none = matches!(error, ApiError::Refused { .. }) && error.is_none();
        if none {
            return Err(error);
        }
        if !offered {
            // Nobody can be there, whatever was said.
            return Err(ApiError::Absent);
        }
        if time::Instant::now() > deadline {
            return Err(ApiError::Silent(error.to_string()));
        }
        time::sleep(Duration::from_millis(100)).await;
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
