//! The servers of an address: one, or those of a cluster, of which one takes writes.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tracing::subscriber::{NoSubscriber, with_default};

use super::address::{Address, wrong_variable};
use super::fault::Fault;
use crate::sql::OpenError;

/// How each server is connected to, in the order of the address.
#[derive(Clone)]
pub(super) struct Servers {
    list: Vec<PgConnectOptions>,
    /// The one that took writes last; those that are connected anew begin with it.
    primary: Arc<AtomicUsize>,
    /// Whether none took writes when that was tried last.
    headless: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
}

/// What a server that takes writes says of itself. A standby that is promoted begins a new timeline, so that of two servers with
/// the same data the one with the lower number is the primary of before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lineage {
    /// The same for all servers that replicate each other.
    pub(super) system: i64,
    pub(super) timeline: u32,
    /// When it was started: a server that two names lead to is one.
    pub(super) started: String,
}

/// What this process has seen.
#[derive(Default)]
struct Seen {
    /// Of the server that took writes last.
    lineage: Option<Lineage>,
    /// Its place, if there was one.
    primary: Option<usize>,
    /// That which is read while none takes writes.
    spare: Option<usize>,
    /// Those of which it was said that they take writes as well.
    rivals: BTreeSet<usize>,
    /// When all of them were looked at.
    looked: Option<Instant>,
}

impl Servers {
    /// Reads an address. Several hosts are separated by commas: `postgres://USER@HOST:PORT,HOST:PORT/DATABASE`.
    pub(super) fn parse(url: &str, refused: impl Fn(String) -> OpenError) -> Result<Self, OpenError> {
        let address = Address::of(url);
        address.check(&refused)?;
        let variable = |name: &str| std::env::var(name).ok();
        if let Some(why) = wrong_variable(variable) {
            return Err(refused(why));
        }
        let ca = address.parameter("sslrootcert").is_some() || variable("PGSSLROOTCERT").is_some();
        let is_named = address.parameter("application_name").is_some();
        let rest = address.rest();
        let list = address.hosts.split(',').map(|host| {
            let one = format!("{}{host}{rest}", address.before);
            // The library logs lines of a file of passwords that it cannot read.
            let one = with_default(NoSubscriber::default(), || one.parse::<PgConnectOptions>());
            let one = one.map_err(|e| refused(e.to_string()))?;
            // The library leaves the brackets of IPv6, and would look them up.
            let host = one.get_host().trim_matches(['[', ']']).to_owned();
            let mode = mode(one.get_ssl_mode(), ca).map_err(&refused)?;
            // A pooler refuses to begin a session with the digits of floats, which are exact without that.
            let one = one.host(&host).ssl_mode(mode).extra_float_digits(None);
            let one = if is_named { one } else { one.application_name("eitherway") };
            Ok(one.disable_statement_logging())
        });
        Ok(Self {
            list: list.collect::<Result<_, _>>()?,
            primary: Arc::default(),
            headless: Arc::default(),
            seen: Arc::default(),
        })
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

    /// What a server is called.
    pub(super) fn name(&self, place: usize) -> String {
        let server = &self.list[place];
        match server.get_socket() {
            Some(socket) => format!("{}:{}", socket.display(), server.get_port()),
            None => format!("{}:{}", server.get_host(), server.get_port()),
        }
    }

    /// The role, that of the first one.
    pub(super) fn role(&self) -> &str {
        self.list.first().map_or("", PgConnectOptions::get_username)
    }

    /// The database.
    pub(super) fn database(&self) -> Option<&str> {
        self.list.first().and_then(PgConnectOptions::get_database)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one at this place takes writes. A move from one to another is said.
    ///
    /// # Errors
    /// When it is the primary of before: another one has taken writes on a later timeline.
    pub(super) fn takes_writes(&self, place: usize, lineage: Option<Lineage>) -> Result<(), Fault> {
        let mut seen = self.seen();
        if let (Some(known), Some(found)) = (&seen.lineage, &lineage)
            && known.system == found.system
            && known.timeline > found.timeline
        {
            let superseded = Fault::Superseded { timeline: found.timeline, newest: known.timeline };
            if seen.rivals.insert(place) {
                tracing::warn!("{}: {}", self.name(place), superseded.cause());
            }
            return Err(superseded);
        }
        let timeline = |lineage: &Option<Lineage>| {
            lineage.as_ref().map_or_else(String::new, |known| format!(" (timeline {})", known.timeline))
        };
        if let Some(before) = seen.primary.filter(|before| *before != place) {
            tracing::warn!(
                "writes move from {}{} to {}{}",
                self.name(before),
                timeline(&seen.lineage),
                self.name(place),
                timeline(&lineage)
            );
        }
        seen.rivals.remove(&place);
        seen.primary = Some(place);
        seen.spare = None;
        seen.lineage = lineage.or(seen.lineage.take());
        self.primary.store(place, Ordering::Release);
        self.headless.store(false, Ordering::Release);
        Ok(())
    }

    /// Whether all servers are to be looked at now: there are several, and `every` has passed since the last time.
    pub(super) fn is_due(&self, every: Duration) -> bool {
        let mut seen = self.seen();
        let due = self.list.len() > 1 && seen.looked.is_none_or(|looked| looked.elapsed() >= every);
        if due {
            seen.looked = Some(Instant::now());
        }
        due
    }

    /// These take writes, as all of them were looked at: the one of the latest timeline counts from now on.
    pub(super) fn take_writes(&self, all: Vec<(usize, Lineage)>) {
        let Some((place, newest)) = all.iter().max_by_key(|(place, found)| {
            (found.timeline, *place == self.primary(), std::cmp::Reverse(*place))
        }) else {
            return;
        };
        let is_later = self
            .seen()
            .lineage
            .as_ref()
            .is_none_or(|known| known.system == newest.system && known.timeline < newest.timeline);
        if is_later && self.takes_writes(*place, Some(newest.clone())).is_err() {
            return;
        }
        for (rival, found) in &all {
            let another = found.system == newest.system && found.started != newest.started;
            if rival != place && another && self.seen().rivals.insert(*rival) {
                tracing::warn!(
                    "{} takes writes (timeline {}), and so does {} (timeline {}): two primaries. Fence the one that is not to be \
                     the primary: stop it, or let it follow the other",
                    self.name(*rival),
                    found.timeline,
                    self.name(*place),
                    newest.timeline
                );
            }
        }
    }

    /// None of them does.
    pub(super) fn none_takes_writes(&self) {
        self.headless.store(true, Ordering::Release);
    }

    /// The one at this place is read meanwhile. That is said when it begins.
    pub(super) fn is_read(&self, place: usize) {
        if self.seen().spare.replace(place).is_none() {
            tracing::warn!("{}", self.reading(place));
        }
    }

    /// That none takes writes, and which is read, if it is so.
    pub(super) fn reads_alone(&self) -> Option<String> {
        let spare = self.seen().spare;
        spare.map(|place| self.reading(place))
    }

    fn reading(&self, place: usize) -> String {
        let name = self.name(place);
        format!(
            "no server takes writes: reading from {name}, which lacks what the primary committed last, perhaps"
        )
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
        servers.clone().takes_writes(1, None).expect("no other one is known");
        assert_eq!(servers.each().map(|(place, _)| place).collect::<Vec<_>>(), [1, 2, 0]);
    }

    #[test]
    fn a_primary_of_before_takes_no_writes_unless_it_is_of_another_system() {
        let servers = servers("postgres://a,b,c/rosey").expect("an address");
        let lineage = |system, timeline: u32| Lineage { system, timeline, started: timeline.to_string() };
        assert!(servers.takes_writes(0, Some(lineage(7, 1))).is_ok());
        servers.take_writes(vec![(0, lineage(7, 1)), (2, lineage(7, 2))]);
        assert_eq!(servers.primary(), 2, "the later one counts");
        let before = servers.takes_writes(0, Some(lineage(7, 1))).expect_err("the primary of before");
        assert!(before.cause().to_string().contains("fence the old primary"), "{}", before.cause());
        assert_eq!(servers.primary(), 2);
        // Two of the same timeline: the one that is used stays.
        servers.take_writes(vec![(0, lineage(7, 2)), (2, lineage(7, 2))]);
        assert_eq!(servers.primary(), 2);
        // Loaded from a dump into new servers.
        assert!(servers.takes_writes(1, Some(lineage(8, 1))).is_ok());
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
    fn an_address_with_a_parameter_that_does_not_count_is_refused() {
        let refused = |url| servers(url).err().expect("refused").to_string();
        assert!(refused("postgres://a/rosey?sslmod=verify-full").contains("did you mean sslmode?"));
        assert!(refused("postgres:///rosey?host=a,b").contains("before the database"));
        let named = servers("postgres://a/rosey?application_name=bot&schema=b").expect("an address");
        assert_eq!(named.list[0].get_application_name(), Some("bot"));
    }
}
