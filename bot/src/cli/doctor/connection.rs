//! A connection to NATS as the doctor needs it: it keeps what the server refuses.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Event};
use parking_lot::Mutex;
use tokio::time;

use super::super::args::DoctorArgs;
use super::super::secrets;
use eitherway::__private::connecting::once;
use eitherway::Namespace;

/// How long connecting, and one answer, may take.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// When nothing has been refused for this long nothing more is, and how often that is waited for.
const QUIET: Duration = Duration::from_millis(200);
const TIMES: usize = 10;

/// A connection, and what the server has said of it.
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) namespace: Namespace,
    said: Arc<Mutex<Vec<String>>>,
}

impl Connection {
    pub(super) async fn open(args: &DoctorArgs) -> Result<Self, String> {
        let said = Arc::<Mutex<Vec<String>>>::default();
        let heard = Arc::clone(&said);
        let options = args.nats.options("rosey-doctor");
        let client = once(&options, LIMIT, move |event| {
            if let Event::ServerError(error) = event {
                heard.lock().push(error.to_string());
            }
        });
        let client = client.await.map_err(|why| secrets::hide(&why))?;
        Ok(Self { client, namespace: args.store.namespace.clone().unwrap_or_default(), said })
    }

    /// The answer; none if there is none in time, there are no responders, or the server refuses the question or the answer.
    pub(super) async fn ask(&self, subject: String, payload: String) -> Option<Vec<u8>> {
        let denied = [Denied::publish(&subject), self.deaf()];
        tokio::select! {
            biased;
            answer = time::timeout(LIMIT, self.client.request(subject, payload.into())) => {
                answer.ok()?.ok().map(|message| message.payload.to_vec())
            }
            () = self.is_refused(&denied) => None,
        }
    }

    /// That no answer can be heard.
    pub(super) fn deaf(&self) -> Denied {
        Denied { what: "subscription", named: format!("\"{}.", self.inbox().to_lowercase()) }
    }

    /// Where answers are listened for; the last part of an inbox, which follows, is chance.
    pub(super) fn inbox(&self) -> String {
        let inbox = self.client.new_inbox();
        inbox.rsplit_once('.').map_or(inbox.as_str(), |(before, _)| before).to_owned()
    }

    async fn is_refused(&self, denied: &[Denied]) {
        while !self.said.lock().iter().any(|said| denied.iter().any(|denied| denied.is(&said.to_lowercase())))
        {
            time::sleep(QUIET).await;
        }
    }

    /// What the server has refused so far, in small letters, once no more of it comes: the client tells of it behind the answers.
    pub(super) async fn all_refused(&self) -> Vec<String> {
        let mut known = usize::MAX;
        for _ in 0..TIMES {
            let now = self.said.lock().len();
            if std::mem::replace(&mut known, now) == now {
                break;
            }
            time::sleep(QUIET).await;
        }
        self.said.lock().iter().map(|said| said.to_lowercase()).collect()
    }
}

/// What a server refuses, as the client tells it: some of it in small letters.
pub(super) struct Denied {
    what: &'static str,
    named: String,
}

impl Denied {
    pub(super) fn publish(subject: &str) -> Self {
        Self { what: "publish", named: format!("\"{}\"", subject.to_lowercase()) }
    }

    pub(super) fn subscription(subject: &str) -> Self {
        Self { what: "subscription", named: format!("\"{}\"", subject.to_lowercase()) }
    }

    /// Whether this, which is in small letters, says so.
    pub(super) fn is(&self, said: &str) -> bool {
        said.contains(self.what) && said.contains(&self.named)
    }
}
