//! The file that the log goes to, which can be opened again after a rename.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use parking_lot::{Mutex, MutexGuard};

use super::exit::{Exit, Failure};

/// The file that the log goes to instead of stderr, if one is named.
static LOG: Mutex<Option<LogFile>> = Mutex::new(None);

/// A file that is open for the log.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    /// Whether the last line could not be written.
    fails: bool,
}

fn file() -> MutexGuard<'static, Option<LogFile>> {
    LOG.lock()
}

/// Opens the file for the log, for its owner alone to read.
pub(super) fn open(path: &Path) -> Result<LogFile, Failure> {
    let failed = |why: String| Failure::new(Exit::Usage, format!("the log file {}: {why}", path.display()));
    if let Ok(found) = std::fs::metadata(path) {
        // Opening a pipe waits until another program reads it, without limit.
        let kind = found.file_type();
        let what = match () {
            () if kind.is_dir() => "a folder",
            () if kind.is_fifo() => "a named pipe",
            () if kind.is_socket() => "a socket",
            () if kind.is_block_device() => "a disk",
            () => "",
        };
        if !what.is_empty() {
            return Err(failed(format!("that is {what}; name an ordinary file")));
        }
    }
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    let file = opened.map_err(|e| match path.parent() {
        Some(folder) if e.kind() == ErrorKind::NotFound => {
            failed(format!("there is no folder {}; create it first", folder.display()))
        }
        _ => failed(e.to_string()),
    })?;
    Ok(LogFile { path: path.to_owned(), file, fails: false })
}

/// Logs to this file from now on, or to stderr.
pub(super) fn switch(to: Option<LogFile>) {
    *file() = to;
}

/// Whether the log goes to a file.
pub(super) fn is_open() -> bool {
    file().is_some()
}

/// Opens the file of the log again, after it was renamed.
pub(super) fn reopen() -> Result<(), Failure> {
    let Some(path) = file().as_ref().map(|log| log.path.clone()) else { return Ok(()) };
    let opened = open(&path)?;
    switch(Some(opened));
    Ok(())
}

/// Writes a line to the file; returns whether it is there. A file that cannot be written, on a disk that is full say, ends
/// nothing: `warn` says it once, and what could not be written is for stderr.
pub(super) fn append(line: &str, warn: fn(&str)) -> bool {
    let mut held = file();
    let Some(log) = held.as_mut() else { return false };
    let written = log.file.write_all(format!("{line}\n").as_bytes());
    let (failed_before, path) = (log.fails, log.path.display().to_string());
    log.fails = written.is_err();
    drop(held);
    match written {
        Ok(()) => true,
        Err(e) => {
            if !failed_before {
                warn(&format!(
                    "the log file {path} cannot be written: {e}; the log goes to stderr until it can"
                ));
            }
            false
        }
    }
}
