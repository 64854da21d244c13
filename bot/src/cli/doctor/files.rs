//! Files: who may read them, whether there is room, how many may be open; and the outbox.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

use super::super::args::{DoctorArgs, NatsArgs};
use super::super::database_options::DatabaseOptions;
use super::super::number::wait;
use super::finding::Findings;
use eitherway::outbox::{self, Listing, OutboxError};

/// Less is little: a log of 32 MiB, an outbox, a backup.
const ROOM: u64 = 256 << 20;
/// A service and its connections need some dozens; namespaces 16 each.
const FILES: u64 = 1024;

pub(super) async fn look(args: &DoctorArgs, findings: &mut Findings) {
    let mode = args.store.database.file_mode;
    if let Ok(DatabaseOptions::Sqlite(options)) = args.store.database.named_or_usual() {
        private(options.path(), mode, "database mode", findings);
        room(options.path(), "database disk", findings);
    }
    if let Some(options) = args.outbox.options(mode) {
        private(options.path(), mode, "outbox mode", findings);
        room(options.path(), "outbox disk", findings);
        held(options.path(), findings).await;
    }
    keys(&args.nats).for_each(|file| secret(file, findings));
    let most = getrlimit(Resource::Nofile).current;
    match most {
        Some(most) if most < FILES => findings.warn(
            "open files",
            format!("{most} at most"),
            "raise it to 1024 or more: ulimit -n, LimitNOFILE= of systemd",
        ),
        most => findings
            .ok("open files", most.map_or_else(|| "no limit".to_owned(), |most| format!("{most} at most"))),
    }
}

/// Whether others may read a file that holds what was said in private.
fn private(path: &Path, mode: u32, name: &'static str, findings: &mut Findings) {
    let Ok(file) = fs::metadata(path) else { return };
    let found = file.permissions().mode() & 0o777;
    let shown = path.display();
    if found & !mode & 0o077 == 0 {
        return findings.ok(name, format!("{shown}: {found:04o}"));
    }
    findings.warn(
        name,
        format!("{shown}: {found:04o}, and private messages are in it"),
        format!("chmod {mode:04o} {shown}, or say --file-mode {found:04o} if that is meant"),
    );
}

/// Whether others may read what proves who this is.
fn secret(path: &Path, findings: &mut Findings) {
    const NAME: &str = "key mode";
    let (Some(mode), shown) = (mode(path), path.display()) else { return };
    match exposed(path) {
        None => findings.ok(NAME, format!("{shown}: {mode:04o}")),
        Some((what, advice)) => findings.warn(NAME, what, advice),
    }
}

/// What proves who this is and can be read by others, and what to do about it.
fn exposed(path: &Path) -> Option<(String, String)> {
    let (mode, shown) = (mode(path)?, path.display());
    let what = format!("{shown}: {mode:04o}, and a user who can read it can pass for this one");
    (mode & 0o077 != 0).then(|| (what, format!("chmod 0600 {shown}")))
}

fn mode(path: &Path) -> Option<u32> {
    fs::metadata(path).ok().map(|file| file.permissions().mode() & 0o777)
}

/// Warns of the keys for NATS that others can read.
pub(in crate::cli) fn warn_of_keys(nats: &NatsArgs) {
    for (what, advice) in keys(nats).filter_map(|file| exposed(file)) {
        tracing::warn!("{what}: {advice}");
    }
}

fn keys(nats: &NatsArgs) -> impl Iterator<Item = &PathBuf> {
    [&nats.nats_nkey, &nats.nats_credentials, &nats.nats_key].into_iter().flatten()
}

/// Whether there is room beside a file, and whether its folder can be written.
fn room(path: &Path, name: &'static str, findings: &mut Findings) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let shown = folder.display();
    let disk = match rustix::fs::statvfs(folder) {
        Ok(disk) => disk,
        Err(e) => {
            return findings.fail(name, format!("{shown}: {e}"), "create it, for the user that runs this");
        }
    };
    if rustix::fs::access(folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_err() {
        return findings.fail(
            name,
            format!("{shown} cannot be written by this user"),
            "run this as the user of the service, or give the folder to it",
        );
    }
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let said = format!("{shown}: {} MiB free", free >> 20);
    if free < ROOM {
        findings.warn(name, said, "make room: a full disk stops every write until there is some");
    } else {
        findings.ok(name, said);
    }
}

async fn held(path: &Path, findings: &mut Findings) {
    const NAME: &str = "outbox";
    match outbox::list(path).await {
        Err(OutboxError::Missing { .. }) => {
            findings.ok(NAME, format!("{} is not there: a bot creates it", path.display()))
        }
        Err(error) => {
            findings.fail(NAME, error.to_string(), "name the right file with --outbox, or move this one away")
        }
        Ok(Listing { waiting: 0, refused: 0, expired: 0, .. }) => findings.ok(NAME, "nothing waits"),
        Ok(Listing { waiting, refused, expired, .. }) => findings.warn(
            NAME,
            format!("{}; {refused} refused, {expired} expired", wait(waiting, "event")),
            "`rosey outbox` lists them; a bot replays what waits when a path returns",
        ),
    }
}
