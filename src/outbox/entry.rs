//! An event on its way in, and on its way out.

use std::sync::Arc;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::options::OutboxOptions;
use crate::error::{Cause, Code};
use crate::operation::Operation;
use crate::request::{Head, OpId, Request, Trace};

/// What an event costs beside its texts: a row, its entry in the index of ids, and their share of pages.
const ROW: usize = 64;

/// An event to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NewEntry {
    pub(super) id: String,
    pub(super) operation: &'static str,
    pub(super) occurred_at: i64,
    pub(super) trace: Option<Arc<Trace>>,
    /// A JSON object.
    pub(super) payload: String,
}

impl NewEntry {
    /// The event as it is kept.
    ///
    /// # Errors
    /// When a check refuses it, as every path does.
    pub(super) fn new<O: Operation>(request: &Request<O>, options: &OutboxOptions) -> Result<Self, Cause> {
        request.head.check_deadline()?;
        request.head.check(options.future_tolerance, options.past_tolerance)?;
        let payload = std::str::from_utf8(request.op.payload()?)
            .map(str::to_owned)
            .map_err(|e| Cause::new(Code::INVALID, format!("the payload is not UTF-8: {e}")))?;
        Ok(Self {
            id: request.head.id.to_string(),
            operation: request.op.spec().name,
            occurred_at: request.head.occurred_at,
            trace: request.head.trace.clone(),
            payload,
        })
    }

    /// How many bytes are counted for it; as in `store::HELD`.
    pub(super) fn bytes(&self) -> u64 {
        let trace =
            self.trace.as_ref().map_or(0, |t| t.parent.len() + t.state.as_ref().map_or(0, String::len));
        (self.payload.len() + 2 * self.id.len() + self.operation.len() + trace + ROW) as u64
    }

    /// Whether it is the same operation with the same payload.
    pub(super) fn same(&self, other: &Self) -> bool {
        (self.operation, &self.payload) == (other.operation, &other.payload)
    }
}

/// An event that waits.
#[derive(Clone, Debug)]
pub(super) struct StoredEntry {
    pub(super) seq: i64,
    pub(super) id: String,
    pub(super) operation: String,
    pub(super) occurred_at: i64,
    parent: Option<String>,
    state: Option<String>,
    payload: String,
    pub(super) taken_at: i64,
}

impl StoredEntry {
    /// A row of the table.
    pub(super) fn read(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            seq: row.try_get(0)?,
            id: row.try_get(1)?,
            operation: row.try_get(2)?,
            occurred_at: row.try_get(3)?,
            parent: row.try_get(4)?,
            state: row.try_get(5)?,
            payload: row.try_get(6)?,
            taken_at: row.try_get(7)?,
        })
    }

    /// How many bytes it was counted for; as [`NewEntry::bytes`] counts.
    pub(super) fn bytes(&self) -> u64 {
        let trace = self.parent.as_ref().map_or(0, String::len) + self.state.as_ref().map_or(0, String::len);
        (self.payload.len() + 2 * self.id.len() + self.operation.len() + trace + ROW) as u64
    }

    /// The trace that it came with.
    pub(super) fn trace(&self) -> Option<Trace> {
        self.parent.as_deref().and_then(|parent| Trace::new(parent, self.state.as_deref()))
    }

    /// The request that it was: the same id, time, trace and payload.
    ///
    /// # Errors
    /// When this program does not know the operation, or refuses its payload.
    pub(super) fn request<O: Operation>(&self) -> Result<Request<O>, Cause> {
        let index = O::NAMES.iter().position(|name| *name == self.operation).ok_or_else(|| {
            Cause::new(Code::INVALID, format!("this program knows no operation {}", self.operation))
        })?;
        let trace = self.trace().map(Arc::new);
        let head = Head { id: OpId::parse(&self.id)?, trace, ..Head::at(self.occurred_at) };
        Ok(Request::with_head(head, O::decode(index, self.payload.as_bytes())?))
    }
}
