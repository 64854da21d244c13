//! The services that have this database open, as they say themselves: a service on a copy of it is not among them, whatever
//! id the copy bears.

use std::time::Duration;

use tokio::time;

use super::SqlService;
use crate::clock;
use crate::error::{Cause, Code};
use crate::operation::Persist;
use crate::store::queue::{Item, hand_over};
use crate::store::reader::Bind;
use crate::store::record::Record;
use crate::store::{Enrolled, Instances};

/// How long the database may take to tell its secret.
const LIMIT: Duration = Duration::from_secs(1);

impl<O: Persist> Instances for SqlService<O> {
    fn file_id(&self) -> Option<String> {
        self.shared.reader.file_id()
    }

    async fn enrol(&self, id: &str, started: i64) -> Result<Enrolled, Cause> {
        let seen = clock::now();
        let value = serde_json::json!({"id": id, "started": started, "seen": seen}).to_string();
        let writes = self.shared.writes.downgrade();
        let texts = self.shared.reader.texts();
        let record = Record { statements: texts.enrol, value };
        hand_over(&writes, |told| Item::Record(record, told)).await?;
        let secret = self.shared.reader.look_up(texts.secret.to_owned(), Vec::new());
        // It can be asked for again.
        let secret = time::timeout(LIMIT, secret).await.ok().and_then(Result::ok).unwrap_or_default();
        Ok(Enrolled { seen, secret: secret.into_iter().next() })
    }

    async fn seen(&self, id: &str) -> Result<Option<i64>, Cause> {
        let (reader, id) = (&self.shared.reader, Bind::Text(id.to_owned()));
        let seen = reader.look_up(reader.texts().seen.to_owned(), vec![id]).await.map_err(unread)?;
        Ok(seen.first().and_then(|text| text.parse().ok()))
    }

    async fn started_since(&self, time: i64) -> Result<Vec<String>, Cause> {
        let reader = &self.shared.reader;
        let started = reader.look_up(reader.texts().started.to_owned(), vec![Bind::Number(time)]);
        started.await.map_err(unread)
    }

    async fn seen_since(&self, time: i64) -> Result<Vec<String>, Cause> {
        let reader = &self.shared.reader;
        let there = reader.look_up(reader.texts().there.to_owned(), vec![Bind::Number(time)]);
        there.await.map_err(unread)
    }
}

fn unread(error: sqlx::Error) -> Cause {
    Cause::new(Code::DATABASE, error.to_string())
}
