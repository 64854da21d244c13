//! The services that have this file open, as they say themselves: a service on a copy of the file is not among them,
//! whatever id the copy bears.

use std::time::Duration;

use tokio::time;

use super::SqlxService;
use super::record::{self, Record};
use crate::clock;
use crate::error::{Cause, Code};
use crate::known_time::Reading;
use crate::operation::Persist;
use crate::store::{Enrolled, Instances};

/// Rows stay when an instance ends: an instance that received its last message still finds it here. This many are more
/// than ever run at the same time.
const ENROL: &str = "
    INSERT INTO meta (key, value) VALUES ('secret', lower(hex(randomblob(16)))) ON CONFLICT (key) DO NOTHING;
    INSERT INTO meta (key, value) VALUES ('instance.' || ($1 ->> 'id'), $1)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value;
    DELETE FROM meta WHERE key > 'instance.' AND key < 'instance/' AND key NOT IN (
        SELECT key FROM meta WHERE key > 'instance.' AND key < 'instance/' ORDER BY value ->> 'seen' DESC LIMIT 1000);";
const STARTED: &str = "
    SELECT substr(key, 10) FROM meta WHERE key > 'instance.' AND key < 'instance/' AND value ->> 'started' >= $1";
const SECRET: &str = "SELECT value FROM meta WHERE key = 'secret'";
const SEEN: &str = "SELECT value ->> 'seen' FROM meta WHERE key = 'instance.' || $1";

/// How long the database may take to tell its secret.
const LIMIT: Duration = Duration::from_secs(1);

impl<O: Persist> Instances for SqlxService<O> {
    fn file_id(&self) -> Option<String> {
        let (machine, node) = (Reading::machine(), self.shared.place.open().node());
        if self.trouble().is_some() {
            // No file is the right one now.
            return Some(format!("{machine}/-"));
        }
        node.map(|(device, inode)| format!("{machine}/{device:x}/{inode:x}"))
    }

    async fn enrol(&self, id: &str, started: i64) -> Result<Enrolled, Cause> {
        let seen = clock::now();
        let value = serde_json::json!({"id": id, "started": started, "seen": seen}).to_string();
        let writes = self.shared.writes.downgrade();
        record::hand_over(Record { statements: ENROL, value }, &writes).await?;
        let secret = sqlx::query_scalar(SECRET).fetch_optional(&self.shared.readers);
        // It can be asked for again.
        let secret = time::timeout(LIMIT, secret).await.ok().and_then(Result::ok).flatten();
        Ok(Enrolled { seen, secret })
    }

    async fn seen(&self, id: &str) -> Result<Option<i64>, Cause> {
        let seen = sqlx::query_scalar::<_, Option<i64>>(SEEN).bind(id);
        seen.fetch_optional(&self.shared.readers).await.map(Option::flatten).map_err(unread)
    }

    async fn started_since(&self, time: i64) -> Result<Vec<String>, Cause> {
        sqlx::query_scalar(STARTED).bind(time).fetch_all(&self.shared.readers).await.map_err(unread)
    }
}

fn unread(error: sqlx::Error) -> Cause {
    Cause::new(Code::DATABASE, error.to_string())
}
