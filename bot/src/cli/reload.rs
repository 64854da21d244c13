//! SIGHUP: the configuration is read again, and the log file opened again. What cannot change while the process runs is
//! named, and stays as it is until a restart.

use std::path::PathBuf;

use parking_lot::Mutex;
use tracing::Level;

use super::args::filter;
use super::command_line::CommandLine;
use super::config::Source;
use super::exit::{Exit, Failure};
use super::resolved::{Resolved, Unresolved};
use super::settings::Setting;
use super::{log, logfile};

/// The options that take effect at once.
const AT_RUN_TIME: [&str; 2] = ["log", "log-file"];

/// What is in force, and the file that it was read from.
static IN_FORCE: Mutex<(Vec<Setting>, Option<PathBuf>)> = Mutex::new((Vec::new(), None));

/// Remembers with what the process has started.
pub(super) fn remember(source: &Source, settings: Vec<Setting>) {
    *IN_FORCE.lock() = (settings, source.file.clone());
}

/// The configuration file, and all options.
pub(super) fn in_force() -> (Option<PathBuf>, Vec<Setting>) {
    let (settings, file) = &*IN_FORCE.lock();
    (file.clone(), settings.clone())
}

/// Reads and opens everything again. If something is wrong with it, all stays as it was.
pub(super) fn now() {
    if let Err(failure) = again() {
        // After a rename the line belongs into the new file, whatever is wrong with the configuration.
        if let Err(failure) = logfile::reopen() {
            tracing::error!("SIGHUP: {}; logging to the previous file", line(&failure));
        }
        tracing::error!("SIGHUP: {}; the previous configuration stays in force", line(&failure));
    }
}

/// A failure of several lines as one line of the log.
fn line(failure: &Failure) -> String {
    failure.message().split('\n').map(str::trim).collect::<Vec<_>>().join("; ").replacen(":; ", ": ", 1)
}

fn again() -> Result<(), Failure> {
    let resolved = Resolved::new(&CommandLine::of_process()).map_err(Unresolved::into_failure)?;
    let global = &resolved.cli.global;
    let filter = filter(global.log.as_deref().unwrap_or(resolved.cli.command.log()));
    let filter = filter.map_err(|why| Failure::new(Exit::Usage, why))?;
    let file = global.log_file.as_deref().map(logfile::open).transpose()?;
    let reopened = global.log_file.as_ref().map(|path| format!("logging to {}", path.display()));

    let mut held = IN_FORCE.lock();
    let (in_force, read_before) = &mut *held;
    if let (Some(before), None) = (&read_before, &resolved.source.file) {
        let why = format!("the configuration file {} is not there any more", before.display());
        return Err(Failure::new(Exit::Usage, why));
    }
    read_before.clone_from(&resolved.source.file);
    let (mut applied, mut later) = (Vec::new(), Vec::new());
    for new in resolved.settings {
        let Some(old) = in_force.iter_mut().find(|old| old.name == new.name) else { continue };
        if old.value == new.value {
            continue;
        }
        if AT_RUN_TIME.contains(&new.name.as_str()) {
            applied.push(new.name.clone());
            *old = new;
        } else {
            later.push(new.name);
        }
    }
    drop(held);

    let read = match &resolved.source.file {
        Some(file) => format!("SIGHUP: {} reloaded", file.display()),
        None => "SIGHUP: no configuration file".to_owned(),
    };
    let named =
        |what: &str, names: Vec<String>| (!names.is_empty()).then(|| format!("{what}: {}", names.join(", ")));
    let changes = [named("applied", applied), named("requires a restart", later)];
    let unchanged = changes.iter().all(Option::is_none).then(|| "no changes".to_owned());
    let line = [Some(read), unchanged].into_iter().chain(changes).chain([reopened]).flatten();
    let line = line.collect::<Vec<_>>().join("; ");

    logfile::switch(file);
    // In the log of whichever level lets it through.
    let before = tracing::enabled!(Level::INFO);
    if before {
        tracing::info!("{line}");
    }
    log::exchange(filter);
    if !before {
        tracing::info!("{line}");
    }
    Ok(())
}
