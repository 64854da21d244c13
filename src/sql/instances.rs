//! The services that have this file open, as they say themselves: a service on a copy of the file is not among them,
//! whatever id the copy bears.

use super::SqlxService;
use super::record::{self, Record};
use crate::clock;
use crate::error::{Cause, Code};
use crate::known_time::Reading;
use crate::operation::Persist;

/// Rows stay when an instance ends: an instance that received its last message still finds it here. So many are more
/// than ever run at the same time.
const ENROL: &str = "
    INSERT INTO meta (key, value) VALUES ('secret', lower(hex(randomblob(16)))) ON CONFLICT (key) DO NOTHING;
    INSERT INTO meta (key, value) VALUES ('instance.' || ($1 ->> 'id'), $1)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value;
    DELETE FROM meta WHERE key > 'instance.' AND key < 'instance/' AND key NOT IN (
        SELECT key FROM meta WHERE key > 'instance.' AND key < 'instance/' ORDER BY value ->> 'seen' DESC LIMIT 1000);";
const STARTED: &str = "
    SELECT substr(key, 10) FROM meta WHERE key > 'instance.' AND key < 'instance/' AND value ->> 'started' >= $1";
const SEEN: &str = "SELECT value ->> 'seen' FROM meta WHERE key = 'instance.' || $1";

impl<O: Persist> SqlxService<O> {
    /// Writes down that this instance has the file open; answers the time that stands there now.
    pub(crate) async fn enrol(&self, id: &str, started: i64) -> Result<i64, Cause> {
        let seen = clock::now();
        let value = serde_json::json!({"id": id, "started": started, "seen": seen}).to_string();
        let writes = self.shared.writes.downgrade();
        record::hand_over(Record { statements: ENROL, value }, &writes).await.map(|()| seen)
    }

    /// The open file as the system of this machine knows it: two processes on one machine that say the same have the same file
    /// open, whatever they call it. None where the system does not tell.
    pub(crate) fn file_id(&self) -> Option<String> {
        let (machine, node) = (Reading::machine(), self.shared.place.open().node());
        if self.trouble().is_some() {
            // No file is the right one now.
            return Some(format!("{machine}/-"));
        }
        node.map(|(device, inode)| format!("{machine}/{device:x}/{inode:x}"))
    }

    /// When an instance was last written down here, in unix milliseconds; nothing if it never was.
    pub(crate) async fn seen(&self, id: &str) -> Result<Option<i64>, Cause> {
        let seen: Option<Option<i64>> = sqlx::query_scalar(SEEN)
            .bind(id)
            .fetch_optional(&self.shared.readers)
            .await
            .map_err(|e| Cause::new(Code::DATABASE, e.to_string()))?;
        Ok(seen.flatten())
    }

    /// The instances that have started since this time, in unix milliseconds, and opened this file.
    pub(crate) async fn started_since(&self, time: i64) -> Result<Vec<String>, Cause> {
        sqlx::query_scalar(STARTED)
            .bind(time)
            .fetch_all(&self.shared.readers)
            .await
            .map_err(|e| Cause::new(Code::DATABASE, e.to_string()))
    }

    /// What only this file and its copies hold: what an instance proves with that it has one of them open.
    pub(crate) async fn secret(&self) -> Result<Option<String>, Cause> {
        sqlx::query_scalar("SELECT value FROM meta WHERE key = 'secret'")
            .fetch_optional(&self.shared.readers)
            .await
            .map_err(|e| Cause::new(Code::DATABASE, e.to_string()))
    }

    /// A server has told its time, in unix milliseconds. `other`: it is on another machine, and has a clock of its own.
    pub(crate) fn witness(&self, at: i64, other: bool) {
        self.shared.keeper.witness(at, other);
    }

    /// What an operator has to know of the clock.
    pub(crate) fn doubt(&self) -> Option<String> {
        self.shared.keeper.doubt().map(super::keeper::sentence)
    }
}
