//! The address of a server: the login in it, and what of it may be logged.

/// An address without the user and password in it, fit for a log. What is no address, or not a whole one, is hidden: it
/// may be a part of a password.
#[must_use]
pub fn redact(url: &str) -> String {
    let hide = |address: &str| {
        let (scheme, rest) = match address.split_once("://") {
            Some((scheme, rest)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                (format!("{scheme}://"), rest)
            }
            _ => (String::new(), address),
        };
        let (login, host) = rest.rsplit_once('@').map_or(("", rest), |(_, host)| ("***@", host));
        let host = if is_host(host) { host } else { "***" };
        format!("{scheme}{login}{host}")
    };
    // Hidden as a whole, if it may be a comma of a password at which it is split.
    let parts: Vec<&str> = url.split(',').map(str::trim).collect();
    let whole =
        parts.iter().enumerate().all(|(n, part)| n == 0 || !part.contains('@') || part.contains("://"));
    if whole {
        parts.into_iter().map(hide).collect::<Vec<_>>().join(",")
    } else {
        let host = url.rsplit_once('@').map_or("", |(_, host)| host);
        format!("***@{}", if is_host(host) { host } else { "***" })
    }
}

/// Whether this is a host, maybe with a port.
fn is_host(text: &str) -> bool {
    let text = text.strip_suffix('/').unwrap_or(text);
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, port.strip_prefix(':').or(Some("none"))),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let named = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte);
    !host.is_empty() && host.bytes().all(named) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// User and password in an address, or a token alone.
pub fn login(address: &str) -> Option<(String, Option<String>)> {
    let (_, rest) = address.split_once("://").unwrap_or(("", address));
    let (login, _) = rest.rsplit_once('@')?;
    let (user, password) = login.split_once(':').map_or((login, None), |(u, p)| (u, Some(p)));
    Some((percent_decoded(user), password.map(percent_decoded)))
}

/// An address without user and password.
pub fn bare(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").map_or(("", address), |(scheme, rest)| (scheme, rest));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    if scheme.is_empty() { host.to_owned() } else { format!("{scheme}://{host}") }
}

/// `%40` is how an address says `@`.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| byte == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{login, redact};

    #[test]
    fn an_address_may_hold_user_and_password_or_a_token() {
        let user = |user: &str, password: &str| Some((user.to_owned(), Some(password.to_owned())));
        assert_eq!(login("nats://me:secret@host:4222"), user("me", "secret"));
        assert_eq!(login("me:a:b%40c@host"), user("me", "a:b@c"));
        assert_eq!(login("tls://me:100%@host"), user("me", "100%"));
        assert_eq!(login("nats://t0ken@host:4222"), Some(("t0ken".to_owned(), None)));
        assert_eq!(login("nats://host:4222"), None);
        for (address, expected) in
            [("nats://me:a@b@host:1", "nats://host:1"), ("me@host", "host"), ("tls://host", "tls://host")]
        {
            assert_eq!(super::bare(address), expected);
        }
    }

    #[test]
    fn a_password_never_reaches_a_log() {
        assert_eq!(redact("nats://me:secret@host:4222"), "nats://***@host:4222");
        assert_eq!(redact("me:se@cret@host, nats://other:4222"), "***@host,nats://other:4222");
        for whole in ["nats://127.0.0.1:4222", "host", "tls://a.b-c:1,d:2", "nats://[::1]:4222", "nats://h/"]
        {
            assert_eq!(redact(whole), whole);
        }
        for broken in [
            "nats://me:secret",
            "nats://me:secret@",
            "me:secret",
            "nats:// me:secret@host",
            "nats://me:sec,secret@host:1",
            "nats://me:secret/x@host",
            "nats://host:4222?password=secret",
            "nats:/me:secret@host",
        ] {
            let shown = redact(broken);
            assert!(!shown.contains("secret") && !shown.contains("sec,"), "{broken}: {shown}");
            let options = format!("{:?}", crate::nats::NatsOptions::new(broken));
            assert!(!options.contains("secret"), "{options}");
        }
    }
}
