use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::check;
use eitherway::operation::{Invariant, Definition, Dialect, Done, Invalid, Keys, Spec};

/// A field of a status: absent is "keep what is there", `Some(None)` clears it.
pub type Field<T> = Option<Option<T>>;

/// What the bot is doing. Of each field the last writer's value stays, in the order of events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatusUpdate {
    /// One word: `online`, `offline`, `kicked` …
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "check::present")]
    pub status: Field<String>,
    /// More about it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "check::present")]
    pub details: Field<String>,
    /// What the bot knows of itself and of the channel.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "object")]
    pub status_data: Option<StatusData>,
}

macro_rules! status_data {
    ($($(#[$attribute:meta])* $field:ident: $type:ty,)+) => {
        /// What the bot knows of itself and of the channel.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        pub struct StatusData {
            $(
                $(#[$attribute])*
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $field: Field<$type>,
            )+
        }
    };
}

status_data! {
    /// The bot's name in the channel.
    #[serde(deserialize_with = "check::present")]
    bot_name: String,
    /// Its rank; some networks have fractions.
    #[serde(deserialize_with = "check::present")]
    bot_rank: f64,
    /// Whether it is away: a boolean, or 0 or 1.
    #[serde(deserialize_with = "flag")]
    bot_afk: bool,
    /// The channel's name.
    #[serde(deserialize_with = "check::present")]
    channel_name: String,
    /// Users in the chat.
    #[serde(deserialize_with = "check::present")]
    current_chat_users: u32,
    /// The number of connections.
    #[serde(deserialize_with = "check::present")]
    current_connected_users: u32,
    /// Length of the playlist.
    #[serde(deserialize_with = "check::present")]
    playlist_items: u32,
    /// What is playing.
    #[serde(deserialize_with = "check::present")]
    current_media_title: String,
    /// How long that is: seconds, or a string such as `03:12`.
    #[serde(deserialize_with = "check::present")]
    current_media_duration: Duration,
    /// When the bot started, in unix seconds.
    #[serde(deserialize_with = "check::present")]
    bot_start_time: i64,
    /// Whether it is connected to the chat: a boolean, or 0 or 1.
    #[serde(deserialize_with = "flag")]
    bot_connected: bool,
}

/// The length of something that plays, as peers write it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Duration {
    /// Whole seconds.
    Seconds(i64),
    /// Seconds with a fraction.
    Fraction(f64),
    /// A string.
    Text(String),
}

/// An object. Left to itself, serde takes a list for one too, and reads it by position.
fn object<'de, D: Deserializer<'de>>(from: D) -> Result<Option<StatusData>, D::Error> {
    let object = Option::<serde_json::Map<String, serde_json::Value>>::deserialize(from)?;
    let data = object.map(|fields| serde_json::from_value(fields.into())).transpose();
    data.map_err(|e| serde::de::Error::custom(format!("status_data: {e}")))
}

/// A boolean, also written as 0 or 1; tells absent from `null`.
fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<Field<bool>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Bool(bool),
        Number(f64),
    }
    match Option::<Form>::deserialize(from) {
        Ok(None) => Ok(Some(None)),
        Ok(Some(Form::Bool(value))) => Ok(Some(Some(value))),
        Ok(Some(Form::Number(number))) if number == 0.0 || number == 1.0 => Ok(Some(Some(number == 1.0))),
        _ => Err(serde::de::Error::custom("expected a boolean, 0 or 1")),
    }
}

impl Definition for StatusUpdate {
    type Answer = Done;
    const SPEC: Spec = Spec::event("status_update", "rosey.db.status.update").example(r#"{"status":"online","status_data":{"bot_afk":false}}"#);
    const STATEMENTS: &'static [&'static str] = &[
        "INSERT INTO status_fields (field, at, id, value)
         SELECT f.key, new.at, new.id, f.atom FROM new CROSS JOIN json_each(op, '$.status_data') f
         UNION ALL
         SELECT f.key, new.at, new.id, f.atom FROM new CROSS JOIN json_each(op) f
         WHERE f.key IN ('status', 'details')
         UNION ALL
         SELECT 'last_updated', at, id, at / 1000 FROM new
         WHERE true
         ON CONFLICT (field) DO UPDATE SET at = excluded.at, id = excluded.id, value = excluded.value
         WHERE (excluded.at, excluded.id) > (status_fields.at, status_fields.id)",
    ];
    const CHECKS: &'static [Invariant] = &[Invariant::new(
        "current_status",
        "WITH whole AS (
             SELECT f.field, CASE f.field
                    WHEN 'last_updated' THEN s.last_updated
                    WHEN 'status' THEN s.status
                    WHEN 'details' THEN s.details
                    WHEN 'bot_name' THEN s.bot_name
                    WHEN 'bot_rank' THEN s.bot_rank
                    WHEN 'bot_afk' THEN s.bot_afk
                    WHEN 'channel_name' THEN s.channel_name
                    WHEN 'current_chat_users' THEN s.current_chat_users
                    WHEN 'current_connected_users' THEN s.current_connected_users
                    WHEN 'playlist_items' THEN s.playlist_items
                    WHEN 'current_media_title' THEN s.current_media_title
                    WHEN 'current_media_duration' THEN s.current_media_duration
                    WHEN 'bot_start_time' THEN s.bot_start_time
                    WHEN 'bot_connected' THEN s.bot_connected END AS actual,
                    CASE WHEN f.field = 'status' THEN coalesce(f.value, 'offline')
                         -- a text that is a number is one in a column of numbers
                         WHEN f.field = 'current_media_duration' AND s.current_media_duration = f.value
                         THEN s.current_media_duration
                         ELSE f.value END AS expected
             FROM status_fields f LEFT JOIN current_status s ON s.id = 1)
         SELECT 'status', field, actual, expected FROM whole",
    )];
    const POSTGRES: Dialect = Dialect::SAME
        .statements(&["
            INSERT INTO status_fields AS s (field, at, id, value)
            SELECT DISTINCT ON (f.field) f.field, f.at, f.id,
                   CASE jsonb_typeof(f.value)
                        WHEN 'boolean' THEN to_jsonb(CAST(CAST(f.value AS boolean) AS integer))
                        WHEN 'null' THEN NULL
                        ELSE f.value END
            FROM (
                SELECT k.field, new.at, new.id,
                       CASE WHEN k.field = 'last_updated' THEN to_jsonb(new.at / 1000)
                            WHEN k.field IN ('status', 'details') THEN op -> k.field
                            ELSE op -> 'status_data' -> k.field END
                FROM new CROSS JOIN status_fields k) f (field, at, id, value)
            WHERE f.value IS NOT NULL
            ORDER BY f.field, f.at DESC, f.id COLLATE \"C\" DESC
            ON CONFLICT (field) DO UPDATE SET at = excluded.at, id = excluded.id, value = excluded.value
            WHERE (excluded.at, excluded.id) > (s.at, s.id)"])
        .checks(&[Invariant::new(
            "current_status",
            "SELECT 'status', f.field, to_jsonb(s) ->> f.field,
                    CASE WHEN f.field = 'status' THEN coalesce(f.value ->> 0, 'offline')
                         WHEN f.field = 'bot_rank' THEN to_jsonb(CAST(f.value ->> 0 AS double precision)) ->> 0
                         ELSE f.value ->> 0 END
             FROM (SELECT field, jsonb_build_array(value) AS value FROM status_fields) f
             LEFT JOIN current_status s ON s.id = 1",
        )])
        .keys(Keys::Of("SELECT 'status' FROM new"));

    fn check(&self) -> Result<(), Invalid> {
        let mut texts = vec![("status", &self.status), ("details", &self.details)];
        if let Some(data) = &self.status_data {
            texts.extend([
                ("bot_name", &data.bot_name),
                ("channel_name", &data.channel_name),
                ("current_media_title", &data.current_media_title),
            ]);
            if let Some(Some(Duration::Text(text))) = &data.current_media_duration {
                check::optional_text("current_media_duration", text, check::NAME)?;
            }
        }
        for (field, value) in texts {
            if let Some(Some(text)) = value {
                check::optional_text(field, text, check::SHORT)?;
            }
        }
        Ok(())
    }
}
