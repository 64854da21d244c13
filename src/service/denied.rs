//! What the server does not let us do. A subscription that is denied is no error to the client library: the service would
//! go on, and serve less than it says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::connection::Carries;
use crate::hints::option;
use crate::nats::Mode;
use crate::nats::names::{BUNDLES, Names};
use crate::operation::Kind;

/// How long a server may take to complain; what it does not complain of by then it allows.
pub(super) const COMPLAINT: Duration = Duration::from_secs(2);
/// How many denials are kept: each reply subject is another one.
const MOST: usize = 64;

/// Every acknowledgement has a subject of its own: this stands for all.
pub(super) const ACKS: &str = "$JS.ACK.>";
/// The same for inboxes, and for the questions about the service.
pub(super) const INBOXES: &str = "_INBOX.>";
pub(super) const MICRO: &str = "$SRV.>";

/// What is denied, and what is known of each by now.
#[derive(Debug, Default)]
pub(super) struct Denials(Mutex<BTreeMap<Denial, Known>>);

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Since when it is asked for again, and no complaint has come.
    asked: Option<Instant>,
    /// It is allowed; it is not listened to yet.
    lifted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Denial {
    /// Over which connection.
    over: Carries,
    pub(super) does: Does,
    pub(super) subject: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Does {
    Subscribe,
    Publish,
}

impl Does {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
        }
    }
}

impl Denials {
    /// Reads a complaint of the server. Returns whether it is to be logged as it is: a denial becomes a notice.
    pub(super) fn note(&self, over: Carries, complaint: &str) -> bool {
        let Some(denial) = Denial::read(over, complaint) else { return true };
        let mut all = self.0.lock();
        if let Some(known) = all.get_mut(&denial) {
            *known = Known::default();
            return false;
        }
        if all.len() < MOST {
            all.insert(denial, Known::default());
            return false;
        }
        true
    }

    /// Whether no operation can be heard of that this service has to subscribe to.
    pub(super) fn deny_everything(&self, names: &Names, mode: Mode) -> bool {
        let all = self.all();
        let denied = |subject: &str| all.iter().any(|d| d.does == Does::Subscribe && d.subject == subject);
        let own = names.operations().filter(|(_, spec, _)| mode == Mode::Core || spec.kind != Kind::Event);
        let mut own = own.peekable();
        own.peek().is_some() && own.all(|(_, _, subject)| denied(subject))
    }

    /// The connection is new: that we may not publish somewhere, or have an inbox, it says again at once. Not everything else
    /// is subscribed to again by this alone.
    pub(super) fn connected(&self, over: Carries) {
        let mut all = self.0.lock();
        all.retain(|denial, _| denial.over != over || !denial.is_inbox());
        for (denial, known) in all.iter_mut().filter(|(denial, _)| denial.over == over) {
            known.asked = (denial.does == Does::Publish).then(Instant::now);
        }
    }

    /// All is listened to over this connection: what was lifted is over.
    pub(super) fn listening(&self, over: Carries) {
        self.0.lock().retain(|denial, known| denial.over != over || !known.lifted);
    }

    /// Whether publishing to a subject was denied.
    pub(super) fn publish(&self, subject: &str) -> bool {
        self.denies(Does::Publish, subject)
    }

    /// Whether subscribing to a subject was denied.
    pub(super) fn subscribe(&self, subject: &str) -> bool {
        self.denies(Does::Subscribe, subject)
    }

    fn denies(&self, does: Does, subject: &str) -> bool {
        self.0.lock().keys().any(|denial| denial.does == does && denial.subject == subject)
    }

    /// Whether nothing can be heard of what is answered to us.
    pub(super) fn inboxes(&self) -> bool {
        self.0.lock().keys().any(Denial::is_inbox)
    }

    /// What was denied, in short; empty if nothing was.
    pub(super) fn summary(&self) -> String {
        let named: BTreeSet<_> = self.all().into_iter().map(|d| (d.does, d.subject)).collect();
        let named = named.iter().map(|(does, subject)| format!("{} {subject:?}", does.word()));
        named.collect::<Vec<_>>().join(", ")
    }

    /// Lifts what was asked for and is not complained of. Returns whether a subscription is among it.
    pub(super) fn lift(&self, over: Carries) -> bool {
        let mut subscription = false;
        self.0.lock().retain(|denial, known| {
            let allowed = denial.over == over && known.asked.is_some_and(|at| at.elapsed() >= COMPLAINT);
            if allowed {
                *known = Known { asked: None, lifted: true };
                subscription |= denial.does == Does::Subscribe;
            }
            !(allowed && denial.does == Does::Publish)
        });
        subscription
    }

    /// What is denied and is not asked for, each with whether it is a subscription: it is asked for from now on.
    pub(super) fn ask(&self, over: Carries) -> Vec<(Does, String)> {
        let mut all = self.0.lock();
        let denied = all.iter_mut().filter(|(denial, known)| {
            denial.over == over && denial.may_be_asked_for() && known.asked.is_none()
        });
        let ask = |(denial, known): (&Denial, &mut Known)| {
            known.asked = Some(Instant::now());
            (denial.does, denial.subject.clone())
        };
        denied.map(ask).collect()
    }

    pub(super) fn all(&self) -> BTreeSet<Denial> {
        self.0.lock().keys().cloned().collect()
    }
}

impl Denial {
    fn is_inbox(&self) -> bool {
        self.does == Does::Subscribe && self.subject == INBOXES
    }

    /// Whether asking for it changes nothing: subscribing once more, and publishing to an inbox of our own without a
    /// subscriber.
    fn may_be_asked_for(&self) -> bool {
        self.does == Does::Subscribe || self.subject == INBOXES
    }

    /// Reads `Permissions Violation for Subscription to "SUBJECT"` with whatever is around it.
    fn read(over: Carries, complaint: &str) -> Option<Self> {
        let lower = complaint.to_ascii_lowercase();
        let rest = &complaint[lower.find("permissions violation for ")?..];
        let does = if lower.contains("for subscription to ") { Does::Subscribe } else { Does::Publish };
        let subject = rest.split('"').nth(1)?;
        // One of many that are made up for one answer, or for one message.
        let subject = match subject.split('.').next()? {
            "_INBOX" => INBOXES.to_owned(),
            "$SRV" => MICRO.to_owned(),
            "$JS" if subject.starts_with("$JS.ACK.") => ACKS.to_owned(),
            _ => subject.to_owned(),
        };
        Some(Self { over, does, subject })
    }

    /// What is missing because of it; nothing, if that is nothing that an operator has to know.
    pub(super) fn consequence(&self, names: &Names, mode: Mode) -> Option<String> {
        let subject = self.subject.as_str();
        let own = names.word(subject);
        let spec = names.operations().find(|(_, _, own)| own.as_str() == subject).map(|(_, spec, _)| spec);
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
            // Then none are offered, and clients send each operation alone.
            (Does::Subscribe, None, Some(BUNDLES)) => return None,
            (Does::Subscribe, None, Some("who")) => {
                "other instances do not see this one, and may start on another database beside it".to_owned()
            }
            // Said with its own consequence where each subject is listened to by itself.
            (Does::Subscribe, None, Some(">")) => return None,
            (Does::Subscribe, None, _) if subject == MICRO => {
                "`nats micro` does not find this service".to_owned()
            }
            (Does::Subscribe, None, _) => "what is answered there does not arrive".to_owned(),
            (Does::Publish, None, _) if subject == INBOXES => {
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
                let off = option("jetstream off");
                format!("events are taken by request and reply, without a stream. Start with {off} if that is meant")
            }
            (Does::Publish, None, _) if subject.starts_with("$JS.") => {
                "the stream cannot be declared, or not be watched".to_owned()
            }
            (Does::Publish, None, _) if names.is_of_dead_letters(subject) => {
                "dead letters are kept, and not announced".to_owned()
            }
            // To ask there is only to find out who else serves it, or to announce something.
            (Does::Publish, ..) => return None,
        };
        Some(text)
    }

    /// Whether this is a subscription that the service needs for its own subjects.
    pub(super) fn is_own(&self, names: &Names) -> bool {
        let own = names.word(&self.subject).is_some() || names.index(&self.subject).is_some();
        self.does == Does::Subscribe && own
    }

    pub(super) fn sentence(&self, consequence: &str) -> String {
        let Self { does, subject, .. } = self;
        let word = does.word();
        let then = match self.may_be_asked_for() {
            true => "and reload the server; this service tries again every few seconds",
            false => "reload the server, and restart this service",
        };
        format!(
            "the NATS server does not let this service {word} to {subject:?}: {consequence}. Allow it to this user (permissions \
             {{ {word}: {{ allow: [{subject:?}] }} }}), {then}"
        )
    }
}

#[cfg(test)]
mod tests {
    use tokio::time;

    use super::*;

    #[test]
    fn a_denial_is_read_from_what_the_server_complains_of() {
        let read =
            |text| Denial::read(Carries::Requests, text).map(|Denial { does, subject, .. }| (does, subject));
        let denied = |does, subject: &str| Some((does, subject.to_owned()));
        assert_eq!(
            read(r#"nats: Permissions Violation for Subscription to "shop.db.ping" using queue "shop.db""#),
            denied(Does::Subscribe, "shop.db.ping")
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

    #[tokio::test(start_paused = true)]
    async fn a_denial_is_lifted_when_it_is_asked_for_and_no_complaint_comes() {
        let denials = Denials::default();
        let (over, complaint) = (Carries::Requests, r#"Permissions Violation for Subscription to "a""#);
        assert!(denials.note(over, "nats: stale connection"), "no denial");
        assert!(!denials.note(over, complaint), "a notice");
        assert!(!denials.note(over, complaint), "known");
        time::advance(COMPLAINT).await;
        assert!(!denials.lift(over), "nothing was asked");
        let asked = vec![(Does::Subscribe, "a".to_owned())];
        assert_eq!((denials.ask(over), denials.ask(over)), (asked, vec![]));
        denials.note(over, complaint);
        time::advance(COMPLAINT).await;
        assert!(!denials.lift(over), "the server has complained");
        denials.ask(over);
        denials.connected(over);
        time::advance(COMPLAINT).await;
        assert!(!denials.lift(over), "it was asked over another connection");
        denials.ask(over);
        time::advance(COMPLAINT).await;
        assert!(!denials.lift(Carries::Stream) && denials.lift(over));
        assert_ne!(denials.summary(), "", "it is not listened to yet");
        denials.listening(over);
        assert_eq!(denials.summary(), "");
    }

    #[tokio::test(start_paused = true)]
    async fn a_denied_inbox_is_published_to_again_and_is_no_notice_once_that_is_allowed() {
        let denials = Denials::default();
        let over = Carries::Requests;
        denials.note(over, r#"Permissions Violation for Publish to "_INBOX.a.b""#);
        denials.note(over, r#"Permissions Violation for Publish to "shop.dlq.user_joined""#);
        assert_eq!(
            denials.ask(over),
            vec![(Does::Publish, INBOXES.to_owned())],
            "a dead letter is not made up"
        );
        time::advance(COMPLAINT).await;
        assert!(!denials.lift(over), "nothing is to be listened to again");
        assert!(!denials.publish(INBOXES) && denials.publish("shop.dlq.user_joined"));
    }
}
