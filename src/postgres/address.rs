//! The parts of an address, and its parameters: each is one that counts here, stands once and has a value that will do. What a
//! library passes over in silence would leave an operator with less than was asked for, such as a connection without TLS.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::sql::OpenError;

/// What counts here. `statement-cache-capacity` is the library's own.
const PARAMETERS: [&str; 14] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "schema",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "target_session_attrs",
];

/// What libpq knows beside that, and what to do instead where there is something.
const OF_LIBPQ: [(&str, &str); 36] = [
    ("channel_binding", "; sslmode=verify-full makes sure of the server"),
    ("client_encoding", "; it is UTF8"),
    ("connect_timeout", "; a server has 3 s, unless the program sets another limit"),
    ("fallback_application_name", "; application_name is"),
    ("gssdelegation", ""),
    ("gssencmode", ""),
    ("gsslib", ""),
    ("keepalives", ""),
    ("keepalives_count", ""),
    ("keepalives_idle", ""),
    ("keepalives_interval", ""),
    ("krbsrvname", ""),
    ("load_balance_hosts", "; servers are tried in the order of the address"),
    ("max_protocol_version", ""),
    ("min_protocol_version", ""),
    ("oauth_client_id", ""),
    ("oauth_client_secret", ""),
    ("oauth_issuer", ""),
    ("oauth_scope", ""),
    ("passfile", "; the variable PGPASSFILE names that file"),
    ("replication", ""),
    ("require_auth", ""),
    ("requirepeer", ""),
    ("requiressl", "; write sslmode=require"),
    ("scram_client_key", ""),
    ("scram_server_key", ""),
    ("service", "; write the address out"),
    ("ssl_max_protocol_version", ""),
    ("ssl_min_protocol_version", "; it is TLS 1.2 or later"),
    ("sslcertmode", ""),
    ("sslcompression", ""),
    ("sslcrl", ""),
    ("sslcrldir", ""),
    ("sslnegotiation", ""),
    ("sslpassword", "; the key of sslkey must not be encrypted"),
    ("tcp_user_timeout", ""),
];

const MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
/// What `target_session_attrs` may say: a store writes.
const WRITING: [&str; 3] = ["any", "read-write", "primary"];
/// The parameters that name files.
const FILES: [&str; 3] = ["sslrootcert", "sslcert", "sslkey"];

/// How many letters a name may be away from the one that was meant.
const NEAR: usize = 3;
/// As much of a value is repeated, at most.
const MOST: usize = 40;

/// An address, `BEFORE HOSTS AFTER ? PARAMETERS`.
pub(super) struct Address<'a> {
    pub(super) before: &'a str,
    pub(super) hosts: &'a str,
    after: &'a str,
    parameters: &'a str,
}

impl<'a> Address<'a> {
    pub(super) fn of(url: &'a str) -> Self {
        let (place, parameters) = url.split_once('?').unwrap_or((url, ""));
        let begin = place.find("://").map_or(0, |at| at + 3);
        let end = place[begin..].find('/').map_or(place.len(), |at| begin + at);
        let hosts = place[begin..end].rfind('@').map_or(begin, |at| begin + at + 1);
        Self { before: &place[..hosts], hosts: &place[hosts..end], after: &place[end..], parameters }
    }

    fn each(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        self.parameters.split('&').filter(|parameter| !parameter.is_empty()).map(|parameter| {
            parameter.split_once('=').map_or((parameter, None), |(name, value)| (name, Some(value)))
        })
    }

    /// The value of a parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<&'a str> {
        self.each().find_map(|(key, value)| value.filter(|_| key == name))
    }

    /// What follows the hosts, as far as the library is to read it.
    pub(super) fn rest(&self) -> String {
        let ours = ["schema", "target_session_attrs"];
        let theirs = self
            .parameters
            .split('&')
            .filter(|parameter| !ours.contains(&parameter.split('=').next().unwrap_or_default()));
        let theirs = theirs.collect::<Vec<_>>().join("&");
        if theirs.is_empty() { self.after.to_owned() } else { format!("{}?{theirs}", self.after) }
    }

    /// Looks at everything that the library would pass over.
    ///
    /// # Errors
    /// The first thing that will not do. No part of a password is in the sentence.
    pub(super) fn check(&self, refused: impl Fn(String) -> OpenError) -> Result<(), OpenError> {
        self.wrong().map_or(Ok(()), |why| Err(refused(why)))?;
        for path in FILES.iter().filter_map(|name| self.parameter(name)).map(PathBuf::from) {
            // One that is encoded, or is the certificate itself, is left to the library.
            if path.is_absolute() && !path.to_string_lossy().contains('%') {
                std::fs::File::open(&path).map_err(|error| OpenError::File { path, error })?;
            }
        }
        Ok(())
    }

    fn wrong(&self) -> Option<String> {
        if [self.before, self.hosts, self.after, self.parameters].iter().any(|part| part.contains('#')) {
            return Some(
                "it has a #, behind which nothing counts; in a password it is written %23".to_owned(),
            );
        }
        if self.after.contains('@') {
            return Some(
                "it has an @ behind a /, which ends the hosts; in a password a / is written %2F, an @ %40"
                    .to_owned(),
            );
        }
        if self.after.contains(['&', '=']) {
            return Some(
                "the parameters begin with a question mark: postgres://HOST/DATABASE?sslmode=require"
                    .to_owned(),
            );
        }
        // What stands behind a password may be the rest of it, which an & or a question mark has cut off.
        let mut secret = self.parameters.contains('@');
        let mut seen: Vec<&str> = Vec::new();
        for (name, value) in self.each() {
            let is_known = PARAMETERS.contains(&name) || name.starts_with("options[");
            if !is_known {
                return Some(unknown(name, secret));
            }
            if seen.contains(&name) {
                return Some(format!("the parameter {name} is there twice"));
            }
            seen.push(name);
            secret |= name == "password";
            let Some(value) = value else { return Some(format!("the parameter {name} has no value")) };
            if let Some(expected) = expected(name, value) {
                let value = if secret { String::new() } else { format!(" and not {}", excerpt(value)) };
                return Some(format!("the parameter {name} is {expected}{value}"));
            }
        }
        let host = self.parameter("host").or_else(|| self.parameter("hostaddr"));
        if host.is_some_and(|host| host.contains(',')) {
            return Some("several hosts stand before the database: postgres://HOST,HOST/DATABASE".to_owned());
        }
        (host.is_some() && !self.hosts.is_empty())
            .then(|| "it names a host twice: before the database, and as a parameter".to_owned())
    }
}

fn unknown(name: &str, secret: bool) -> String {
    if let Some((name, instead)) = OF_LIBPQ.iter().find(|(known, _)| *known == name) {
        return format!("the parameter {name} is not supported here{instead}");
    }
    let distance = |known: &str| {
        strsim::levenshtein(&name.to_ascii_lowercase().replace('-', "_"), &known.replace('-', "_"))
    };
    let nearest =
        PARAMETERS.iter().min_by_key(|known| distance(known)).filter(|known| distance(known) <= NEAR);
    match nearest {
        Some(nearest) if !secret => {
            format!("there is no parameter {}: did you mean {nearest}?", excerpt(name))
        }
        None if !secret => format!("there is no parameter {}; there are {}", excerpt(name), PARAMETERS.join(", ")),
        _ => "there is no parameter of a name in it, which may be a part of the password: ? and & are written %3F and %26 there"
            .to_owned(),
    }
}

/// What a value must be, if it is not.
fn expected(name: &str, value: &str) -> Option<String> {
    let one_of =
        |values: &[&str]| (!values.contains(&value)).then(|| format!("one of {}", values.join(", ")));
    match name {
        "sslmode" => one_of(&MODES),
        "target_session_attrs" => {
            one_of(&WRITING).map(|expected| format!("{expected}, because a store writes,"))
        }
        "port" => value.parse::<u16>().is_err().then(|| "a number up to 65535".to_owned()),
        "statement-cache-capacity" => value.parse::<usize>().is_err().then(|| "a number".to_owned()),
        "hostaddr" => value.parse::<IpAddr>().is_err().then(|| "the number of a host".to_owned()),
        "password" | "application_name" | "options" => None,
        _ => value.is_empty().then(|| "a text".to_owned()),
    }
}

/// The variables that the library reads, and passes over if it cannot.
pub(super) fn wrong_variable(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let looked_at = [("PGSSLMODE", "sslmode"), ("PGPORT", "port")];
    looked_at.into_iter().find_map(|(name, parameter)| {
        let value = variable(name)?;
        expected(parameter, &value)
            .map(|expected| format!("{name} is {expected} and not {}", excerpt(&value)))
    })
}

/// A text in quotes: its beginning, with nothing in it that a terminal obeys.
pub(super) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(parameters: &str) -> Option<String> {
        Address::of(&format!("postgres://bot:s3cret@db/rosey{parameters}")).wrong()
    }

    #[test]
    fn a_parameter_that_would_not_count_is_refused_with_the_one_that_was_meant() {
        for (parameters, says) in [
            ("?sslmod=verify-full", "there is no parameter \"sslmod\": did you mean sslmode?"),
            ("?ssl-mode=require", "did you mean sslmode?"),
            ("?SSLMODE=require", "did you mean sslmode?"),
            ("?sslrootcrt=/ca.pem", "did you mean sslrootcert?"),
            ("?ssl%6Dode=require", "did you mean sslmode?"),
            ("?sslmode=require&sslmode=disable", "sslmode is there twice"),
            ("?schema=a&schema=b", "schema is there twice"),
            (
                "?sslmode=foo",
                "is one of disable, allow, prefer, require, verify-ca, verify-full and not \"foo\"",
            ),
            ("?sslmode=", "and not \"\""),
            ("?sslmode", "the parameter sslmode has no value"),
            ("?sslrootcert=", "sslrootcert is a text"),
            ("?port=many", "port is a number up to 65535 and not \"many\""),
            ("?host=other", "a host twice"),
            ("?connect_timeout=3", "connect_timeout is not supported here; a server has 3 s"),
            ("?channel_binding=require", "channel_binding is not supported here"),
            ("?target_session_attrs=standby", "a store writes"),
            ("?nonsense=1", "there is no parameter \"nonsense\"; there are application_name"),
            ("&sslmode=require", "begin with a question mark"),
            ("#?sslmode=require", "%23"),
            ("?sslmode=require#", "%23"),
        ] {
            let said = wrong(parameters).unwrap_or_default();
            assert!(said.contains(says), "{parameters}: {said}");
        }
        for good in [
            "",
            "?",
            "?sslmode=verify-full&sslrootcert=ca.pem&schema=lounge&application_name=bot",
            "?options=-c%20work_mem%3D1MB&options[geqo]=off&target_session_attrs=read-write&password=a%26b",
        ] {
            assert_eq!(wrong(good), None, "{good}");
        }
    }

    #[test]
    fn no_part_of_a_password_is_in_what_is_said_of_a_parameter() {
        for url in [
            "postgres://bot:wo?sslmods3cret=x@db/rosey",
            "postgres://bot@db/rosey?password=wo&s3cret",
            "postgres://bot@db/rosey?password=wo&s3cret=x",
            "postgres://bot@db/rosey?password=wo&sslmode=s3cret",
            "postgres://bot:wo#s3cret@db/rosey",
            "postgres://bot:wo/s3cret@db/rosey",
        ] {
            let said = Address::of(url).wrong().expect(url);
            assert!(
                !said.contains("s3cret") && said.contains('%') | said.contains("one of"),
                "{url}: {said}"
            );
        }
    }

    #[test]
    fn a_variable_that_would_not_count_is_refused() {
        let with = |name: &'static str, value: &'static str| {
            wrong_variable(move |asked| (asked == name).then(|| value.to_owned()))
        };
        assert!(with("PGSSLMODE", "verify_full").is_some_and(|said| said.contains("PGSSLMODE is one of")));
        assert!(with("PGPORT", "x").is_some());
        assert_eq!(with("PGSSLMODE", "require"), None);
        assert_eq!(with("OTHER", "x"), None);
    }

    #[test]
    fn a_long_value_is_cut_and_obeyed_by_no_terminal() {
        let said = wrong(&format!("?sslmode=\u{1b}[2J{}", "x".repeat(100))).unwrap_or_default();
        assert!(said.contains("\\u{1b}[2J") && said.len() < 200 && said.ends_with('…'), "{said}");
    }
}
