//! The addresses that options take, checked before anything is opened. An error never repeats the address: it may hold a
//! password.

use async_nats::ServerAddr;

use crate::op::Op;
use eitherway::Namespace;
use eitherway::nats::is_subject;
use eitherway::postgres::PostgresOptions;
use eitherway::service::{self, ServeError};
use eitherway::sql::{OpenError, SqliteOptions};

/// Reads `--nats-url`: one address, or several separated by commas.
pub(super) fn nats_url(text: &str) -> Result<String, String> {
    let addresses: Vec<&str> = text.split(',').map(str::trim).collect();
    for (index, address) in addresses.iter().enumerate() {
        let number = if addresses.len() > 1 { format!("address {}: ", index + 1) } else { String::new() };
        nats_address(address).map_err(|why| format!("{number}{why}"))?;
    }
    Ok(text.to_owned())
}

fn nats_address(address: &str) -> Result<(), String> {
    const EXPECTED: &str = "expected an address such as nats://127.0.0.1:4222";
    if address.is_empty() {
        return Err(format!("there is no address between two commas; {EXPECTED}"));
    }
    let (scheme, rest) = address.split_once("://").unwrap_or(("nats", address));
    if !matches!(scheme, "nats" | "tls") {
        return Err(format!("only nats:// and tls:// addresses are supported; {EXPECTED}"));
    }
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let read = format!("{scheme}://{host}").parse::<ServerAddr>();
    match read {
        Ok(server) if !server.host().trim().is_empty() => Ok(()),
        Ok(_) => Err(format!("the host is missing; {EXPECTED}")),
        Err(_) if has_port_that_is_no_number(host) => Err(format!(
            "what follows the host is no port number (user and password stand before an at sign); {EXPECTED}"
        )),
        Err(_) => Err(format!("this is no address of a NATS server; {EXPECTED}")),
    }
}

/// Host and port of an address that has been read.
pub(super) fn host_and_port(address: &str) -> Option<(String, u16)> {
    let (scheme, rest) = address.split_once("://").unwrap_or(("nats", address));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let server = format!("{scheme}://{host}").parse::<ServerAddr>().ok()?;
    Some((server.host().trim_matches(['[', ']']).to_owned(), server.port()))
}

fn has_port_that_is_no_number(host: &str) -> bool {
    let host = host.split(['/', '?', '#']).next().unwrap_or_default();
    host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_err())
}

/// Reads `--database-url`: `sqlite://FILE`, `sqlite:FILE`, the path of a file, or `postgres://…`.
pub(super) fn database_url(text: &str) -> Result<String, String> {
    const EXPECTED: &str = "expected sqlite://FILE, the path of a file, or postgres://HOST/DATABASE";
    if PostgresOptions::is_address(text) {
        return PostgresOptions::new(text).map(|_| text.to_owned()).map_err(why);
    }
    let scheme = text.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("postgres" | "postgresql") if text.starts_with("postgres") => {
            return Err(format!("two slashes stand behind the scheme, postgres://; {EXPECTED}"));
        }
        Some("sqlite" | "postgres" | "postgresql") if !text.starts_with("sqlite:") => {
            return Err(format!("the scheme is written in lower case; {EXPECTED}"));
        }
        Some("mysql" | "mariadb" | "mssql" | "file" | "http" | "https" | "nats" | "tls") => {
            return Err(format!("only SQLite and PostgreSQL are supported; {EXPECTED}"));
        }
        Some(_) if text.contains('@') && !text.starts_with("sqlite:") => {
            return Err(format!(
                "this looks like the address of a server, with a user and a password; {EXPECTED}"
            ));
        }
        _ => {}
    }
    match SqliteOptions::new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(OpenError::Address(_, why)) => Err(format!("{why}; {EXPECTED}")),
        Err(_) => Err(EXPECTED.to_owned()),
    }
}

/// What is wrong with an address, without that.
fn why(error: OpenError) -> String {
    match error {
        OpenError::Address(_, why) => why,
        error => error.to_string(),
    }
}

/// Reads `--nats-inbox-prefix`.
pub(super) fn inbox_prefix(text: &str) -> Result<String, String> {
    if !is_subject(text) {
        return Err("expected a subject without wildcards, such as _INBOX_bot".to_owned());
    }
    // What the service would not answer to is no inbox: an answer there would be taken for a request.
    match service::reply_prefix::<Op>(text) {
        Err(ServeError::ReplyPrefix { why, .. }) => {
            Err(format!("{why}; expected a subject of its own, such as _INBOX_bot"))
        }
        Err(error) => Err(error.to_string()),
        Ok(()) => Ok(text.to_owned()),
    }
}

/// Reads `--namespace` of `serve`: NAME, or NAME=DATABASE, or several of these separated by commas.
pub(super) fn namespaces(text: &str) -> Result<String, String> {
    for (name, database) in each(text).into_iter().map(named) {
        Namespace::new(name).map_err(|e| e.to_string())?;
        database.map_or(Ok(String::new()), database_url).map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(text.to_owned())
}

/// The parts between commas. What follows the address of a server and begins with no name is its next host.
pub(super) fn each(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut begin = 0;
    for (comma, _) in text.match_indices(',').chain([(text.len(), "")]) {
        let of_server = named(&text[begin..comma]).1.is_some_and(PostgresOptions::is_address);
        let next = text[comma..].trim_start_matches(',').split(',').next().unwrap_or_default();
        let begins_one = matches!(named(next), (name, Some(_)) if Namespace::new(name).is_ok());
        if of_server && comma < text.len() && !begins_one {
            continue;
        }
        parts.push(&text[begin..comma]);
        begin = (comma + 1).min(text.len());
    }
    parts
}

/// Name and database of a namespace.
pub(super) fn named(text: &str) -> (&str, Option<&str>) {
    let (name, database) = text.split_once('=').map_or((text, None), |(name, url)| (name, Some(url.trim())));
    (name.trim(), database)
}

/// Reads `--namespaces-url`.
pub(super) fn server_url(text: &str) -> Result<String, String> {
    if !PostgresOptions::is_address(text) {
        return Err("expected postgres://HOST/DATABASE; for files there is --namespaces-dir".to_owned());
    }
    let options = PostgresOptions::new(text).map_err(why)?;
    if options.names_schema() {
        return Err("each namespace has a schema of its own; leave out ?schema=".to_owned());
    }
    Ok(text.to_owned())
}

/// Reads `--reply-prefix`: one prefix, or several separated by commas.
pub(super) fn reply_prefixes(text: &str) -> Result<String, String> {
    for prefix in text.split(',').map(str::trim) {
        match service::reply_prefix::<Op>(prefix) {
            Err(ServeError::ReplyPrefix { prefix, why }) => return Err(format!("{prefix:?}: {why}")),
            Err(error) => return Err(error.to_string()),
            Ok(()) => {}
        }
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inbox_prefix_on_which_work_is_taken_is_refused_with_the_reason() {
        for own in ["rosey.db", "rosey", "rosey.db.user", "rosey.dlq", "_ROSEY", "$JS"] {
            let refused = inbox_prefix(own).expect_err(own);
            assert!(refused.contains("lies there"), "{own}: {refused}");
        }
        for good in ["_INBOX", "_INBOX_bot", "rosey.inbox"] {
            assert_eq!(inbox_prefix(good).as_deref(), Ok(good));
        }
    }

    #[test]
    fn namespaces_are_separated_by_commas_and_so_are_the_hosts_of_a_server() {
        for (text, parts) in [
            ("a", &["a"][..]),
            ("a=a.db, b=b.db", &["a=a.db", " b=b.db"]),
            ("a=postgres://x/d,b=postgres://y/d", &["a=postgres://x/d", "b=postgres://y/d"]),
            ("a=postgres://x,y:1/d?k=v,b=b.db", &["a=postgres://x,y:1/d?k=v", "b=b.db"]),
            ("a=postgres://x,y/d,b", &["a=postgres://x,y/d,b"]),
            ("a,b=b.db,", &["a", "b=b.db", ""]),
        ] {
            assert_eq!(each(text), parts, "{text}");
        }
    }

    #[test]
    fn an_address_of_a_server_is_one_that_can_be_connected_to() {
        for right in [
            "nats://127.0.0.1:4222",
            "tls://me:my secret@host",
            "localhost",
            "localhost:4222",
            "me:secret@host:1",
            "nats://a:1, nats://u:p@b:2,c",
            "nats://[::1]:4222",
            "nats://me:p%40ss@host/",
            "nats://me:12,secret@host",
        ] {
            assert_eq!(nats_url(right), Ok(right.to_owned()));
        }
        for (wrong, says) in [
            (",", "between two commas"),
            ("nats://a,", "address 2: there is no address"),
            ("nats://", "host is missing"),
            ("nats://me:secret@", "host is missing"),
            ("nats://me:secret", "no port number"),
            ("me:secret", "no port number"),
            ("nats://me:secret@host:port", "no port number"),
            ("http://host", "only nats:// and tls://"),
            ("ws://host", "only nats:// and tls://"),
            ("nats://a b", "no address of a NATS server"),
        ] {
            let error = nats_url(wrong).expect_err(wrong);
            assert!(error.contains(says), "{wrong}: {error}");
            assert!(!error.contains("secret"), "{wrong}: {error}");
        }
    }

    #[test]
    fn an_address_of_a_database_is_a_file_or_a_server() {
        for right in [
            "sqlite://rosey.db",
            "sqlite:rosey.db",
            "rosey.db",
            "./a:b.db",
            "/srv/me@home/rosey.db",
            "postgres://me:secret@host/db?sslmode=verify-full",
            "postgresql://host/db?schema=channel_2",
        ] {
            assert_eq!(database_url(right), Ok(right.to_owned()));
        }
        for (wrong, says) in [
            ("PostgreSQL://host", "lower case"),
            ("postgres:/host/db", "two slashes"),
            ("postgresql:/me:secret@host/db", "two slashes"),
            ("postgres:db", "two slashes"),
            ("postgres://me:secret@host/db?schema=A-b", "a name has"),
            ("mysql://host", "only SQLite"),
            ("file:rosey.db", "only SQLite"),
            ("SQLITE://rosey.db", "lower case"),
            ("me:secret@host", "address of a server"),
            ("oracle://host", "only sqlite://"),
            ("sqlite://", "name a file"),
            ("sqlite::memory:", "name a file"),
            ("sqlite://rosey.db?mode=ro", "nothing may follow"),
        ] {
            let error = database_url(wrong).expect_err(wrong);
            assert!(error.contains(says), "{wrong}: {error}");
            assert!(!error.contains("secret"), "{wrong}: {error}");
        }
    }
}
