//! The database: whether it is there, can be read, and is of this program's schema.

use super::super::args::DoctorArgs;
use super::super::database_options::DatabaseOptions;
use super::super::number::counted;
use super::super::shown::time;
use super::finding::Findings;
use super::lock;
use crate::op::Op;
use eitherway::clock;
use eitherway::sql::{Contents, OpenError, inspect};

const NAME: &str = "database";

/// What to do before a new program is started on a file of an older one.
const OLDER: &str = "`rosey backup` it first, to be able to go back to the older program";

pub(super) async fn look(args: &DoctorArgs, findings: &mut Findings) {
    let place = match args.store.database.named_or_usual() {
        Ok(place) => place,
        Err(failure) => return findings.fail(NAME, failure.message(), "correct --database-url"),
    };
    let shown = place.shown();
    match &place {
        DatabaseOptions::Sqlite(options) if place.is_empty_file() => {
            findings.ok(NAME, format!("{} is not there: a service creates it", options.path().display()));
        }
        DatabaseOptions::Sqlite(options) => match inspect::<Op>(options).await {
            Ok(contents) => {
                of_file(&shown, &contents, findings);
                lock::look(options.path(), findings).await;
            }
            Err(error @ OpenError::Older { .. }) => findings.warn(NAME, error.to_string(), OLDER),
            Err(error) => findings.fail(NAME, error.to_string(), advice(&error)),
        },
        DatabaseOptions::Postgres(_) => of_server(place.clone().existing(), &shown, findings).await,
    }
}

fn of_file(shown: &str, contents: &Contents, findings: &mut Findings) {
    let Contents { database, bytes, operations, newest, dead_letters, .. } = contents;
    let newest =
        newest.map_or_else(String::new, |at| format!(", the last applied at {}", time(clock::seconds(at))));
    let ids = counted(*operations, "operation");
    findings.ok(NAME, format!("{shown}: database {database}, {bytes} bytes, the ids of {ids}{newest}"));
    letters(*dead_letters, findings);
}

async fn of_server(place: DatabaseOptions, shown: &str, findings: &mut Findings) {
    let opened = match place.open().await {
        Ok(opened) => opened,
        Err(error) => return findings.fail(NAME, error.to_string(), advice(&error)),
    };
    let counted = opened.dead_letters().await;
    let database = opened.database().to_owned();
    opened.close().await;
    match counted {
        Ok(dead_letters) => {
            findings.ok(NAME, format!("{shown}: database {database}"));
            letters(dead_letters, findings);
        }
        Err(cause) => findings.fail(NAME, format!("{shown}: {cause}"), "see the log of the server"),
    }
}

fn letters(count: u64, findings: &mut Findings) {
    const NAME: &str = "dead letters";
    match count {
        0 => findings.ok(NAME, "none"),
        count => findings.warn(
            NAME,
            format!("{} could not be understood or applied", counted(count, "message")),
            "`rosey dead list` says why; `rosey dead retry` applies them, `rosey dead drop` removes them",
        ),
    }
}

/// What the error itself does not say.
fn advice(error: &OpenError) -> &'static str {
    match error {
        OpenError::Newer { .. } => "docs/deployment.md#upgrades says how to go back",
        OpenError::Address(..) => "correct --database-url",
        _ => {
            "`rosey verify` looks closer at a file that can be read; a backup is put in its place by `rosey restore`"
        }
    }
}
