use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{check, person};
use eitherway::Head;
use eitherway::operation::{Apply, ApplyError, Dialect, Done, Invalid, Invariant, Keys, RetentionRule, Spec, Tx};

/// Forgets a person: what is known of the name from before this operation goes, and what comes later and is from before does not come
/// back. What the person does afterwards is remembered again.
///
/// - Lines, joins, leaves, counts and times go. So do messages from or for the person and what became of them, what the person said and
///   somebody kept, and the person's name beside what others said.
/// - Without a name, a text or a count stay: that an operation was applied, a message's or a quote's number, and that a moderator gave a
///   command at some time.
/// - The counts of the channel stay, and what plugins keep, of which only they know whose it is.
/// - The name alone stays for 30 days, so that nothing comes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Forget {
    /// The name of the user.
    pub username: String,
}

/// From when on there may be lines of the person: all of them, where some are of the Python bot's time or were removed since. Lines are
/// found by their time alone, because an index by name would make each of them more expensive.
const FIRST_LINE: &str = "
    SELECT CASE
        WHEN EXISTS (SELECT 1 FROM user_baseline WHERE username = $1)
          OR EXISTS (SELECT 1 FROM (SELECT op_id FROM recent_chat ORDER BY at, op_id LIMIT 1) c WHERE substr(c.op_id, 1, 1) = ' ')
            THEN 0
        ELSE coalesce((SELECT first_seen * 1000 FROM user_stats_now WHERE username = $1), 9223372036854775807) END";

/// The messages of the person. Those of the Python bot have no recipient.
macro_rules! messages {
    () => {
        "(SELECT id FROM outbound_messages WHERE username = $1 AND (at, op_id) < ($2, $3)
          UNION SELECT id FROM outbound_messages WHERE sender = $1 AND (at, op_id) < ($2, $3))"
    };
}

/// What goes on both databases: `$1` is the name, `$2` and `$3` are time and id of the request, `$4` is the time of the first line.
const GOES: &[&str] = &[
    "INSERT INTO forgotten AS f (username, at, id) VALUES ($1, $2, $3)
     ON CONFLICT (username) DO UPDATE SET at = excluded.at, id = excluded.id
     WHERE (excluded.at, excluded.id) > (f.at, f.id)",
    // An event that was applied again after the ledger had forgotten it is there twice.
    "INSERT INTO forgotten_events (op_id, at)
     SELECT op_id, at FROM recent_chat
     WHERE at >= $4 AND coalesce(person, username) = $1 AND (at, op_id) < ($2, $3) AND substr(op_id, 1, 1) <> ' '
     ON CONFLICT (op_id) DO NOTHING",
    "DELETE FROM recent_chat WHERE at >= $4 AND coalesce(person, username) = $1 AND (at, op_id) < ($2, $3)",
    "INSERT INTO forgotten_events (op_id, at)
     SELECT id, at FROM presence WHERE username = $1 AND (at, id) < ($2, $3) AND substr(id, 1, 1) <> ' '
     ON CONFLICT (op_id) DO NOTHING",
    "DELETE FROM user_baseline WHERE username = $1 AND (folded_at, folded_id) < ($2, $3)",
    // What is later in there cannot be told apart any more, and goes too.
    "UPDATE user_baseline
     SET first_seen = NULL, last_line = NULL, last_session = NULL, chat_lines = 0, connected_ms = 0 WHERE username = $1",
    // A message keeps its number, and is given up as if that had been done when it was queued.
    concat!("UPDATE outbound_marks SET message = 0, error = NULL WHERE message IN ", messages!()),
    concat!(
        "UPDATE outbound_messages
         SET message = '', username = '', name = NULL, sender = CASE WHEN sender IS NOT NULL THEN '' END, sender_name = NULL, sent = 0, sent_timestamp = NULL,
             retry_count = 0, last_attempt = NULL, delivered_at = NULL, failed_at = NULL, lease_id = NULL, lease_until = NULL,
             lease_at = NULL, error_at = NULL, error_id = NULL, error_message = NULL
         WHERE id IN ",
        messages!()
    ),
    "INSERT INTO outbound_marks (op_id, message, at, kind)
     SELECT ' forgotten ' || op_id, id, at, 'failed' FROM outbound_messages WHERE username = '' AND sent = 0",
    "UPDATE channel_quotes SET username = '', name = NULL, message = '', added_by = NULL, added_by_name = NULL WHERE username = $1 AND (at, op_id) < ($2, $3)",
    "UPDATE channel_quotes SET added_by = NULL, added_by_name = NULL WHERE added_by = $1 AND (at, op_id) < ($2, $3)",
    "UPDATE user_actions SET username = '', person = NULL, details = NULL
     WHERE coalesce(person, username) = $1 AND (coalesce(at, timestamp * 1000), op_id) < ($2, $3)",
    "DELETE FROM user_stats WHERE username = $1",
];

/// What waits is counted anew below.
const ON_SQLITE: &[&str] = &[
    "DELETE FROM presence WHERE username = $1 AND (at, id) < ($2, $3)",
    "DELETE FROM lines_waiting WHERE shelf IN (0, 1, 2, 3, 4, 5, 6, 7) AND username = $1",
    "DELETE FROM speakers WHERE username = $1",
];
const ON_POSTGRES: &[&str] = &[
    "DELETE FROM presence_folded WHERE username = $1 AND (at, id) < ($2, $3)",
    "INSERT INTO presence_folded (username, at, id, joined, name)
     SELECT username, at, id, joined, name FROM presence_waiting WHERE username = $1 AND (at, id) > ($2, $3) ON CONFLICT DO NOTHING",
    "DELETE FROM presence_waiting WHERE username = $1",
    "DELETE FROM lines_waiting WHERE username = $1",
];

/// What is left of the person, which is from afterwards.
const LEFT: &str = "
    INSERT INTO user_stats (username, first_seen, last_seen, total_chat_lines, total_time_connected, connected_ms,
                            current_session_start, last_line, named)
    WITH gaps AS (
        SELECT at, joined, coalesce(name, username) AS name, lead(at) OVER (ORDER BY at, id) AS next
        FROM presence WHERE username = $1),
    facts (first_seen, last_line, last_session, lines, ms, open, named) AS (
        SELECT min(at) / 1000, NULL, max(coalesce(next, at)) / 1000, 0, CAST(sum(coalesce(next - at, 0)) AS BIGINT),
               max(CASE WHEN next IS NULL THEN at END) / 1000, max(substr(CAST(1000000000000000 + at AS TEXT), 2) || name)
        FROM gaps WHERE joined = 1
        UNION ALL
        SELECT min(at) / 1000, max(at) / 1000, NULL, count(*), 0, NULL, max(substr(CAST(1000000000000000 + at AS TEXT), 2) || username)
        FROM recent_chat WHERE at >= $2 AND coalesce(person, username) = $1)
    SELECT username, first, CASE WHEN session > coalesce(line, 0) THEN session ELSE coalesce(line, 0) END, lines, ms / 1000, ms, open, line, named
    FROM (
        SELECT CAST($1 AS TEXT) AS username, min(first_seen) AS first, max(last_line) AS line, max(last_session) AS session,
               CAST(sum(lines) AS BIGINT) AS lines, CAST(coalesce(sum(ms), 0) AS BIGINT) AS ms, max(open) AS open,
               max(named) AS named
        FROM facts) f
    WHERE first IS NOT NULL";

impl Apply for Forget {
    type Answer = Done;
    const SPEC: Spec = Spec::event("forget", "rosey.db.user.forget").example(r#"{"username":"alice"}"#);
    const SWEEPS: &'static [RetentionRule] = &[
        RetentionRule::hours(
            "forgotten",
            30 * 24,
            "SELECT username FROM forgotten WHERE at < (SELECT horizon FROM sweep) LIMIT (SELECT most FROM sweep)",
            &["DELETE FROM forgotten WHERE username IN (SELECT key FROM gone) AND at < (SELECT horizon FROM sweep)"],
        ),
        RetentionRule::hours(
            "forgotten",
            30 * 24,
            "SELECT op_id FROM forgotten_events
             WHERE at < (SELECT horizon FROM sweep) AND NOT EXISTS (SELECT 1 FROM known WHERE known.id = op_id)
             LIMIT (SELECT most FROM sweep)",
            &["DELETE FROM forgotten_events WHERE op_id IN (SELECT key FROM gone)"],
        ),
    ];
    const CHECKS: &'static [Invariant] = &[Invariant::new(
        "forgotten",
        "SELECT f.username, 'id', f.id, l.id FROM forgotten f LEFT JOIN applied l ON l.id = f.id
         WHERE f.at - 600000 >= coalesce((SELECT CAST(value AS BIGINT) FROM meta WHERE key = 'swept.ledger'), -600000)
         UNION ALL SELECT f.username, 'presence', p.id, NULL
         FROM forgotten f JOIN presence p ON p.username = f.username WHERE (p.at, p.id) < (f.at, f.id)
         UNION ALL SELECT f.username, 'recent_chat', c.op_id, NULL
         FROM forgotten f JOIN recent_chat c ON coalesce(c.person, c.username) = f.username WHERE (c.at, c.op_id) < (f.at, f.id)
         UNION ALL SELECT f.username, 'outbound_messages', o.op_id, NULL
         FROM forgotten f JOIN outbound_messages o ON f.username IN (o.username, o.sender) WHERE (o.at, o.op_id) < (f.at, f.id)
         UNION ALL SELECT f.username, 'channel_quotes', q.op_id, NULL
         FROM forgotten f JOIN channel_quotes q ON f.username IN (q.username, q.added_by) WHERE (q.at, q.op_id) < (f.at, f.id)
         UNION ALL SELECT f.username, 'user_actions', a.op_id, NULL
         FROM forgotten f JOIN user_actions a ON coalesce(a.person, a.username) = f.username
         WHERE (coalesce(a.at, a.timestamp * 1000), a.op_id) < (f.at, f.id)",
    )];
    // Others append lines and joins, which wait for nobody.
    const POSTGRES: Dialect = Dialect::SAME.keys(Keys::Alone);

    async fn apply(&self, tx: &mut Tx<'_>, head: &Head) -> Result<Done, ApplyError> {
        let (id, person) = (head.id.to_string(), person::key(&self.username));
        let person = person.as_ref();
        let first: Option<(i64,)> = tx.fetch_optional(sqlx::query(FIRST_LINE).bind(person)).await?;
        let first = first.map_or(0, |(first,)| first);
        let own = if tx.sqlite().is_some() { ON_SQLITE } else { ON_POSTGRES };
        for statement in GOES.iter().chain(own).chain([&LEFT]) {
            let statement = sqlx::query(*statement).bind(person).bind(head.occurred_at).bind(&id).bind(first);
            tx.execute(statement).await?;
        }
        Ok(Done {})
    }

    fn check(&self) -> Result<(), Invalid> {
        check::text("username", &self.username, check::NAME)?;
        if ["server", "[server]"].contains(&self.username.to_ascii_lowercase().as_str()) {
            return Err("username: the channel itself is not forgotten".to_owned().into());
        }
        Ok(())
    }
}
