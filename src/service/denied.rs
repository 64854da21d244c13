//! What the server does not let us do. A subscription that is denied is no error to the client library: the service would
//! go on, and serve less than it says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time;

use super::subscription::told;
use super::{Mode, Shared};
use crate::operation::{Kind, Persist};

/// How often the denials are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// What the keys of these notices begin with.
const PREFIX: &str = "denied.";
/// How many denials are kept: each reply subject is another one.
const MOST: usize = 64;

/// Every acknowledgement has a subject of its own: this stands for all.
pub(super) const ACKS: &str = "$JS.ACK.>";

/// What was denied on this connection.
#[derive(Debug, Default)]
pub(super) struct Denials(Mutex<BTreeSet<Denial>>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Denial {
    does: Does,
    subject: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Does {
    Subscribe,
    Publish,
}

impl Does {
    const fn word(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
        }
    }
}

impl Denials {
    /// Reads a complaint of the server.
    pub(super) fn note(&self, complaint: &str) {
        let Some(denial) = Denial::read(complaint) else { return };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < MOST {
            all.insert(denial);
        }
    }

    /// The connection is new: what it denies, it says again.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Whether publishing to a subject was denied.
    pub(super) fn publish(&self, subject: &str) -> bool {
        self.all().iter().any(|denial| denial.does == Does::Publish && denial.subject == subject)
    }

    /// What was denied, in short; empty if nothing was.
    pub(super) fn summary(&self) -> String {
        let named = |Denial { does, subject }: &Denial| format!("{} {subject:?}", does.word());
        self.all().iter().map(named).collect::<Vec<_>>().join(", ")
    }

    fn all(&self) -> BTreeSet<Denial> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Denial {
    /// Reads `Permissions Violation for Subscription to "SUBJECT"` with whatever is around it.
    fn read(complaint: &str) -> Option<Self> {
        let lower = complaint.to_ascii_lowercase();
        let rest = &complaint[lower.find("permissions violation for ")?..];
        let does = if lower.contains("for subscription to ") { Does::Subscribe } else { Does::Publish };
        let subject = rest.split('"').nth(1)?;
        // One of many that are made up for one answer, or for one message.
        let subject = match subject.split('.').next()? {
            "_INBOX" => "_INBOX.>".to_owned(),
            "$SRV" => "$SRV.>".to_owned(),
            "$JS" if subject.starts_with("$JS.ACK.") => ACKS.to_owned(),
            _ => subject.to_owned(),
        };
        Some(Self { does, subject })
    }

    /// What is missing because of it; nothing, if that is nothing that an operator has to know.
    fn consequence<O: Persist>(&self, mode: Mode) -> Option<String> {
        let subject = self.subject.as_str();
        let own = subject.strip_prefix(O::SERVICE).and_then(|rest| rest.strip_prefix('.'));
        let spec = O::SPECS.iter().find(|spec| spec.subject == subject);
        let text = match (self.does, spec, own) {
            (Does::Subscribe, Some(spec), _) if spec.kind == Kind::Event => format!(
                "{} is not served: clients with a database of their own fall back to it, and a plain publish is lost",
                spec.name
            ),
            (Does::Subscribe, Some(spec), _) => {
                format!("{} is not served: clients fall back to the database, or fail", spec.name)
            }
            (Does::Subscribe, None, Some("ping")) => {
                "clients do not find this service, and use the database".to_owned()
            }
            (Does::Subscribe, None, Some("applied")) => {
                "clients cannot ask whether what the stream has stored is applied".to_owned()
            }
            (Does::Subscribe, None, Some("who")) => {
                "other instances do not see this one, and may start on another database beside it".to_owned()
            }
            // Said with its own consequence where each subject is listened to by itself.
            (Does::Subscribe, None, Some(">")) => return None,
            (Does::Subscribe, None, _) if subject == "$SRV.>" => {
                "`nats micro` does not find this service".to_owned()
            }
            (Does::Subscribe, None, _) => "what is answered there does not arrive".to_owned(),
            (Does::Publish, None, _) if subject == "_INBOX.>" => {
                "requests are applied and not answered: who asks waits until it gives up".to_owned()
            }
            (Does::Publish, None, _) if subject == ACKS => {
                "what was applied cannot be acknowledged: the stream delivers it again and again, and never gets empty"
                    .to_owned()
            }
            (Does::Publish, None, _) if subject.starts_with("$JS.API.CONSUMER.MSG.NEXT.") => {
                "events stay in the stream: they are acknowledged, and not applied".to_owned()
            }
            (Does::Publish, None, _) if subject.starts_with("$JS.") && mode == Mode::Core => {
                "events are taken by request and reply, without a stream. Start with --jetstream off if that is meant"
                    .to_owned()
            }
            (Does::Publish, None, _) if subject.starts_with("$JS.") => {
                "the stream cannot be declared, or not be watched".to_owned()
            }
            (Does::Publish, None, _) if subject.starts_with("rosey.dlq.") => {
                "dead letters are kept, and not announced".to_owned()
            }
            // To ask there is only to find out who else serves it, or to announce something.
            (Does::Publish, ..) => return None,
        };
        Some(text)
    }

    fn sentence(&self, consequence: &str) -> String {
        let Self { does, subject } = self;
        let word = does.word();
        let to = if *does == Does::Subscribe { "subscribe to" } else { "publish to" };
        format!(
            "the NATS server does not let this service {to} {subject:?}: {consequence}. Allow it to this user (permissions {{ \
             {word}: {{ allow: [{subject:?}] }} }}), reload the server, and restart this service"
        )
    }
}

/// Looks as long as the service runs. `wanted`: whether JetStream is, for what is denied of it.
pub(super) async fn run<O: Persist>(shared: Arc<Shared<O>>, wanted: bool) {
    let mut stop = shared.stop.clone();
    while time::timeout(LOOK, told(&mut stop)).await.is_err() {
        look(&shared, wanted);
    }
}

/// States what is denied now.
pub(super) fn look<O: Persist>(shared: &Shared<O>, wanted: bool) {
    let mode = shared.mode();
    let relevant = |denial: &Denial| wanted || mode == Mode::JetStream || !denial.subject.starts_with("$JS.");
    let keyed = |denial: Denial| {
        let consequence = denial.consequence::<O>(mode)?;
        Some((format!("{PREFIX}{denial:?}"), denial.sentence(&consequence)))
    };
    let all = shared.troubles.denials.all().into_iter().filter(relevant);
    shared.notices.replace(PREFIX, all.filter_map(keyed).collect::<BTreeMap<_, _>>());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_is_read_from_what_the_server_complains_of() {
        let read = |text| Denial::read(text).map(|Denial { does, subject }| (does, subject));
        let denied = |does, subject: &str| Some((does, subject.to_owned()));
        assert_eq!(
            read(r#"nats: Permissions Violation for Subscription to "rosey.db.ping" using queue "rosey.db""#),
            denied(Does::Subscribe, "rosey.db.ping")
        );
        assert_eq!(
            read(r#"nats: permissions violation for publish to "$js.api.INFO""#),
            denied(Does::Publish, "$js.api.INFO")
        );
        assert_eq!(
            read(r#"Permissions Violation for Publish to "_INBOX.a.b""#),
            denied(Does::Publish, "_INBOX.>")
        );
        for other in ["", "nats: stale connection", "Permissions Violation for Publish to "] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
