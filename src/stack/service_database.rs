//! What the service on NATS says of the file that it has open, for the direct path to compare.

use std::sync::OnceLock;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time;

use crate::health::{Database, Health};
use crate::store::Instances;

/// How long the database may take to say whether it knows the service's instance.
const LIMIT: Duration = Duration::from_secs(1);

/// Whether the service has another file open than this store; nothing, if that cannot be told now. On one machine the two
/// are compared as the system knows them. Else by what is written in them: every instance writes itself down in its file.
pub(super) async fn is_of_a_copy(said: &Database, own: &impl Instances) -> Option<bool> {
    let files = said.file.as_deref().zip(own.file_id());
    if let Some(same) = files.and_then(|(file, own)| same(file, &own)) {
        return Some(!same);
    }
    // An older program says nothing of it.
    let Some((id, seen)) = &said.instance else { return Some(false) };
    let known = time::timeout(LIMIT, own.seen(id)).await.ok()?.ok()?;
    Some(known.is_none_or(|known| known < *seen))
}

/// Whether two names of open files mean the same one; nothing, if that cannot be told from the names: they are of two machines,
/// or one file system may be mounted twice, which gives the same file two devices.
fn same(one: &str, other: &str) -> Option<bool> {
    let parts = |name: &str| name.split('/').map(str::to_owned).collect::<Vec<_>>();
    match (parts(one).as_slice(), parts(other).as_slice()) {
        ([machine, ..], [another, ..]) if machine.is_empty() || machine != another => None,
        ([_, device, inode], [_, another, same]) if device != another && inode == same => None,
        _ => Some(one == other),
    }
}

/// The words of the service, as long as it is watched.
#[derive(Debug, Default)]
pub(super) struct ServiceDatabase {
    bus: OnceLock<watch::Receiver<Health>>,
    last: Mutex<Option<Database>>,
}

impl ServiceDatabase {
    pub(super) fn watch(&self, bus: watch::Receiver<Health>) {
        // The first one stays, as the database does.
        let _ = self.bus.set(bus);
    }

    /// The last word. Where only the stream is left of a service, what that has said of its file still holds.
    pub(super) fn last(&self) -> Option<Database> {
        let now = self.bus.get().and_then(|bus| bus.borrow().database.clone());
        let mut last = self.last.lock();
        if let Some(now) = now {
            let silent = now.instance.is_none() && last.as_ref().is_some_and(|last| last.id == now.id);
            if !silent {
                *last = Some(now);
            }
        }
        last.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_has_said_of_its_file_holds_while_only_its_stream_is_left() {
        let database = |id: &str| Some(Database { id: id.to_owned(), ..Database::default() });
        let (tell, heard) = watch::channel(Health::unknown().with_database(Some(Database {
            id: "db".to_owned(),
            instance: Some(("one".to_owned(), 1)),
            file: Some("boot/1/2".to_owned()),
        })));
        let words = ServiceDatabase::default();
        words.watch(heard);
        let said = words.last();
        assert!(said.as_ref().is_some_and(|word| word.file.is_some()));
        tell.send_modify(|health| health.database = database("db"));
        assert_eq!(words.last(), said);
        tell.send_modify(|health| health.database = None);
        assert_eq!(words.last(), said);
        tell.send_modify(|health| health.database = database("another"));
        assert_ne!(words.last(), said);
    }

    #[test]
    fn files_are_compared_on_one_machine_only() {
        assert_eq!(same("boot/1/2", "boot/1/2"), Some(true));
        assert_eq!(same("boot/1/2", "boot/1/3"), Some(false));
        assert_eq!(same("boot/1/2", "reboot/1/2"), None);
        assert_eq!(same("/1/2", "/1/2"), None);
        assert_eq!(same("boot/-", "boot/1/2"), Some(false));
    }

    #[test]
    fn one_file_over_two_mounts_of_one_machine_is_not_told_by_its_device() {
        assert_eq!(same("boot/1/2", "boot/9/2"), None);
        assert_eq!(same("boot/1/2", "boot/9/3"), Some(false));
    }
}
