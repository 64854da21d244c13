//! Why a chat could not be opened.

use std::fmt;
use std::path::PathBuf;

/// The supported forms of a chat, for people.
pub(super) const FORMS: &str = "a chat is jsonl:FILE or jsonl:- (standard input), and may end in ?shift=now \
                                     (a file's last event happens now) or ?speed=max|N (N times the recorded pace), \
                                     or ?source=NAME (whose ids its lines have), joined by &; or \
                                     irc:// or irc+tls:// and NICK@HOST:PORT/#CHANNEL, and may end in ?sasl=FILE (the \
                                     account's password), ?account=NAME, ?key=FILE (the channel's) or ?ca=FILE; or \
                                     cytube:// (or cytube+http://) and NAME@HOST:PORT/CHANNEL, and may end in ?login=FILE \
                                     (the account's password), ?key=FILE (the channel's) or ?ca=FILE; or \
                                     kryten:// (or kryten+tls://) and ROBOT@NATSHOST:PORT/CYTUBEHOST/CHANNEL, and may end in \
                                     ?credentials=FILE (for NATS) or ?ca=FILE; where there are several, NAME= stands in front \
                                     of each";

/// Why a chat could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The value does not name a chat.
    Unclear {
        /// The value.
        source: String,
        /// Why the value does not name a chat.
        reason: String,
    },
    /// The file cannot be read.
    Unreadable {
        /// The path of the file.
        path: PathBuf,
        /// The I/O error.
        error: std::io::Error,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unclear { source, reason } => write!(f, "`{source}`: {reason}; {}", FORMS),
            Self::Unreadable { path, error } => write!(f, "cannot read {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unclear { .. } => None,
            Self::Unreadable { error, .. } => Some(error),
        }
    }
}
