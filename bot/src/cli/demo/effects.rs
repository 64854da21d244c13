//! What operations leave in the database, one by one: what must be there, and what is.

use std::collections::BTreeMap;

use super::super::exit::Failure;
use super::expected::{Effect, Expected};
use super::rows::Rows;
use crate::op::{HighWater, MessageLog, OutboundEnqueue, OutboundMarkSent, UserCount, UserJoined, UserLeft};
use eitherway::operation::Definition;

/// What an operation must leave.
pub(super) struct ExpectedEffects<'a> {
    pub(super) operation: &'static str,
    pub(super) effects: &'a [Effect],
    /// Where they are; nowhere, if the operation has no rows of its own.
    pub(super) rows: Option<&'static str>,
    /// Whether it was done by this process before the first phase, and not by the bot.
    pub(super) before: bool,
}

/// What is not as it must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// Effects that were found.
    pub(super) found: i64,
    /// Must be there, and are not.
    pub(super) missing: i64,
    /// Are there, and must not be; or not so often.
    pub(super) surplus: i64,
}

/// Everything that the recording, and the messages that were left before it, must leave.
pub(super) fn all<'a>(expected: &'a Expected, left: &'a [Effect]) -> [ExpectedEffects<'a>; 7] {
    let must = |operation, effects, rows| ExpectedEffects { operation, effects, rows, before: false };
    [
        must(
            UserJoined::SPEC.name,
            &expected.joins,
            Some("SELECT coalesce(name, username), at, '' FROM presence WHERE joined = 1"),
        ),
        must(
            UserLeft::SPEC.name,
            &expected.leaves,
            Some("SELECT coalesce(name, username), at, '' FROM presence WHERE joined = 0"),
        ),
        must(
            MessageLog::SPEC.name,
            &expected.lines,
            Some(
                "SELECT username, at, message FROM recent_chat
                 UNION ALL SELECT username, at, '' FROM server_lines",
            ),
        ),
        must(
            UserCount::SPEC.name,
            &expected.counts,
            Some(
                "SELECT '', coalesce(l.occurred_at, h.timestamp * 1000), h.chat_users || ' ' || h.connected_users
                 FROM user_count_history h LEFT JOIN ledger l ON l.id = h.op_id",
            ),
        ),
        must(HighWater::SPEC.name, &expected.counts, None),
        ExpectedEffects {
            operation: OutboundEnqueue::SPEC.name,
            effects: left,
            rows: Some("SELECT coalesce(name, username, ''), CAST(0 AS bigint), message FROM outbound_messages"),
            before: true,
        },
        must(
            OutboundMarkSent::SPEC.name,
            left,
            Some(
                "SELECT coalesce(name, username, ''), CAST(0 AS bigint), message FROM outbound_messages WHERE delivered_at IS NOT NULL",
            ),
        ),
    ]
}

impl ExpectedEffects<'_> {
    /// Compares with what is there.
    pub(super) async fn compare(&self, tables: &Rows) -> Result<Option<Difference>, Failure> {
        let Some(sql) = self.rows else { return Ok(None) };
        let found = tables.all::<Effect>(sql).await?;
        let mut more = BTreeMap::<&Effect, i64>::new();
        self.effects.iter().for_each(|effect| *more.entry(effect).or_default() -= 1);
        found.iter().for_each(|effect| *more.entry(effect).or_default() += 1);
        Ok(Some(Difference {
            found: i64::try_from(found.len()).unwrap_or_default(),
            missing: more.values().filter(|n| **n < 0).map(|n| -n).sum(),
            surplus: more.values().filter(|n| **n > 0).sum(),
        }))
    }
}
