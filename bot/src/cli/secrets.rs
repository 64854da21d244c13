//! Addresses without the passwords in them, wherever in a text they stand: in an error, in the log, in the help.

use super::known::{self, PARAMETERS};

/// How the type of an address writes user, or token, and password when it is debugged; in a string, too.
const DEBUGGED: [(&str, &str); 4] = [
    ("username: \"", "\""),
    ("username: \\\"", "\\\""),
    ("password: Some(\"", "\")"),
    ("password: Some(\\\"", "\\\")"),
];

/// The text with `***` for user and password in every address of it.
///
/// Without a user, what stands in the place of a port and is no number counts as a password: the host is
/// missing. Rather too much is hidden than too little.
pub(super) fn redact(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let end = end(before, after);
        let file = scheme(before).starts_with("sqlite") || scheme(before) == "file";
        shown.push_str(&if file { after[..end].to_owned() } else { address(&after[..end]) });
        rest = &after[end..];
    }
    shown.push_str(rest);
    debugged(shown)
}

/// The same for what is said about a failure, and for the log: also without what is known to be secret, and without what
/// looks like a login of an address that lacks its scheme. Results are not treated so: they are other people's words.
pub(super) fn hide(text: &str) -> String {
    // First of all: what is left of an address is no address any more.
    let text = known::mask(text.to_owned());
    let mut shown = String::with_capacity(text.len());
    let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`');
    for token in text.split_inclusive(is_end) {
        let word = token.trim_end_matches(is_end);
        let at = word.rfind('@').filter(|at| {
            let login = word[..*at].split_once(':');
            !word.contains("://")
                && login.is_some_and(|(user, password)| !user.is_empty() && !password.is_empty())
        });
        match at {
            Some(at) => {
                shown.push_str("***");
                shown.push_str(&token[at..]);
            }
            None => shown.push_str(token),
        }
    }
    redact(&shown)
}

/// The value of an option as it may be shown.
pub(super) fn value(option: &str, value: &str) -> String {
    if ["password", "secret", "token", "seed"].iter().any(|word| option.contains(word))
        || known::seeds(value).next().is_some()
    {
        return "***".to_owned();
    }
    // The form of libpq, which no option takes: the password may hold white space.
    let packed: String = value.split_whitespace().collect();
    if option.ends_with("url")
        && !value.contains("://")
        && PARAMETERS.iter().any(|name| packed.contains(name))
    {
        return "***".to_owned();
    }
    match value.rfind('@') {
        // An address may leave out its scheme.
        Some(at) if !value.contains("://") && (option.ends_with("url") || value[..at].contains(':')) => {
            format!("***{}", &value[at..])
        }
        // In quotes: an address with white space in its password does not end there.
        Some(_) if option.ends_with("url") || value.contains("://") => {
            let shown = redact(&format!("\"{value}\""));
            known::mask(shown[1..shown.len() - 1].to_owned())
        }
        _ => redact(value),
    }
}

fn scheme(before: &str) -> &str {
    let name = before.strip_suffix("://").unwrap_or(before);
    let start = name.rfind(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-')));
    start.and_then(|at| name.get(at..)).map_or(name, |name| {
        let mut chars = name.chars();
        chars.next();
        chars.as_str()
    })
}

/// Where the address ends that begins `after`: at the quote that stands before it, or at white space.
fn end(before: &str, after: &str) -> usize {
    let name = scheme(before).len() + 3;
    let opening = &before[..before.len() - name];
    let next = after.find("://").map_or(after.len(), |next| {
        // The next address begins with its scheme, which belongs to it.
        let scheme = scheme(&after[..next + 3]).len();
        next - scheme
    });
    let found = match opening.chars().next_back() {
        // A quote within a string of JSON, or of a debugged text.
        Some('"') if opening.ends_with("\\\"") => after.find("\\\""),
        Some(quote @ ('"' | '\'' | '`')) => {
            let mut escaped = false;
            after.char_indices().find_map(|(at, c)| {
                let ends = c == quote && !escaped;
                escaped = c == '\\' && !escaped;
                ends.then_some(at)
            })
        }
        _ => after.find(|c: char| c.is_whitespace() || c == '"').map(|at| {
            if after[at..].starts_with('"') { after[..at].trim_end_matches('\\').len() } else { at }
        }),
    };
    // A line of JSON must keep its own quotes.
    found.unwrap_or(after.len()).min(next)
}

/// One address, after its `://`; several hosts may follow, separated by commas.
fn address(rest: &str) -> String {
    if let Some(at) = rest.rfind('@') {
        return parameters(format!("***{}", &rest[at..]));
    }
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let odd = rest[..authority].split(',').any(|host| {
        let host = host.trim_end_matches(|c: char| !c.is_alphanumeric());
        let port = host.rsplit_once(':').filter(|_| !host.starts_with('[')).map(|(_, port)| port);
        port.is_some_and(|port| !port.is_empty() && !port.bytes().all(|b| b.is_ascii_digit()))
    });
    parameters(if odd { format!("***{}", &rest[authority..]) } else { rest.to_owned() })
}

/// `?password=…&x=y` without the password.
fn parameters(mut text: String) -> String {
    for name in PARAMETERS {
        let mut from = 0;
        while let Some(found) = text.get(from..).and_then(|rest| rest.find(name)) {
            let start = from + found + name.len();
            let end = text[start..].find(['&', '#', ',', ' ', '"']).map_or(text.len(), |end| start + end);
            text.replace_range(start..end, "***");
            from = start + 3;
        }
    }
    text
}

fn debugged(mut text: String) -> String {
    for (begin, end) in DEBUGGED {
        if !text.contains(begin) {
            continue;
        }
        let mut parts = text.split(begin);
        let mut shown = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            shown.push_str(begin);
            shown.push_str("***");
            shown.push_str(part.find(end).map_or("", |end| &part[end..]));
        }
        text = shown;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{hide, redact};

    #[test]
    fn a_text_of_others_leaves_the_json_around_it_whole() {
        for reason in ["invalid type: string \"y x://a:b\", expected", "x://a:\"b", "x://a:b\\\"c"] {
            let line = hide(&serde_json::json!({ "reason": reason, "more": 1 }).to_string());
            let read: Result<serde_json::Value, _> = serde_json::from_str(&line);
            assert_eq!(read.expect(&line)["more"], 1, "{line}");
        }
    }

    #[test]
    fn no_password_of_an_address_is_shown_wherever_it_stands() {
        for text in [
            "nats://me:secret@host:4222",
            "cannot reach nats://me:secret@host:4222: refused",
            "nats://me:secret",
            "nats://me:secret@",
            "nats://secret@host",
            "tls://me:p%40secret@host/path?x=1",
            "NATS address \"nats://me:my secret@host\": invalid",
            "NATS address \"nats://me:secret\": invalid port number",
            "{\"message\":\"NATS address \\\"nats://me:secret\\\": invalid\"}",
            "unexpected argument 'nats://me:se'cret",
            "nats://a:4222,nats://me:secret@b:4222",
            "nats://me:secret@a,nats://b,me:secret@c",
            "nats://me:12,secret@host",
            "irc+tls://bot:secret@irc.example:6697/#chan",
            "irc://irc.example/#chan?password=secret&x=y",
            "wss://host/?token=secret",
            "Url { scheme: \"nats\", username: \"me\", password: Some(\"secret\"), host: None }",
            "Url { scheme: \"nats\", username: \"secret\", password: None }",
            "{\"server\":\"Url { username: \\\"secret\\\", password: Some(\\\"secret\\\") }\"}",
        ] {
            let shown = redact(text);
            assert!(!shown.contains("secret") || text.contains("'cret"), "{text}: {shown}");
        }
    }

    #[test]
    fn a_login_without_a_scheme_is_hidden_in_what_is_said_about_a_failure() {
        for (text, shown) in [
            ("unexpected argument 'me:pw@host' found", "unexpected argument '***@host' found"),
            ("address \"me:pw@host:1\": no", "address \"***@host:1\": no"),
            ("alice@example.org at 12:30", "alice@example.org at 12:30"),
            ("{\"user\":\"a@b\",\"error\":\"x\"}", "{\"user\":\"a@b\",\"error\":\"x\"}"),
        ] {
            assert_eq!(hide(text), shown);
        }
    }

    #[test]
    fn what_holds_no_password_stays_as_it_is() {
        for text in [
            "no NATS server answers at nats://127.0.0.1:4222: connection refused",
            "nats://a:4222,nats://b:4222,c:4222",
            "(nats://host:4222); nats://[::1]:4222, tls://host.",
            "sqlite:///srv/me@home/rosey.db?x",
            "irc+tls://irc.example:6697/#chan",
            "alice@example.org says hi: \"nats://host\"",
            "",
            "://",
        ] {
            assert_eq!(redact(text), text);
        }
        assert_eq!(redact("nats://a:1,nats://u:p@b:2"), "nats://a:1,nats://***@b:2");
    }
}
