//! How events are to be taken, decided when the service starts: with a stream or without one, with what is there, what other
//! instances do, and what the limits of the server allow.

use std::time::Duration;

use async_nats::Client;
use tokio::time;

use super::api::{Api, ApiError};
use super::declare::Declaration;
use super::limits;
use crate::nats::Mode;
use crate::nats::names::Names;
use crate::service::options::{JetStream, ServeError};

/// For how long a server that offers JetStream may be busy beginning.
const BEGINNING: Duration = Duration::from_secs(15);

/// What came of declaring stream and consumer at the start.
#[derive(Debug)]
pub(in crate::service) enum Declared {
    Done,
    /// The stream is there; another consumer is in the place of ours.
    Taken,
    /// The stream is not there, because this limit forbids it.
    Forbidden(String),
    /// The stream is there and may hold events; its consumer is not, because this limit forbids it.
    Unconsumed(String),
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
    /// Declares stream and consumer when the service starts. Where a limit forbids them, nothing is left behind.
    ///
    /// # Errors
    /// What may pass.
    pub(in crate::service) async fn begin(&self, api: &Api) -> Result<Declared, ServeError> {
        let failed = |e: ApiError| ServeError::Connection(e.to_string());
        let forbidden = |e: &ApiError| limits::forbids(e).map(|help| format!("{e}. To have one, {help}"));
        let created = match self.ensure_stream(api).await {
            Ok(created) => created,
            Err(e) => return forbidden(&e).map(Declared::Forbidden).ok_or_else(|| failed(e)),
        };
        match self.ensure_consumer(api).await {
            Ok(_) => Ok(Declared::Done),
            Err(e) => {
                if limits::is_taken(&e) {
                    // It is named as long as it is there, and the rest is served.
                    return Ok(Declared::Taken);
                }
                let Some(forbidden) = forbidden(&e) else { return Err(failed(e)) };
                let empty =
                    || async { api.stream(&self.name).await.is_ok_and(|info| info.state.messages == 0) };
                // Clients take a stream for ours only when it has its consumer; others may have sent already.
                if created && empty().await {
                    api.delete_stream(&self.name).await.map_err(failed)?;
                    return Ok(Declared::Forbidden(forbidden));
                }
                Ok(Declared::Unconsumed(forbidden))
            }
        }
    }

    /// What is to be done, with what is there and with what other instances do.
    ///
    /// # Errors
    /// When the service must not start: see [`ServeError`].
    pub(in crate::service) async fn plan(
        &self,
        names: &Names,
        client: &Client,
        api: &Api,
        wanted: JetStream,
        running: Option<Mode>,
        denied: impl Fn() -> bool + Send + Sync,
    ) -> Result<Plan, ServeError> {
        if let Err(none) = available(client, api, denied).await {
            if !none.is_none() {
                // A start without JetStream now would leave a stream that stores our events and has no reader.
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
        for (_, _, subject) in names.operations() {
            for stream in api.storing(subject).await.map_err(failed)? {
                if stream != self.name {
                    return Err(ServeError::ForeignStream { stream, subject: subject.to_string() });
                }
                if let Some(info) = named_like_ours {
                    return Err(self.foreign(info, true));
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
                Some(info) => Err(self.foreign(info, false)),
                None => Ok(Plan::Stream),
            },
        }
    }
}

/// Whether there is JetStream for us. A server that says it has it may be busy beginning, or look for a leader.
async fn available(client: &Client, api: &Api, denied: impl Fn() -> bool) -> Result<(), ApiError> {
    let deadline = time::Instant::now() + BEGINNING;
    loop {
        // A subscriber to everything, such as a monitor, keeps the server from reporting no responders.
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
            // The server does not offer it, whatever has answered.
            return Err(ApiError::Absent);
        }
        if time::Instant::now() > deadline {
            return Err(ApiError::Silent(error.to_string()));
        }
        time::sleep(Duration::from_millis(100)).await;
    }
}
