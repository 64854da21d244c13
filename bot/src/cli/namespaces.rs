//! `rosey serve` for several namespaces: where their databases are, and how much they may need.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::addresses::named;
use super::args::{DatabaseArgs, ServeArgs, count, millis};
use super::exit::{Exit, Failure};
use super::place::Place;
use eitherway::Namespace;
use eitherway::service::{Namespaces, ServiceOptions};
use eitherway::sql::{SqliteFiles, SqliteOptions};

/// The options for several of them.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Namespaces")]
pub(super) struct NamespacesArgs {
    /// Serve every NAME.db in this directory as the namespace NAME, those that come later too. NAME is of a-z, 0-9, _ and
    /// single hyphens, in parts separated by dots, 64 bytes at most; links and other files are passed over
    #[arg(long, env = "ROSEY_NAMESPACES_DIR", value_name = "DIR")]
    namespaces_dir: Option<PathBuf>,
    /// Create NAME.db in that directory when a client asks for the namespace NAME the first time. Whoever may publish to
    /// `*.rosey.db.ping` creates namespaces then
    #[arg(long, env = "ROSEY_NAMESPACES_CREATE", value_parser = crate::cli::args::yes_or_no, action = ArgAction::SetTrue)]
    namespaces_create: bool,
    /// Close a namespace that no client, no request and no message of its stream has needed for this long, in milliseconds
    #[arg(long, env = "ROSEY_NAMESPACES_IDLE_MS", default_value = "600000", value_name = "MS", value_parser = millis)]
    namespaces_idle_ms: Duration,
    /// How many may be open at the same time; each needs up to 6 threads and 16 file descriptors. One more is refused
    #[arg(long, env = "ROSEY_NAMESPACES_OPEN", default_value = "256", value_name = "N", value_parser = count)]
    namespaces_open: usize,
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
    Several(SqliteFiles),
}

/// Connections that only read, of each of several namespaces: each is a thread and two files.
const READERS: u32 = 2;

impl Wanted {
    /// As the options say.
    pub(super) fn by(args: &ServeArgs) -> Result<Self, Failure> {
        let usage = |why: String| Failure::new(Exit::Usage, format!("--namespace: {why}"));
        let (mut plain, mut files) = (Vec::new(), Vec::<(Namespace, SqliteOptions)>::new());
        for (name, database) in args.namespace.iter().flat_map(|text| text.split(',')).map(named) {
            let namespace = Namespace::new(name).map_err(|e| usage(e.to_string()))?;
            let Some(database) = database else {
                plain.push(namespace);
                continue;
            };
            let options = options(args, database)?;
            if files.iter().any(|(known, other)| *known == namespace || other.path() == options.path()) {
                return Err(usage(format!("{name}={database}: name and database stand there twice")));
            }
            files.push((namespace, options));
        }
        let has_database = args.database.database_url.is_some();
        if let Some(dir) = &args.namespaces.namespaces_dir {
            let usage = |why: &str| Failure::new(Exit::Usage, format!("--namespaces-dir: {why}"));
            if has_database || !plain.is_empty() || !files.is_empty() {
                return Err(usage(
                    "names and databases are those of the directory; leave --namespace and --database-url out",
                ));
            }
            // Whose path does not count.
            let like = options(args, &dir.join("NAME.db").display().to_string())?;
            let files = SqliteFiles::folder(dir, like, args.namespaces.namespaces_create);
            return Ok(Self::Several(files.map_err(|e| usage(&format!("{}: {e}", dir.display())))?));
        }
        match (plain.pop(), files.is_empty()) {
            (None, true) => Ok(Self::One(Namespace::none())),
            (Some(one), true) if plain.is_empty() => Ok(Self::One(one)),
            (None, false) if !has_database => Ok(Self::Several(SqliteFiles::named(files))),
            (None, false) => {
                Err(usage("each has its database, and --database-url names another one".to_owned()))
            }
            (Some(one), _) => {
                Err(usage(format!("several need a database each, as in {one}=sqlite://{one}.db")))
            }
        }
    }
}

/// How the database of one of several is opened.
fn options(args: &ServeArgs, database: &str) -> Result<SqliteOptions, Failure> {
    let database = DatabaseArgs { database_url: Some(database.to_owned()), ..args.database.clone() };
    match database.with_retention(&args.keep).named_or_usual()? {
        Place::Sqlite(options) => Ok(options.readers(READERS)),
        Place::Postgres(_) => Err(Failure::new(
            Exit::Usage,
            "namespaces that share a process have SQLite files. On PostgreSQL, start a service for each: --namespace NAME with \
             --database-url 'postgres://…?schema=NAME'"
                .to_owned(),
        )),
    }
}

/// What a process needs beside its namespaces, and each of them, in file descriptors.
const DESCRIPTORS: (u64, u64) = (64, 16);

impl NamespacesArgs {
    /// The bounds, with this service for each. As many may be open as the process may open files.
    pub(super) fn options(&self, service: ServiceOptions) -> Namespaces {
        let options = Namespaces::new(service)
            .idle(self.namespaces_idle_ms)
            .most(self.namespaces_most)
            .most_open(self.namespaces_open)
            .in_flight(self.namespaces_in_flight)
            .bytes(self.namespaces_mib.saturating_mul(1 << 20));
        let needed = DESCRIPTORS.0 + DESCRIPTORS.1 * self.namespaces_open.min(self.namespaces_most) as u64;
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

/// Allows this process so many open files, as far as it may; how many that are, if there is a limit.
fn descriptors(needed: u64) -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let current = current?;
    let wanted = needed.min(maximum.unwrap_or(u64::MAX));
    if wanted > current && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok() {
        return Some(wanted);
    }
    Some(current)
}
