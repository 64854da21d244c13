//! `rosey serve` for several namespaces: where their databases are, and how much they may need.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::addresses::{each, named, server_url};
use super::args::{ServeArgs, count, millis};
use super::database_options::DatabaseOptions;
use super::databases::{self, Databases};
use super::exit::{Exit, Failure};
use eitherway::Namespace;
use eitherway::service::{Namespaces, ServiceOptions};

/// The options for several of them.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Namespaces")]
pub(super) struct NamespacesArgs {
    /// Serve every NAME.db in this directory as the namespace NAME, those that come later too. NAME is of a-z, 0-9, _ and
    /// single hyphens, in parts separated by dots, 64 bytes at most; links and other files are passed over
    #[arg(long, env = "ROSEY_NAMESPACES_DIR", value_name = "DIR")]
    namespaces_dir: Option<PathBuf>,
    /// Serve every schema `rosey_NAME` of this database on PostgreSQL as the namespace NAME, those that come later too: postgres://HOST/DATABASE
    #[arg(
        long,
        env = "ROSEY_NAMESPACES_URL",
        value_name = "URL",
        hide_env_values = true,
        conflicts_with = "namespaces_dir",
        value_parser = server_url
    )]
    namespaces_url: Option<String>,
    /// Create NAME.db in that directory, or a schema in that database, when a client asks for the namespace NAME the first
    /// time. A client that may publish to `*.rosey.db.ping` creates namespaces then
    #[arg(long, env = "ROSEY_NAMESPACES_CREATE", value_parser = crate::cli::args::yes_or_no, action = ArgAction::SetTrue)]
    namespaces_create: bool,
    /// Close a namespace that no client, no request and no message of its stream has needed for this long, in milliseconds
    #[arg(long, env = "ROSEY_NAMESPACES_IDLE_MS", default_value = "600000", value_name = "MS", value_parser = millis)]
    namespaces_idle_ms: Duration,
    /// How many may be open at the same time; each needs up to 6 threads and 16 file descriptors,
    /// and on PostgreSQL 3 connections. One more is refused
    #[arg(long, env = "ROSEY_NAMESPACES_OPEN", default_value = "256", value_name = "N", value_parser = count)]
    namespaces_open: usize,
    /// How many connections to PostgreSQL all of them may have. Each that is open needs three, for writing,
    /// reading and folding, and one is for all: fewer may be open where that does not suffice
    #[arg(long, env = "ROSEY_NAMESPACES_CONNECTIONS", default_value = "90", value_name = "N", value_parser = count)]
    namespaces_connections: usize,
    /// How many there may be, open or not. One more is not served
    #[arg(long, env = "ROSEY_NAMESPACES_MOST", default_value = "1000", value_name = "N", value_parser = count)]
    namespaces_most: usize,
    /// How many requests and messages of all of them are worked on at once, beside --in-flight for each. Half of it is divided
    /// among those that may be open, so that none is without
    #[arg(long, env = "ROSEY_NAMESPACES_IN_FLIGHT", default_value = "4096", value_name = "N", value_parser = count)]
    namespaces_in_flight: usize,
    /// How much memory the requests of all of them may need together. Half of it is divided among those that may be open, so
    /// that none is without
    #[arg(long, env = "ROSEY_NAMESPACES_MIB", default_value = "256", value_name = "MIB", value_parser = count)]
    namespaces_mib: usize,
}

/// What is to be served.
pub(super) enum Wanted {
    /// The database that is named, or the usual one.
    One(Namespace),
    /// Each namespace on a database of its own.
    Several(Databases),
}

impl Wanted {
    /// As the options say.
    pub(super) fn by(args: &ServeArgs) -> Result<Self, Failure> {
        let usage = |why: String| Failure::new(Exit::Usage, format!("--namespace: {why}"));
        let (mut plain, mut places) = (Vec::new(), Vec::<(Namespace, DatabaseOptions)>::new());
        for (name, database) in args.namespace.iter().flat_map(|text| each(text)).map(named) {
            let namespace = Namespace::new(name).map_err(|e| usage(e.to_string()))?;
            let Some(database) = database else {
                plain.push(namespace);
                continue;
            };
            let place = databases::place(args, database, &namespace)?;
            if places.iter().any(|(known, other)| *known == namespace || other.is_file_of(&place)) {
                return Err(usage(format!("{name}={}: name and database stand there twice", place.shown())));
            }
            places.push((namespace, place));
        }
        let has_database = args.database.database_url.is_some();
        let alone = |option: &str, what: &str| {
            if !has_database && plain.is_empty() && places.is_empty() {
                return Ok(());
            }
            let why = format!(
                "names and databases are those of the {what}; leave --namespace and --database-url out"
            );
            Err(Failure::new(Exit::Usage, format!("--{option}: {why}")))
        };
        let create = args.namespaces.namespaces_create;
        if let Some(dir) = &args.namespaces.namespaces_dir {
            alone("namespaces-dir", "directory")?;
            return Ok(Self::Several(Databases::of_folder(args, dir, create)?));
        }
        if let Some(url) = &args.namespaces.namespaces_url {
            alone("namespaces-url", "database")?;
            return Ok(Self::Several(Databases::of_server(args, url, create)?));
        }
        match (plain.pop(), places.is_empty()) {
            (None, true) => Ok(Self::One(Namespace::none())),
            (Some(one), true) if plain.is_empty() => Ok(Self::One(one)),
            (None, false) if !has_database => Ok(Self::Several(Databases::Named(places))),
            (None, false) => {
                Err(usage("each has its database, and --database-url names another one".to_owned()))
            }
            (Some(one), _) => {
                Err(usage(format!("several need a database each, as in {one}=sqlite://{one}.db")))
            }
        }
    }
}

/// What a process needs beside its namespaces, and each of them, in file descriptors.
const DESCRIPTORS: (u64, u64) = (64, 16);
/// The largest number of connections to PostgreSQL that each of them needs.
const CONNECTIONS: usize = 2 + databases::READERS_OF_SERVER as usize;

impl NamespacesArgs {
    /// The bounds, with this service for each. As many may be open as the process may open files, and connections.
    pub(super) fn options(&self, service: ServiceOptions, databases: &Databases) -> Namespaces {
        let mut most_open = self.namespaces_open;
        if databases.has_server() {
            most_open = most_open.min((self.namespaces_connections.saturating_sub(1) / CONNECTIONS).max(1));
        }
        let options = Namespaces::new(service)
            .idle(self.namespaces_idle_ms)
            .most(self.namespaces_most)
            .most_open(most_open)
            .in_flight(self.namespaces_in_flight)
            .bytes(self.namespaces_mib.saturating_mul(1 << 20));
        let needed = DESCRIPTORS.0 + DESCRIPTORS.1 * most_open.min(self.namespaces_most) as u64;
        if let Some(allowed) = descriptors(needed).filter(|allowed| *allowed < needed) {
            let most = usize::try_from(allowed.saturating_sub(DESCRIPTORS.0) / DESCRIPTORS.1)
                .unwrap_or(usize::MAX)
                .max(1);
            tracing::warn!(
                "this process may have {allowed} files open, which is enough for {most} open namespaces: allow {needed} \
                 (ulimit -n, LimitNOFILE), or lower --namespaces-open"
            );
            return options.most_open(most);
        }
        options
    }
}

/// Allows this process this many open files, as far as it may; how many that are, if there is a limit.
fn descriptors(needed: u64) -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let current = current?;
    let wanted = needed.min(maximum.unwrap_or(u64::MAX));
    if wanted > current && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok() {
        return Some(wanted);
    }
    Some(current)
}
