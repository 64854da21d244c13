//! The passwords and tokens that this process was given, masked wherever an error or the log repeats them: also where no
//! address stands around them, or not a whole one.

use std::ffi::OsStr;

use parking_lot::Mutex;
use percent_encoding::percent_decode_str;

/// Names of parameters whose values are secret.
pub(super) const PARAMETERS: [&str; 6] = ["password=", "passwd=", "pass=", "token=", "secret=", "nkey="];

/// The longest first.
static KNOWN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Remembers the secrets in what command line and environment say.
pub(super) fn learn_all<'a>(words: impl Iterator<Item = &'a OsStr>) {
    words.for_each(|word| learn(&word.to_string_lossy()));
    for (name, value) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("ROSEY_") || name == "NATS_URL" || name == "DATABASE_URL" {
            learn(&value.to_string_lossy());
        }
    }
}

/// Remembers the secrets of the addresses in a text.
pub(super) fn learn(text: &str) {
    if text.trim_start().starts_with(['{', '[']) {
        return;
    }
    let mut found: Vec<String> = PARAMETERS.iter().flat_map(|name| values(name, text)).collect();
    found.extend(seeds(text));
    if found.is_empty() && !text.contains('@') && !text.contains("://") {
        return;
    }
    let (mut scheme, mut rest) = match text.split_once("://") {
        Some((scheme, rest)) => (scheme, rest),
        None => ("", text),
    };
    loop {
        let next = rest.split_once("://");
        let address = next.map_or(rest, |(address, _)| address);
        if !(scheme.ends_with("sqlite") || scheme.ends_with("file") || is_nick(scheme, address)) {
            secrets_of(address, !scheme.is_empty(), &mut found);
            address.split(',').for_each(|part| secrets_of(part, false, &mut found));
        }
        let Some(next) = next else { break };
        (scheme, rest) = next;
    }
    let mut known = KNOWN.lock();
    for secret in found.into_iter().filter(|secret| is_worth_masking(secret)) {
        // As it stands in a string of JSON, too.
        let quoted = serde_json::Value::from(secret.as_str()).to_string();
        let escaped = quoted.trim_matches('"').to_owned();
        for form in [percent_decode_str(&secret).decode_utf8_lossy().into_owned(), escaped, secret] {
            if !known.contains(&form) {
                known.push(form);
            }
        }
    }
    known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
}

/// Whether all that stands before the `@` is a nickname, which is public in the channel.
fn is_nick(scheme: &str, address: &str) -> bool {
    let chats = ["irc", "irc+tls", "ircs", "cytube", "cytube+http", "kryten", "kryten+tls"];
    let is_chat = chats.iter().any(|name| scheme.ends_with(name));
    is_chat && address.rsplit_once('@').is_some_and(|(login, _)| !login.contains(':'))
}

/// User and password, or a token, before an `@`; without one, what stands in the place of the port.
fn secrets_of(address: &str, whole: bool, found: &mut Vec<String>) {
    match address.trim().rsplit_once('@') {
        Some((login, _)) => {
            found.extend(login.split_once(':').map(|(_, password)| password.to_owned()));
            found.push(login.to_owned());
        }
        None if whole => {
            let authority = address.split(['/', '?', '#']).next().unwrap_or_default();
            let port = authority.split_once(':').map(|(_, port)| port);
            let secret = port.filter(|port| !port.bytes().all(|byte| byte.is_ascii_digit()));
            found.extend(secret.map(str::to_owned));
        }
        None => {}
    }
}

/// The seeds of nkeys, which stand in files and may be given in the place of these.
pub(super) fn seeds(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let is_seed = |word: &&str| {
        let alphabet = |byte: u8| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte);
        word.len() == 58 && word.starts_with('S') && word.bytes().all(alphabet)
    };
    words.filter(is_seed).map(str::to_owned)
}

/// What follows the name of a parameter, up to the next one: in quotes, it may hold white space.
fn values(name: &str, text: &str) -> impl Iterator<Item = String> {
    text.split(name).skip(1).map(|rest| {
        let (rest, ends): (_, &[char]) = match rest.strip_prefix('\'') {
            Some(rest) => (rest, &['\'']),
            None => (rest, &[' ', '\t', '\n', '&', '#', '"']),
        };
        rest.split(ends).next().unwrap_or_default().to_owned()
    })
}

/// Whether the text would not be a common word: masked everywhere, that would make what is said unreadable. In an address
/// it is hidden all the same.
fn is_worth_masking(secret: &str) -> bool {
    let plain = secret.bytes().all(|byte| byte.is_ascii_lowercase());
    secret.len() >= if plain { 8 } else { 5 }
}

/// The text with `***` for every secret that is known.
pub(super) fn mask(mut text: String) -> String {
    for secret in KNOWN.lock().iter() {
        if text.contains(secret.as_str()) {
            text = text.replace(secret.as_str(), "***");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_masked_also_where_no_address_stands_around_it() {
        for (said, secret) in [
            ("nats://me:hunter2@host", "hunter2"),
            ("me:hunter3@host", "hunter3"),
            ("nats://hunter4@host", "hunter4"),
            ("nats://me:hunter 5@host", "hunter 5"),
            ("nats://a:1,nats://b:hunter,6@c", "hunter,6"),
            ("nats://me:p%40hunter7@h", "p@hunter7"),
            ("nats://me:hunter8", "hunter8"),
            ("nats://me:hun\"ter9@h", "hun\\\"ter9"),
            ("a:hunterA@h1,b:hunterB@h2", "hunterB"),
            ("irc+tls://me:hunterF@host/#c", "hunterF"),
            ("cytube://me:hunterG@host/c", "hunterG"),
            ("kryten+tls://me:hunterH@host/site/c", "hunterH"),
            ("host=db password=hunterC", "hunterC"),
            (
                "SUAMLK2ZNL35WSMW37E7UD4VZ7ELPKW7DHC3BWBSD2GCZ7IUQQXZIORRBU",
                "SUAMLK2ZNL35WSMW37E7UD4VZ7ELPKW7DHC3BWBSD2GCZ7IUQQXZIORRBU",
            ),
            ("password='hunter D' host=db", "hunter D"),
            ("postgres://db/rosey?password=hunterE&sslmode=require", "hunterE"),
        ] {
            learn(said);
            let masked = mask(format!("an error with {secret} in it"));
            assert_eq!(masked, "an error with *** in it", "{said}");
        }
        for harmless in [
            "sqlite:///srv/me@home/rosey.db",
            "{\"username\":\"alice@example.org\"}",
            "nats://host:4222",
            "irc://Rosey_Bot@host/#c",
            "cytube://Rosey_Bot@host/c",
            "cytube+http://Rosey_Bot@host/c",
            "kryten://Rosey_Bot@host/site/c",
        ] {
            learn(harmless);
            assert_eq!(mask(harmless.to_owned()), harmless);
        }
    }
}
