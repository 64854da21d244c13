//! What a server's answer to a login means.

use std::time::Duration;

use serde::Deserialize;

/// The answer of the server.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Answer {
    success: bool,
    name: String,
    error: String,
}

/// What comes of a login.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// We are in, under this name.
    In(String),
    /// The name is taken: by our own ghost perhaps, which goes when the server misses it.
    Taken(String),
    /// It may do so later.
    Later(String),
    /// It would not do another time.
    Refused(String),
}

/// How long a ghost may have the name: the longest time for which a server waits for a client that is silent.
pub(super) const GHOST: Duration = Duration::from_secs(150);

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        let Answer { success, name, error } = answer;
        let says = |words: &[&str]| words.iter().any(|word| error.to_lowercase().contains(word));
        match () {
            () if success => Self::In(name),
            () if says(&["already in use"]) => Self::Taken(error),
            () if says(&["password", "invalid user", "is registered", "banned"]) => Self::Refused(error),
            () => Self::Later(error),
        }
    }
}

/// Whether the reason of a kick says that coming back is not wanted, or would throw out whoever has come instead of us.
pub(super) fn is_final(reason: &str) -> bool {
    let reason = reason.to_lowercase();
    ["banned", "blacklist", "duplicate login", "invalid channel"].iter().any(|word| reason.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_final_if_waiting_does_not_help() {
        let of = |error: &str| Outcome::from(Answer { error: error.to_owned(), ..Answer::default() });
        for last in [
            "Invalid username/password combination",
            "Invalid username.  Usernames must be 1-20 characters long",
            "That username is registered.",
        ] {
            assert_eq!(of(last), Outcome::Refused(last.to_owned()));
        }
        let taken = "That name is already in use on this channel.";
        assert_eq!(of(taken), Outcome::Taken(taken.to_owned()));
        for passing in
            ["Guest logins are restricted to one per IP address per 60 seconds.", "Database error", ""]
        {
            assert_eq!(of(passing), Outcome::Later(passing.to_owned()));
        }
        assert!(is_final("You're banned!") && is_final("Duplicate login") && !is_final("spam"));
    }
}
