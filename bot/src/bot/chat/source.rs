use std::str::FromStr;

use super::error::{FORMS, OpenError};
use super::{Chat, cytube, irc, jsonl, kryten};

/// What a value begins with.
const SCHEMES: [&str; 8] =
    ["jsonl", "irc", "irc+tls", "ircs", "cytube", "cytube+http", "kryten", "kryten+tls"];

/// A chat to open: the value of `--chat`.
///
/// ```
/// use rosey::bot::chat::Source;
///
/// assert!("jsonl:session.jsonl?shift=now&speed=10".parse::<Source>().is_ok());
/// assert!("irc+tls://rosey@irc.example.org/#lounge?sasl=password".parse::<Source>().is_ok());
/// assert!("cytube://rosey@cytu.be/lounge?login=password".parse::<Source>().is_ok());
/// let error = "irc.example.org".parse::<Source>().unwrap_err().to_string();
/// assert!(error.contains("jsonl:FILE"));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Source {
    /// A recording.
    Jsonl(jsonl::Recording),
    /// A channel on an IRC network.
    Irc(irc::Address),
    /// A channel on a CyTube server.
    CyTube(cytube::Address),
    /// A CyTube channel that a Kryten robot is in.
    Kryten(kryten::Address),
}

impl Source {
    /// Sets the channel's name as the source of ids, unless the value names a source itself. Events of two
    /// channels are then distinct even if they have the same id.
    #[must_use]
    pub fn of_channel(mut self, channel: Option<&str>) -> Self {
        if let Self::Jsonl(recording) = &mut self
            && recording.source.is_none()
        {
            recording.source = channel.map(str::to_owned);
        }
        self
    }

    /// The bot's name in the channel, if the value says it.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Jsonl(_) => None,
            Self::Irc(address) => address.nick.as_deref(),
            Self::CyTube(address) => address.name.as_deref(),
            Self::Kryten(address) => address.name.as_deref(),
        }
    }

    /// The channel, if the value says it.
    pub fn channel(&self) -> Option<&str> {
        match self {
            Self::Jsonl(_) => None,
            Self::Irc(address) => Some(&address.channel),
            Self::CyTube(address) => Some(&address.channel),
            Self::Kryten(address) => Some(&address.channel),
        }
    }

    /// The room, as other bots on the same database name it too; `None` if none of them can be there.
    pub fn room(&self) -> Option<String> {
        match self {
            Self::Jsonl(_) => None,
            Self::Irc(address) => Some(format!("irc:{}", address.channel.to_lowercase())),
            // One may come by a robot, and one by itself.
            Self::CyTube(address) => Some(format!("cytube:{}", address.channel.to_lowercase())),
            Self::Kryten(address) => Some(format!("cytube:{}", address.channel.to_lowercase())),
        }
    }

    /// Whether it is what the process reads from its standard input.
    pub const fn is_stdin(&self) -> bool {
        matches!(self, Self::Jsonl(jsonl::Recording { file: None, .. }))
    }

    /// Whether it is a recording or a pipe, and no network of people.
    pub const fn is_recording(&self) -> bool {
        matches!(self, Self::Jsonl(_))
    }

    /// Whether a value that begins with this word and a colon is of a known kind.
    pub fn is_scheme(word: &str) -> bool {
        SCHEMES.contains(&word)
    }

    /// The supported forms, for people.
    pub const FORMS: &'static str = FORMS;

    /// Checks that the chat can be opened, without waiting for one that is written to later.
    ///
    /// # Errors
    /// When the file is not there, or cannot be read.
    pub fn check(&self) -> Result<(), OpenError> {
        match self {
            Self::Jsonl(recording) => recording.check(),
            Self::Irc(address) => address.check(),
            Self::CyTube(address) => address.check(),
            Self::Kryten(address) => address.check(),
        }
    }

    /// Opens the chat, for a bot of this name. A network is connected when it is listened to, and reconnected indefinitely.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub async fn open(self, name: &str) -> Result<Box<dyn Chat>, OpenError> {
        match self {
            Self::Jsonl(recording) => recording.open().await,
            Self::Irc(address) => address.open(name),
            Self::CyTube(address) => address.open(name),
            Self::Kryten(address) => address.open(name),
        }
    }
}

impl FromStr for Source {
    type Err = OpenError;

    fn from_str(text: &str) -> Result<Self, OpenError> {
        let unclear = |reason: String| OpenError::Unclear { source: text.to_owned(), reason };
        match text.split_once(':') {
            Some(("jsonl", rest)) => rest.parse().map(Self::Jsonl).map_err(unclear),
            Some(("irc", rest)) => irc::Address::parse(rest, false).map(Self::Irc).map_err(unclear),
            Some(("irc+tls" | "ircs", rest)) => {
                irc::Address::parse(rest, true).map(Self::Irc).map_err(unclear)
            }
            Some(("cytube", rest)) => cytube::Address::parse(rest, true).map(Self::CyTube).map_err(unclear),
            Some(("cytube+http", rest)) => {
                cytube::Address::parse(rest, false).map(Self::CyTube).map_err(unclear)
            }
            Some(("kryten", rest)) => kryten::Address::parse(rest, false).map(Self::Kryten).map_err(unclear),
            Some(("kryten+tls", rest)) => {
                kryten::Address::parse(rest, true).map(Self::Kryten).map_err(unclear)
            }
            Some((network, _)) => Err(unclear(format!("there is no network `{network}`"))),
            None => Err(unclear("it does not say of which kind it is".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unclear_source_says_what_is_wrong_and_what_there_is() {
        for (text, reason) in [
            ("session.jsonl", "does not say of which kind"),
            ("", "does not say of which kind"),
            ("xmpp://example.org/rosey", "no network `xmpp`"),
            ("irc://example.org/rosey", "no channel"),
            ("cytube://example.org", "the channel follows"),
            ("cytube+http://rosey@example.org/lounge?login=file", "not over cytube+http"),
            ("jsonl:", "the file has no name"),
            ("jsonl:x?speed=fast", "speed=fast"),
            ("jsonl:x?speed=0", "speed=0"),
            ("jsonl:x?speed=inf", "speed=inf"),
            ("jsonl:x?speed=-2", "speed=-2"),
            ("jsonl:x?shift=then", "shift=then"),
            ("jsonl:x?loud=yes", "no option `loud=yes`"),
            ("jsonl:x?speed", "no option `speed`"),
            ("jsonl:-?shift=now", "cannot be read twice"),
        ] {
            let error = text.parse::<Source>().expect_err(text).to_string();
            assert!(error.contains(reason), "{text}: {error}");
            assert!(error.contains("jsonl:FILE or jsonl:-"), "{text}: {error}");
        }
    }

    #[test]
    fn every_scheme_is_one_that_is_read() {
        for scheme in SCHEMES {
            let error = format!("{scheme}:").parse::<Source>().expect_err(scheme).to_string();
            assert!(!error.contains("no network"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_is_an_error_that_names_it() {
        let error = super::super::open("jsonl:/nowhere/at/all.jsonl").await.err().expect("error").to_string();
        assert!(error.contains("/nowhere/at/all.jsonl"), "{error}");
        let error = super::super::open("jsonl:/").await.err().expect("error").to_string();
        assert!(error.contains("directory"), "{error}");
    }
}
