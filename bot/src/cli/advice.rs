//! What the findings of `verify` mean: what another program did, whether anything is lost by it, and what to do.

use std::collections::{BTreeMap, BTreeSet};

use super::shown::clean;
use eitherway::sql::{Finding, Verdict};

/// How many rows are named in a sentence.
const NAMED: usize = 5;

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Nature {
    /// A page of the file, or an index, is not what SQLite left there.
    Damaged,
    /// A message that another program put into the queue.
    Queued,
    /// Another row that no operation has brought.
    Added,
    /// Totals that are gone, while what they are made of is here.
    TotalsGone,
    /// An operation is in the ledger, and its row is gone.
    EventGone,
    /// A value that is not the one that was derived.
    Changed,
}

/// What a database is worked on with, and the tables in which a user is.
pub(super) struct DatabaseTool {
    tool: &'static str,
    of_a_user: &'static str,
}

pub(super) const SQLITE: DatabaseTool = DatabaseTool {
    tool: "sqlite3",
    of_a_user: "user_baseline, presence, lines_waiting, speakers, recent_chat and server_lines",
};
pub(super) const POSTGRES: DatabaseTool = DatabaseTool {
    tool: "psql",
    of_a_user: "user_baseline, presence_waiting, presence_folded, lines_waiting, recent_chat and server_lines",
};

/// A sentence or two for each kind of finding that there is.
pub(super) fn on(verdict: &Verdict, database: &DatabaseTool) -> Vec<String> {
    let added: BTreeSet<_> = verdict.findings.iter().filter(|f| is_added(f)).map(row).collect();
    let mut rows: BTreeMap<Nature, BTreeSet<(&str, &str)>> = BTreeMap::new();
    for finding in &verdict.findings {
        rows.entry(nature(finding, &added)).or_default().insert(row(finding));
    }
    rows.into_iter().map(|(nature, rows)| sentence(nature, &rows, database)).collect()
}

fn row(finding: &Finding) -> (&str, &str) {
    (finding.check, &finding.row)
}

/// Whether no operation has brought the row: it has no id of one, or no time of one, or totals of nothing.
fn is_added(finding: &Finding) -> bool {
    match (finding.check, finding.column.as_str()) {
        (_, "op_id") => true,
        ("recent_chat", "timestamp") | ("user_stats", "username") | ("kv" | "kv deleted", "id") => {
            finding.expected.is_none()
        }
        _ => false,
    }
}

fn nature(finding: &Finding, added: &BTreeSet<(&str, &str)>) -> Nature {
    match finding.check {
        "file" => Nature::Damaged,
        "outbound_messages" if added.contains(&row(finding)) => Nature::Queued,
        _ if added.contains(&row(finding)) => Nature::Added,
        "user_stats" if finding.column == "username" => Nature::TotalsGone,
        // Every column of the one row is missing, the ones that must be filled too.
        "channel_stats" | "current_status" if finding.actual.is_none() && finding.expected.is_some() => {
            Nature::TotalsGone
        }
        "user_stats" | "channel_stats" | "top_chatters" | "current_status" | "outbound_messages"
        | "recent_chat" => Nature::Changed,
        // The other checks look for the effect of each operation in the ledger.
        _ if finding.actual.is_none() => Nature::EventGone,
        _ => Nature::Changed,
    }
}

fn sentence(nature: Nature, rows: &BTreeSet<(&str, &str)>, database: &DatabaseTool) -> String {
    let DatabaseTool { tool, of_a_user } = database;
    let named = names(rows);
    match nature {
        Nature::Damaged => "The file is damaged, by the disk or by a program that wrote past SQLite. Stop the service, keep a \
             copy of the file and of what lies beside it, and restore a backup; without one, `sqlite3 FILE .recover` saves what \
             can be read."
            .to_owned(),
        Nature::Queued => format!(
            "Another program put messages into the queue: {named}. Nothing is lost: a message to the whole channel is \
             handed out and marked like the others, and never removed when it is old. Nothing has to be done. Let that program \
             use `rosey tell`, or the subject rosey.db.messages.outbound.enqueue; a row that shall go, delete with {tool}."
        ),
        Nature::Added => format!(
            "Another program added rows: {named}. Nothing is lost, and no operation stands behind them: they count only \
             where they stand, and are not removed when they are old. Keep them, or delete them with {tool}; let that program \
             send operations (`rosey send`) instead."
        ),
        Nature::TotalsGone => format!(
            "Another program deleted totals: {named}. The joins, leaves and lines that they were made of are still here, so \
             nothing of those is lost; but the next event begins totals anew that lack what was before. To have them back, \
             take the row from a backup, or insert one with zeros and verify again: it then names the value of each column. If a \
             user was to be forgotten, the rows of that name in {of_a_user} have to go as well."
        ),
        Nature::EventGone => format!(
            "Another program deleted what operations had brought: {named}. Totals that were made of it keep it. If that was on \
             purpose, nothing has to be done: these findings end when the ledger forgets the operations, 14 days after \
             they were applied. If not, the rows are lost here: take them from a backup."
        ),
        Nature::Changed => format!(
            "Another program changed values: {named}. No event is lost by that, and what comes adds to the value that stands \
             there. To correct it, stop the service and set the expected value with {tool}; or leave it: it is \
             wrong by the same amount from now on. If no other program was at work, please report it, with this list."
        ),
    }
}

fn names(rows: &BTreeSet<(&str, &str)>) -> String {
    let named: Vec<_> =
        rows.iter().take(NAMED).map(|(check, row)| format!("{check} {}", clean(row))).collect();
    let more = rows.len() - named.len();
    let rest = if more == 0 { String::new() } else { format!(" and at least {more} more") };
    named.join(", ") + &rest
}
