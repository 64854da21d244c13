//! The servers of an address: one, or those of a cluster, of which one takes writes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::sql::OpenError;

/// What `target_session_attrs` may say: a store writes.
const WRITING: [&str; 3] = ["any", "read-write", "primary"];
/// The parameters that name files.
const FILES: [&str; 3] = ["sslrootcert", "sslcert", "sslkey"];

/// How each server is connected to, in the order of the address.
#[derive(Clone)]
pub(super) struct Servers {
    list: Vec<PgConnectOptions>,
    /// The one that took writes last; those that are connected anew begin with it.
    primary: Arc<AtomicUsize>,
    /// Whether none took writes when that was tried last.
    headless: Arc<AtomicBool>,
}

impl Servers {
    /// Reads an address. Several hosts are separated by commas: `postgres://USER@HOST:PORT,HOST:PORT/DATABASE`.
    pub(super) fn parse(url: &str, refused: impl Fn(String) -> OpenError) -> Result<Self, OpenError> {
        let (before, hosts, after) = parts(url);
        let parameter = |name: &str| parameters(url).filter(|(key, _)| *key == name).last();
        if parameter("host").is_some_and(|(_, hosts)| hosts.contains(',')) {
            return Err(refused(
                "several hosts stand before the database: postgres://HOST,HOST/DATABASE".into(),
            ));
        }
        if let Some((_, attribute)) = parameter("target_session_attrs").filter(|(_, a)| !WRITING.contains(a))
        {
            return Err(refused(format!(
                "target_session_attrs={attribute}: a store writes, so it is read-write"
            )));
        }
        for path in FILES.iter().filter_map(|name| parameter(name)).map(|(_, path)| path) {
            let path = PathBuf::from(path);
            // One that is encoded, or is the certificate itself, is left to the library.
            if path.is_absolute() && !path.to_string_lossy().contains('%') {
                std::fs::File::open(&path).map_err(|error| OpenError::File { path, error })?;
            }
        }
        let others: Vec<&str> =
            after.1.split('&').filter(|p| !p.starts_with("target_session_attrs=")).collect();
        let after = format!("{}?{}", after.0, others.join("&"));
        let list = hosts.split(',').map(|host| {
            let one = format!("{before}{host}{}", after.trim_end_matches('?'));
            let one: PgConnectOptions = one.parse().map_err(|e: sqlx::Error| refused(e.to_string()))?;
            // The library leaves the brackets of IPv6, and would look them up.
            let host = one.get_host().trim_matches(['[', ']']).to_owned();
            let mode = mode(one.get_ssl_mode(), parameter("sslrootcert").is_some()).map_err(&refused)?;
            // A pooler refuses to begin a session with the digits of floats, which are exact without that.
            let one = one.host(&host).ssl_mode(mode).extra_float_digits(None);
            Ok(one.application_name("eitherway").disable_statement_logging())
        });
        Ok(Self { list: list.collect::<Result<_, _>>()?, primary: Arc::default(), headless: Arc::default() })
    }

    /// The same with a password.
    pub(super) fn password(mut self, password: &str) -> Self {
        self.list = self.list.into_iter().map(|one| one.password(password)).collect();
        self
    }

    pub(super) const fn count(&self) -> usize {
        self.list.len()
    }

    /// Each with its place, the one that took writes last first.
    pub(super) fn each(&self) -> impl Iterator<Item = (usize, &PgConnectOptions)> {
        let first = self.primary();
        (0..self.list.len())
            .map(move |n| (first + n) % self.list.len())
            .map(|place| (place, &self.list[place]))
    }

    /// The place of the one that took writes last.
    pub(super) fn primary(&self) -> usize {
        self.primary.load(Ordering::Acquire)
    }

    /// The one at this place takes writes.
    pub(super) fn takes_writes(&self, place: usize) {
        self.primary.store(place, Ordering::Release);
        self.headless.store(false, Ordering::Release);
    }

    /// None of them does.
    pub(super) fn none_takes_writes(&self) {
        self.headless.store(true, Ordering::Release);
    }

    /// Whether none of them did, when that was tried last.
    pub(super) fn is_headless(&self) -> bool {
        self.headless.load(Ordering::Acquire)
    }
}

/// How TLS is used. The library takes `allow` for `disable`, and looks at a CA only where the mode says so: here, as for
/// libpq, `require` with a CA checks it.
fn mode(mode: PgSslMode, ca: bool) -> Result<PgSslMode, String> {
    match mode {
        PgSslMode::VerifyCa | PgSslMode::VerifyFull => Ok(mode),
        PgSslMode::Require if ca => Ok(PgSslMode::VerifyCa),
        _ if ca => Err("sslrootcert is of no use without sslmode=verify-full (or verify-ca)".to_owned()),
        PgSslMode::Allow => Ok(PgSslMode::Prefer),
        _ => Ok(mode),
    }
}

/// What stands before the hosts, they, and the path and parameters after them.
fn parts(url: &str) -> (&str, &str, (&str, &str)) {
    let (place, parameters) = url.split_once('?').unwrap_or((url, ""));
    let begin = place.find("://").map_or(0, |at| at + 3);
    let end = place[begin..].find('/').map_or(place.len(), |at| begin + at);
    let hosts = place[begin..end].rfind('@').map_or(begin, |at| begin + at + 1);
    (&place[..hosts], &place[hosts..end], (&place[end..], parameters))
}

fn parameters(url: &str) -> impl Iterator<Item = (&str, &str)> {
    let (_, parameters) = url.split_once('?').unwrap_or((url, ""));
    parameters.split('&').filter_map(|parameter| parameter.split_once('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(url: &str) -> Result<Servers, OpenError> {
        Servers::parse(url, |why| OpenError::Address("address".to_owned(), why))
    }

    #[test]
    fn an_address_may_name_several_hosts() {
        let url = "postgres://bot:a,b@one,[::1]:5433,10.0.0.3:5434/rosey?target_session_attrs=read-write&sslmode=require";
        let servers = servers(url).expect("an address");
        let found: Vec<_> = servers.each().map(|(_, one)| (one.get_host(), one.get_port())).collect();
        assert_eq!(found, [("one", 5432), ("::1", 5433), ("10.0.0.3", 5434)]);
        for (_, one) in servers.each() {
            assert_eq!((one.get_username(), one.get_database()), ("bot", Some("rosey")));
            assert!(matches!(one.get_ssl_mode(), PgSslMode::Require));
        }
    }

    #[test]
    fn the_one_that_took_writes_last_comes_first() {
        let servers = servers("postgres://a,b,c/rosey").expect("an address");
        servers.clone().takes_writes(1);
        assert_eq!(servers.each().map(|(place, _)| place).collect::<Vec<_>>(), [1, 2, 0]);
    }

    #[test]
    fn a_socket_and_an_address_without_a_host_stay_what_they_are() {
        let of = |url| servers(url).expect("an address").list.remove(0);
        let folder = of("postgres:///rosey?host=/run/postgresql").get_socket().cloned();
        assert_eq!(folder, Some("/run/postgresql".into()));
        assert_eq!(of("postgres://%2Frun%2Fpostgresql/rosey").get_socket().cloned(), folder);
    }

    #[test]
    fn tls_is_never_weaker_than_it_looks() {
        let mode = |parameters: &str| {
            servers(&format!("postgres://db/rosey?{parameters}")).map(|s| s.list[0].get_ssl_mode())
        };
        assert!(matches!(mode("sslmode=require&sslrootcert=ca.pem"), Ok(PgSslMode::VerifyCa)));
        assert!(matches!(mode("sslmode=verify-full&sslrootcert=ca.pem"), Ok(PgSslMode::VerifyFull)));
        assert!(matches!(mode("sslmode=allow"), Ok(PgSslMode::Prefer)));
        for weak in ["sslmode=prefer", "sslmode=disable", "sslmode=allow"] {
            let refused = mode(&format!("{weak}&sslrootcert=ca.pem")).expect_err(weak).to_string();
            assert!(refused.contains("verify-full"), "{refused}");
        }
        let missing = mode("sslmode=verify-full&sslrootcert=/no/such/ca.pem").expect_err("no file");
        assert!(missing.to_string().contains("/no/such/ca.pem"), "{missing}");
    }

    #[test]
    fn an_address_that_wants_to_read_only_is_refused() {
        let refused = |url| servers(url).err().expect("refused").to_string();
        assert!(refused("postgres://a,b/rosey?target_session_attrs=standby").contains("a store writes"));
        assert!(refused("postgres:///rosey?host=a,b").contains("before the database"));
    }
}
