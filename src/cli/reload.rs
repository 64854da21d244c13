//! SIGHUP: the configuration is read again, and the log file opened again. What cannot change while the process runs is
//! named, and stays as it is until a restart.

use std::sync::{Mutex, PoisonError};

use tracing::Level;

use super::exit::Failure;
use super::settings::Setting;
use super::{Resolved, logfile};

/// The options that take effect at once.
const AT_RUN_TIME: [&str; 2] = ["log", "log-file"];

/// What is in force.
static IN_FORCE: Mutex<Vec<Setting>> = Mutex::new(Vec::new());

/// Remembers with what the process has started.
pub(super) fn remember(settings: Vec<Setting>) {
    *IN_FORCE.lock().unwrap_or_else(PoisonError::into_inner) = settings;
}

/// Reads and opens everything again. If something is wrong with it, all stays as it was.
pub(super) fn now() {
    if let Err(failure) = again() {
        // After a rename the line belongs into the new file, whatever is wrong with the configuration.
        if let Err(failure) = logfile::reopen() {
            tracing::error!("SIGHUP: {}; logging to the previous file", failure.message());
        }
        tracing::error!("SIGHUP: {}; the previous configuration stays in force", failure.message());
    }
}

fn again() -> Result<(), Failure> {
    let resolved = Resolved::new(std::env::args_os()).map_err(super::Unresolved::into_failure)?;
    let global = &resolved.cli.global;
    let filter = logfile::filter(global.log.as_deref().unwrap_or(resolved.cli.command.log()))?;
    let file = match &global.log_file {
        Some(path) => Some((path.clone(), logfile::open(path)?)),
        None => None,
    };
    let reopened = file.as_ref().map(|(path, _)| format!("logging to {}", path.display()));

    let mut in_force = IN_FORCE.lock().unwrap_or_else(PoisonError::into_inner);
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
    drop(in_force);

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
    logfile::exchange(filter);
    if !before {
        tracing::info!("{line}");
    }
    Ok(())
}
