use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use super::person::{self, keyed};
use eitherway::operation::{Derived, Invariant, Definition, Dialect, Invalid, Keys, Spec};

/// Claims messages that wait for a user, or for the whole channel, oldest first.
///
/// What is handed out is leased to the request's id for 30 s of the database host's clock: the same request
/// asked again gets the same messages, no other request does. A claim that arrives more than 10 s late is refused: its
/// sender has long been answered otherwise. As many are handed out as fit into an answer; the rest waits as before. A lease that ends without a mark counts as an attempt;
/// the next one has to wait 2 minutes, then 4, and so on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutboundGet {
    /// The recipient; `None` means messages to the channel only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// How many at most; 50 by default.
    #[serde(default = "check::number::<50>", deserialize_with = "check::number_or::<50, _>")]
    pub limit: u32,
    /// Messages that failed this often are not handed out; 3 by default.
    #[serde(default = "check::number::<3>", deserialize_with = "check::number_or::<3, _>")]
    pub max_retries: u32,
}

/// A message to deliver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutboundMessage {
    /// Its number, for the marks.
    pub id: i64,
    /// The recipient; `None` means the whole channel.
    pub username: Option<String>,
    /// The message.
    pub content: String,
    /// The same as `content`, under the name that Python peers read.
    pub message: String,
    /// When it was enqueued, in unix seconds.
    pub timestamp: i64,
    /// How often delivering it has failed.
    pub retry_count: u32,
    /// Why it failed last.
    pub error_message: Option<String>,
    /// Who of the channel left it, by `tell`.
    #[serde(default)]
    pub sender: Option<String>,
    /// Whether one with a recipient is told in private, or said to the recipient in the channel.
    #[serde(default = "super::tell::privately")]
    pub privately: bool,
}

/// The check of the messages, column by column.
const ON_POSTGRES: &str = "
    WITH marks AS (
        SELECT message, min(at) FILTER (WHERE kind = 'sent') AS delivered_at,
               min(at) FILTER (WHERE kind = 'failed') AS failed_at,
               count(*) FILTER (WHERE kind IN ('retry', 'expired')) AS retries, max(at) AS last_attempt,
               bool_or(kind IN ('retry', 'failed')) AS has_error
        FROM outbound_marks GROUP BY message),
    whole AS (
        SELECT o.*, m.delivered_at AS delivered, m.failed_at AS failed, m.last_attempt AS attempt,
               o.origin_retries + coalesce(m.retries, 0) AS retries, coalesce(m.delivered_at, m.failed_at) AS ended,
               CASE WHEN m.delivered_at IS NOT NULL THEN NULL
                    WHEN m.has_error THEN latest.error ELSE o.error_message END AS error,
               latest.at AS latest_at, latest.op_id AS latest_id
        FROM outbound_messages o LEFT JOIN marks m ON m.message = o.id
        LEFT JOIN LATERAL (
            SELECT at, op_id, error FROM outbound_marks WHERE message = o.id AND kind IN ('retry', 'failed')
            ORDER BY at DESC, op_id DESC LIMIT 1) latest ON true)
    SELECT id, f.name, CAST(f.actual AS text), CAST(f.expected AS text)
    FROM whole CROSS JOIN LATERAL (VALUES
        ('timestamp', timestamp, at / 1000), ('sent', sent, CASE WHEN ended IS NULL THEN 0 ELSE 1 END),
        ('sent_timestamp', sent_timestamp, ended / 1000), ('retry_count', retry_count, retries),
        ('delivered_at', delivered_at, delivered), ('failed_at', failed_at, failed),
        ('last_attempt', last_attempt, attempt), ('error_at', error_at, latest_at)) f (name, actual, expected)
    UNION ALL SELECT id, 'error_id', error_id, latest_id FROM whole
    UNION ALL SELECT id, 'error_message', error_message, error FROM whole
    UNION ALL SELECT id, 'op_id', CASE WHEN op_id IS NULL THEN '0' ELSE '1' END, '1' FROM outbound_messages";

impl Definition for OutboundGet {
    type Answer = Vec<OutboundMessage>;
    const SPEC: Spec = Spec::call("outbound_get", "rosey.db.messages.outbound.get").unstamped().list().max_age(10).claim().example(r#"{"username":"alice","limit":10}"#);
    const STATEMENTS: &'static [&'static str] = &[
        "INSERT INTO outbound_marks (op_id, message, at, kind)
         SELECT ' ' || lease_id || ' ' || id, id, lease_until, 'expired'
         FROM host CROSS JOIN outbound_messages
         WHERE (lease_until <= now OR lease_until > now + 3600000) AND EXISTS (SELECT 1 FROM new)",
        concat!("UPDATE outbound_messages
         SET lease_id = claim.id, lease_at = claim.at, lease_until = (SELECT now FROM host) + 30000
         FROM (
             SELECT message, min(id) AS id, at FROM (
                 SELECT o.id AS message, new.id, new.at, op ->> 'limit' AS most, answer_bytes,
                        row_number() OVER claims AS place,
                        sum(2 * octet_length(json_quote(o.message)) + octet_length(json_quote(coalesce(o.name, o.username)))
                            + octet_length(json_quote(o.error_message)) + octet_length(json_quote(coalesce(o.sender_name, o.sender))) + 240)
                            OVER claims AS bytes
                 FROM host CROSS JOIN new
                 CROSS JOIN outbound_messages o ON o.username IS ", keyed!("username"), " AND o.sent = 0
                 WHERE o.lease_id IS NULL
                   AND o.retry_count < op ->> 'max_retries'
                   AND 2 * octet_length(json_quote(o.message)) + octet_length(json_quote(coalesce(o.name, o.username)))
                       + octet_length(json_quote(o.error_message)) + octet_length(json_quote(coalesce(o.sender_name, o.sender))) + 240 <= answer_bytes
                   AND (o.retry_count = 0
                        OR coalesce(o.last_attempt, o.timestamp * 1000) + (60000 << o.retry_count) <= now
                        -- by a clock that was ahead, as the lease above
                        OR coalesce(o.last_attempt, o.timestamp * 1000) > now + 3600000)
                 WINDOW claims AS (PARTITION BY new.id ORDER BY o.at, o.id))
             WHERE place <= most AND bytes <= answer_bytes
             GROUP BY message) AS claim
         WHERE outbound_messages.id = claim.message"),
    ];
    const ANSWER: &'static str = "
        SELECT asked.id, (
            SELECT json_group_array(json_object(
                'id', o.id, 'username', coalesce(o.name, o.username), 'content', o.message, 'message', o.message,
                'timestamp', o.timestamp, 'retry_count', o.retry_count, 'error_message', o.error_message,
                'sender', coalesce(o.sender_name, o.sender), 'privately', json(iif(o.private, 'true', 'false')))
                ORDER BY o.at, o.id)
            FROM outbound_messages o WHERE o.lease_id = asked.id AND o.sent = 0)
        FROM asked";
    const CHECKS: &'static [Invariant] = &[Invariant::new(
        "outbound_messages",
        "WITH marks AS (
             SELECT message, min(iif(kind = 'sent', at, NULL)) AS delivered_at,
                    min(iif(kind = 'failed', at, NULL)) AS failed_at,
                    sum(kind IN ('retry', 'expired')) AS retries, max(at) AS last_attempt,
                    max(kind IN ('retry', 'failed')) AS has_error
             FROM outbound_marks GROUP BY message),
         whole AS (
             SELECT o.*, m.delivered_at AS delivered, m.failed_at AS failed, m.last_attempt AS attempt,
                    o.origin_retries + coalesce(m.retries, 0) AS retries,
                    coalesce(m.delivered_at, m.failed_at) AS ended,
                    CASE WHEN m.delivered_at IS NOT NULL THEN NULL
                         WHEN m.has_error THEN (
                             SELECT error FROM outbound_marks WHERE message = o.id AND kind IN ('retry', 'failed')
                             ORDER BY at DESC, op_id DESC LIMIT 1)
                         ELSE o.error_message END AS error,
                    (SELECT json_array(at, op_id) FROM outbound_marks WHERE message = o.id AND kind IN ('retry', 'failed')
                     ORDER BY at DESC, op_id DESC LIMIT 1) AS latest
             FROM outbound_messages o LEFT JOIN marks m ON m.message = o.id)
         SELECT id, 'op_id', op_id IS NOT NULL OR timestamp * 1000 = at, 1 FROM whole
         UNION ALL SELECT id, 'timestamp', timestamp, at / 1000 FROM whole
         UNION ALL SELECT id, 'sent', sent, ended IS NOT NULL FROM whole
         UNION ALL SELECT id, 'sent_timestamp', sent_timestamp, ended / 1000 FROM whole
         UNION ALL SELECT id, 'retry_count', retry_count, retries FROM whole
         UNION ALL SELECT id, 'delivered_at', delivered_at, delivered FROM whole
         UNION ALL SELECT id, 'failed_at', failed_at, failed FROM whole
         UNION ALL SELECT id, 'last_attempt', last_attempt, attempt FROM whole
         UNION ALL SELECT id, 'error_message', error_message, error FROM whole
         UNION ALL SELECT id, 'error_at', error_at, latest ->> 0 FROM whole
         UNION ALL SELECT id, 'error_id', error_id, latest ->> 1 FROM whole",
    )];
    const POSTGRES: Dialect = Dialect::SAME
        .statements(&[
            "INSERT INTO outbound_marks (op_id, message, at, kind)
             SELECT ' ' || o.lease_id || ' ' || o.id, o.id, o.lease_until, 'expired'
             FROM host CROSS JOIN LATERAL (
                 SELECT w.id, w.lease_id, w.lease_until FROM outbound_messages w
                 WHERE w.lease_until <= now OR w.lease_until > now + 3600000
                 -- another claim says so, or a report comes
                 FOR UPDATE SKIP LOCKED) o
             WHERE EXISTS (SELECT 1 FROM new)",
            concat!("UPDATE outbound_messages
             SET lease_id = claim.id, lease_at = claim.at, lease_until = claim.now + 30000
             FROM (
                 SELECT DISTINCT ON (c.message) c.message, c.id, c.at, c.now FROM (
                     SELECT o.id AS message, new.id, new.at, now, answer_bytes,
                            sum(o.bytes) OVER (PARTITION BY new.id ORDER BY o.at, o.id) AS bytes
                     FROM host CROSS JOIN new CROSS JOIN LATERAL (
                         SELECT w.id, w.at, 2 * octet_length(CAST(to_json(w.message) AS text))
                                + coalesce(octet_length(CAST(to_json(coalesce(w.name, w.username)) AS text)), 4)
                                + coalesce(octet_length(CAST(to_json(w.error_message) AS text)), 4)
                                + coalesce(octet_length(CAST(to_json(coalesce(w.sender_name, w.sender)) AS text)), 4) + 240 AS bytes
                         FROM outbound_messages w
                         WHERE w.username IS NOT DISTINCT FROM ", keyed!("username"), " AND w.sent = 0
                           AND w.lease_id IS NULL
                           AND w.retry_count < CAST(op ->> 'max_retries' AS bigint)
                           AND 2 * octet_length(CAST(to_json(w.message) AS text))
                               + coalesce(octet_length(CAST(to_json(coalesce(w.name, w.username)) AS text)), 4)
                               + coalesce(octet_length(CAST(to_json(w.error_message) AS text)), 4)
                               + coalesce(octet_length(CAST(to_json(coalesce(w.sender_name, w.sender)) AS text)), 4) + 240
                               <= answer_bytes
                           AND (w.retry_count = 0
                                OR coalesce(w.last_attempt, w.timestamp * 1000)
                                   + (CAST(60000 AS bigint) << w.retry_count) <= now
                                -- by a clock that was ahead, as the lease above
                                OR coalesce(w.last_attempt, w.timestamp * 1000) > now + 3600000)
                         ORDER BY w.at, w.id LIMIT CAST(op ->> 'limit' AS bigint)
                         -- what another claim is about to take is taken
                         FOR UPDATE SKIP LOCKED) o) c
                 WHERE c.bytes <= c.answer_bytes
                 ORDER BY c.message, c.id COLLATE \"C\") AS claim
             WHERE outbound_messages.id = claim.message"),
        ])
        .answer(
            "SELECT asked.id, (
                 SELECT coalesce(json_agg(json_build_object(
                     'id', o.id, 'username', coalesce(o.name, o.username), 'content', o.message, 'message', o.message,
                     'timestamp', o.timestamp, 'retry_count', o.retry_count, 'error_message', o.error_message,
                     'sender', coalesce(o.sender_name, o.sender), 'privately', o.private = 1)
                     ORDER BY o.at, o.id), '[]')
                 FROM outbound_messages o WHERE o.lease_id = asked.id AND o.sent = 0)
             FROM asked",
        )
        .checks(&[Invariant::new("outbound_messages", ON_POSTGRES)])
        // It takes rows that are free at this moment, and waits for none.
        .keys(Keys::Own);

    fn derive(&self, fields: &mut Derived) {
        if let Some(username) = &self.username {
            person::derive(fields, "key", username);
        }
    }

    fn check(&self) -> Result<(), Invalid> {
        if let Some(username) = &self.username {
            check::text("username", username, check::NAME)?;
        }
        check::limit(self.limit)?;
        check::at_most("max_retries", self.max_retries, 30)
    }
}
