//! Where answers may go: to inboxes, and to what the operator lists. An answer is published under this service's own
//! rights: sent to a subject that a peer has chosen freely, it would do what that peer may not.

use std::fmt;

use async_nats::{Message, Subject};

use super::options::ServeError;
use crate::hints::option;
use crate::nats::names::{self, Names, is_below};
use crate::operation::Operation;

/// What every client's inbox begins with, unless it is told otherwise.
const INBOX: &str = "_INBOX";
/// What a gateway puts in front of a reply subject on its way into another cluster: this, and two tokens of its own.
const GATEWAY: &str = "_GR_.";
/// The longest subject that is answered to.
const LONGEST: usize = 512;

/// The subjects that are answered to.
#[derive(Clone, Debug)]
pub(super) struct Replies {
    prefixes: Vec<String>,
    /// What lies below a prefix if it is a namespace, and is no inbox.
    names: Vec<String>,
}

/// A subject that is answered to. There is no other way to one than [`Replies`].
#[derive(Clone, Debug)]
pub(super) struct To(Subject);

impl To {
    pub(super) fn subject(self) -> Subject {
        self.0
    }
}

impl Replies {
    /// Inboxes, and subjects below these prefixes.
    ///
    /// # Errors
    /// `ReplyPrefix` for one below which more lies than inboxes.
    pub(super) fn new<O: Operation>(names: &Names, prefixes: &[String]) -> Result<Self, ServeError> {
        let mut all = vec![format!("{INBOX}.")];
        let plain = names::names::<O>();
        let inside = plain.iter().map(|name| names.namespace.subject(name));
        let stream = format!("_{}", names.stream);
        let own: Vec<String> = inside.chain(plain.iter().cloned()).chain([stream]).collect();
        for prefix in prefixes {
            let refuse = |why: String| ServeError::ReplyPrefix { prefix: prefix.clone(), why };
            // `_INBOX_bot`, `_INBOX_bot.` and `_INBOX_bot.>` are the same.
            let plain = prefix.strip_suffix('>').filter(|p| p.ends_with('.')).unwrap_or(prefix);
            let plain = plain.strip_suffix('.').unwrap_or(plain);
            is_concrete(plain)
                .map_err(|why| refuse(format!("{why}; name what inboxes begin with, as _INBOX_bot")))?;
            if plain.starts_with('$') || format!("{plain}.") == GATEWAY {
                return Err(refuse("what lies there is the server's own".to_owned()));
            }
            if let Some(own) = own.iter().find(|own| is_below(plain, own) || is_below(own, plain)) {
                return Err(refuse(format!("{own} lies there, and takes what is sent to it for work")));
            }
            all.push(format!("{plain}."));
        }
        Ok(Self { prefixes: all, names: plain.iter().map(|name| format!(".{name}")).collect() })
    }

    /// The way to the sender; `None` if no answer is wanted.
    ///
    /// # Errors
    /// When the subject is none that is answered to.
    pub(super) fn of(&self, message: &Message) -> Result<Option<To>, NotAnInbox> {
        match &message.reply {
            None => Ok(None),
            Some(reply) if self.allows(reply) => Ok(Some(To(reply.clone()))),
            Some(reply) => Err(NotAnInbox(reply.chars().take(100).collect())),
        }
    }

    fn allows(&self, reply: &str) -> bool {
        let own = match reply.strip_prefix(GATEWAY) {
            None => reply,
            Some(rest) => rest.splitn(3, '.').nth(2).unwrap_or_default(),
        };
        let listed = || self.prefixes.iter().any(|prefix| own.starts_with(prefix.as_str()));
        let named = || self.names.iter().any(|name| own.contains(name.as_str()));
        is_concrete(reply).is_ok() && (own.starts_with(&self.prefixes[0]) || (listed() && !named()))
    }
}

/// A reply subject that is not answered to.
#[derive(Clone, Debug)]
pub(super) struct NotAnInbox(String);

impl fmt::Display for NotAnInbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "answers go to inboxes (_INBOX.>) only, not to {:?}: if a client's inboxes are there, start the service with {}",
            self.0,
            option("reply-prefix")
        )
    }
}

/// Whether this is the name of one subject, without gaps and wildcards.
fn is_concrete(subject: &str) -> Result<(), &'static str> {
    if subject.is_empty() {
        return Err("it is empty");
    }
    if subject.len() > LONGEST {
        return Err("it is too long");
    }
    if subject.split('.').any(str::is_empty) {
        return Err("one of its parts is empty");
    }
    if subject.contains(['*', '>']) {
        return Err("it has a wildcard");
    }
    if subject.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("it has a blank or a control character");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespace::Namespace;
    use crate::sample::Sample as Op;

    fn replies(prefixes: &[&str]) -> Result<Replies, ServeError> {
        let prefixes: Vec<String> = prefixes.iter().map(ToString::to_string).collect();
        Replies::new::<Op>(&Names::new::<Op>(&Namespace::none())?, &prefixes)
    }

    #[test]
    fn answers_go_to_inboxes_and_to_what_is_listed() {
        let replies = replies(&["_INBOX_bot", "_R_.", "inbox.of.alice.>"]).expect("prefixes");
        for yes in [
            "_INBOX.a",
            "_INBOX.a.b-1",
            "_INBOX_bot.x",
            "_R_.abc.def",
            "inbox.of.alice.1",
            "_GR_.c1.s1._INBOX.a",
        ] {
            assert!(replies.allows(yes), "{yes}");
        }
        for no in [
            "",
            "_INBOX",
            "_INBOX.",
            "_INBOX.*",
            "_INBOX.>",
            "_INBOX.a.>",
            "_INBOX..a",
            "_INBOX.a b",
            "_INBOX.a\t",
            "_INBOXX.a",
            "_inbox.a",
            "_INBOX_bot",
            "_INBOX_bots.a",
            "inbox.of.bob.1",
            "inbox.of.alice.sample.db.user.joined",
            "_R_.sample.dlq.user_joined",
            "$JS.API.STREAM.PURGE.SAMPLE",
            "$JS.ACK.SAMPLE.writer.1.1.1.1.0",
            "$SRV.PING",
            "$SYS.REQ.SERVER.PING",
            "$KV.bucket.key",
            "sample.db.user.joined",
            "sample.dlq.user_joined",
            "_GR_.c1.s1.$JS.API.STREAM.PURGE.SAMPLE",
            "_GR_._INBOX.a.b",
            "_GR_.c1._INBOX.a",
        ] {
            assert!(!replies.allows(no), "{no}");
        }
        assert!(!replies.allows(&format!("_INBOX.{}", "x".repeat(LONGEST))));
    }

    #[test]
    fn a_prefix_below_which_more_lies_than_inboxes_is_refused() {
        for dangerous in [
            "",
            " ",
            ">",
            "*",
            ".",
            "a..b",
            ".a",
            "a.*",
            "*.a",
            "a.>.b",
            "a b",
            "$JS",
            "$JS.API",
            "$SRV",
            "$SYS",
            "$KV",
            "$anything",
            "sample",
            "sample.",
            "sample.db",
            "sample.db.user",
            "sample.dlq",
            "sample.db.>",
            "_SAMPLE",
            "_GR_",
            "_GR_.>",
        ] {
            let refused = replies(&[dangerous]).expect_err(dangerous).to_string();
            assert!(refused.contains("`reply-prefix`"), "{dangerous}: {refused}");
        }
    }
}
