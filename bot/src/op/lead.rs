use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use eitherway::operation::{Definition, Dialect, Invalid, Keys, Spec};

/// Asks to lead in a room, or to go on leading, for some seconds. Of several bots that ask, one leads at a time.
///
/// The time runs by the clock of the database's host, from the moment in which this is applied: clocks of bots that are wrong do not
/// matter. A leader that counts from before it has asked stops before another one begins, unless that clock is set forward meanwhile.
/// Zero seconds give the lead back. It is free also when that clock was set back by minutes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lead {
    /// The room; bots of one room name it alike.
    pub room: String,
    /// The process that asks.
    pub bot: String,
    /// Its name, for people.
    pub name: String,
    /// For how long, at most 60.
    pub seconds: u32,
}

/// Who leads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Leader {
    /// Whether the one that asked leads.
    pub leads: bool,
    /// The name of the one that leads, or led last.
    pub leader: String,
    /// How many milliseconds ago that one has asked last.
    pub age: i64,
    /// By how many milliseconds its clock was ahead of that of the database's host.
    pub skew: i64,
    /// Whether others have asked in the last half minute.
    pub company: bool,
}

/// What becomes of the row of a room: the one that leads goes on, another one begins when that one's time has ended.
macro_rules! taken {
    ($row:literal) => {
        concat!(
            " ON CONFLICT (room) DO UPDATE SET
                 holder = excluded.holder, name = excluded.name, renewed = excluded.renewed, ends = excluded.ends,
                 skew = excluded.skew,
                 asked_by = CASE WHEN ", $row, ".asked_by = excluded.holder THEN NULL ELSE ", $row, ".asked_by END
             WHERE ", $row, ".holder = excluded.holder OR ", $row, ".ends <= excluded.renewed
                OR ", $row, ".ends > excluded.renewed + 120000"
        )
    };
}

impl Definition for Lead {
    type Answer = Leader;
    const SPEC: Spec = Spec::call("lead", "rosey.db.bot.lead")
        .unstamped()
        .claim()
        .example(r##"{"room":"irc:#lounge","bot":"0197c3","name":"rosey","seconds":6}"##);
    const STATEMENTS: &'static [&'static str] = &[
        concat!(
            "INSERT INTO leases (room, holder, name, renewed, ends, skew)
             SELECT op ->> 'room', op ->> 'bot', op ->> 'name', now, now + (op ->> 'seconds') * 1000, at - now
             FROM host CROSS JOIN new WHERE op ->> 'seconds' > 0 ORDER BY at, id",
            taken!("leases")
        ),
        "UPDATE leases SET ends = o.now
         FROM (SELECT op ->> 'room' AS room, op ->> 'bot' AS bot, now FROM host CROSS JOIN new WHERE op ->> 'seconds' = 0) AS o
         WHERE leases.room = o.room AND leases.holder = o.bot AND leases.ends > o.now",
        // Once in a while, so that asking leaves no row in the ledger as a rule.
        "UPDATE leases SET asked_by = o.bot, asked_at = o.now
         FROM (SELECT op ->> 'room' AS room, op ->> 'bot' AS bot, now FROM host CROSS JOIN new WHERE op ->> 'seconds' > 0) AS o
         WHERE leases.room = o.room AND leases.holder <> o.bot
           AND (leases.asked_by IS NULL OR leases.asked_at + 10000 <= o.now OR leases.asked_at > o.now + 120000)",
    ];
    const ANSWER: &'static str = "
        SELECT asked.id, json_object(
            'leads', json(iif(l.holder = op ->> 'bot' AND l.ends > now, 'true', 'false')), 'leader', coalesce(l.name, ''),
            'age', coalesce(now - l.renewed, 0), 'skew', coalesce(l.skew, 0),
            'company', json(iif(l.asked_by IS NOT NULL AND abs(now - l.asked_at) < 30000, 'true', 'false')))
        FROM asked CROSS JOIN host LEFT JOIN leases l ON l.room = op ->> 'room'";
    const POSTGRES: Dialect = Dialect::SAME
        .statements(&[
            concat!(
                "INSERT INTO leases AS l (room, holder, name, renewed, ends, skew)
                 SELECT DISTINCT ON (op ->> 'room') op ->> 'room', op ->> 'bot', op ->> 'name', now,
                        now + CAST(op ->> 'seconds' AS bigint) * 1000, new.at - now
                 FROM host CROSS JOIN new LEFT JOIN leases h ON h.room = op ->> 'room'
                 WHERE CAST(op ->> 'seconds' AS bigint) > 0
                 -- of several at once, the one that leads
                 ORDER BY op ->> 'room', coalesce(h.holder = op ->> 'bot', false) DESC, new.at, new.id COLLATE \"C\"",
                taken!("l")
            ),
            "UPDATE leases l SET ends = o.now
             FROM (SELECT op ->> 'room' AS room, op ->> 'bot' AS bot, now FROM host CROSS JOIN new
                   WHERE CAST(op ->> 'seconds' AS bigint) = 0) o
             WHERE l.room = o.room AND l.holder = o.bot AND l.ends > o.now",
            "UPDATE leases l SET asked_by = o.bot, asked_at = o.now
             FROM (SELECT op ->> 'room' AS room, op ->> 'bot' AS bot, now FROM host CROSS JOIN new
                   WHERE CAST(op ->> 'seconds' AS bigint) > 0) o
             WHERE l.room = o.room AND l.holder <> o.bot
               AND (l.asked_by IS NULL OR l.asked_at + 10000 <= o.now OR l.asked_at > o.now + 120000)",
        ])
        .answer(
            "SELECT asked.id, json_build_object(
                 'leads', coalesce(l.holder = op ->> 'bot' AND l.ends > now, false), 'leader', coalesce(l.name, ''),
                 'age', coalesce(now - l.renewed, 0), 'skew', coalesce(l.skew, 0),
                 'company', coalesce(l.asked_by IS NOT NULL AND abs(now - l.asked_at) < 30000, false))
             FROM asked CROSS JOIN host LEFT JOIN leases l ON l.room = op ->> 'room'",
        )
        .keys(Keys::Of("SELECT 'lease ' || (op ->> 'room') FROM new"));

    fn check(&self) -> Result<(), Invalid> {
        check::text("room", &self.room, check::NAME)?;
        check::text("bot", &self.bot, check::NAME)?;
        check::optional_text("name", &self.name, check::NAME)?;
        check::at_most("seconds", self.seconds, 60)
    }
}
