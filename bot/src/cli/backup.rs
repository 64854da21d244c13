//! `rosey backup`.

use std::path::Path;

use super::args::{BackupArgs, Global};
use super::console;
use super::database_options::DatabaseOptions;
use super::exit::{Exit, Failure};
use super::number::counted;
use super::shown::{clean, time};
use crate::op::Op;
use eitherway::clock;
use eitherway::sql::backup::{self, Copied, Step};
use eitherway::sql::{Contents, SqliteOptions};

pub(super) async fn run(global: &Global, args: BackupArgs) -> Result<Exit, Failure> {
    let options = file(args.store.database.named_or_usual()?, &args.file)?;
    let (bar, shown) = bar(&options);
    let copied = backup::backup::<Op>(&options, &args.file, shown).await;
    bar.finish_and_clear();
    console::show(global, &copied?, |copied| format!("{} is a backup: {}", shown_file(copied), what(copied)));
    Ok(Exit::Ok)
}

/// The options of a file; a server has tools of its own.
pub(super) fn file(database: DatabaseOptions, backup: &Path) -> Result<SqliteOptions, Failure> {
    match database {
        DatabaseOptions::Sqlite(options) => Ok(options),
        DatabaseOptions::Postgres(options) => Err(Failure::new(
            Exit::Usage,
            format!(
                "{} is a server, which has its own tools: pg_dump --format=custom --file={} and pg_restore; docs/postgres.md",
                options.shown(),
                backup.display()
            ),
        )),
    }
}

/// A bar over the bytes of the file, and how it is told of a step.
pub(super) fn bar(options: &SqliteOptions) -> (indicatif::ProgressBar, impl FnMut(Step) + Send + use<>) {
    let bytes = std::fs::metadata(options.path()).map_or(0, |file| file.len());
    let bar = console::bar(Some(bytes / 1024), "KiB");
    let shown = bar.clone();
    let tell = move |step| match step {
        Step::Copied(bytes) => shown.set_position(bytes / 1024),
        Step::Checks(check) => shown.set_message(check),
        _ => {}
    };
    (bar, tell)
}

pub(super) fn shown_file(copied: &Copied) -> String {
    clean(&copied.file.display().to_string())
}

/// What is in a copy.
pub(super) fn what(copied: &Copied) -> String {
    let Copied { contents: Contents { database, bytes, operations, newest, .. }, compared, older, .. } =
        copied;
    let newest =
        newest.map_or_else(String::new, |at| format!(", the last applied at {}", time(clock::seconds(at))));
    let checked = match older {
        false => format!("{} compared, all right", counted(*compared, "value")),
        true => "of an older schema: the file is whole, and what is in it is compared when it is restored"
            .to_owned(),
    };
    format!(
        "database {database}, {bytes} bytes, the ids of {}{newest}; {checked}",
        counted(*operations, "operation")
    )
}
