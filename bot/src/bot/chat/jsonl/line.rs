//! One line of a recording.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::bot::context::brief;
use crate::bot::event::{Body, UserData, recorded_time};

/// The content of a line.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) body: Body,
    /// The recorded time, in unix milliseconds.
    pub(super) recorded_at: Option<i64>,
    pub(super) id: Option<String>,
}

/// The fields of all events. A field is validated only for the events that use it.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    user: Option<&'a RawValue>,
    #[serde(borrow)]
    user_data: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    usercount: Option<&'a RawValue>,
    #[serde(borrow)]
    connected: Option<&'a RawValue>,
    #[serde(borrow)]
    users: Option<&'a RawValue>,
    #[serde(borrow)]
    reason: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Count {
    Plain(u32),
    Wrapped { count: u32 },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Name(String),
    User(UserData),
}

/// Parses a line.
///
/// # Errors
/// What is wrong with the line: a sentence that is short and printable, whatever the line contains.
pub(super) fn parse(line: &[u8]) -> Result<Line, String> {
    // Some editors start a file with a byte order mark.
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let text = std::str::from_utf8(line).map_err(|error| format!("not UTF-8: {error}"))?;
    if !text.trim_start().starts_with('{') {
        return Err("not a JSON object".to_owned());
    }
    let fields: Fields<'_> =
        serde_json::from_str(text).map_err(|error| format!("not JSON: {}", brief(&error.to_string())))?;
    Ok(Line {
        body: fields.body()?,
        recorded_at: fields.timestamp.and_then(|raw| raw.get().parse().ok()).and_then(recorded_time),
        id: fields.id()?,
    })
}

impl Fields<'_> {
    fn body(&self) -> Result<Body, String> {
        let event: String = required("event", self.event, "a string")?;
        Ok(match event.as_str() {
            "connect" | "connected" => Body::Connect,
            "disconnect" | "disconnected" => Body::Disconnect { reason: self.reason()? },
            "kicked" => Body::Kicked { reason: self.reason()? },
            "user_join" => {
                let data: Option<UserData> =
                    optional("user_data", self.user_data, "an object with a username")?;
                let user = match (self.user, &data) {
                    (None, Some(data)) => name("user_data", data.username.clone())?,
                    (user, _) => name("user", required("user", user, "a string")?)?,
                };
                let user_data = data.unwrap_or_else(|| UserData::named(&user));
                Body::UserJoin { user, user_data }
            }
            "user_leave" => Body::UserLeave { user: self.user()? },
            "message" => Body::Message { user: self.user()?, content: self.content()? },
            "pm" => Body::Pm { user: self.user()?, content: self.content()? },
            "user_count" | "usercount" => Body::UserCount {
                usercount: count("usercount", self.usercount)?.ok_or("usercount: is missing")?,
                connected: count("connected", self.connected)?,
            },
            "user_list" => {
                let expected = "a list of names or of objects with a username";
                let users: Vec<Entry> = required("users", self.users, expected)?;
                let known = |entry| {
                    let user = match entry {
                        Entry::Name(name) => UserData::named(name),
                        Entry::User(user) => user,
                    };
                    name("users", user.username.clone()).map(|_| user)
                };
                Body::UserList { users: users.into_iter().map(known).collect::<Result<_, String>>()? }
            }
            unknown => return Err(format!("unknown event `{}`", brief(unknown))),
        })
    }

    fn user(&self) -> Result<String, String> {
        name("user", required("user", self.user, "a string")?)
    }

    fn content(&self) -> Result<String, String> {
        without_nul("content", required("content", self.content, "a string")?)
    }

    fn reason(&self) -> Result<Option<String>, String> {
        optional("reason", self.reason, "a string")?.map(|reason| without_nul("reason", reason)).transpose()
    }

    /// The id: a string, or the digits of a number. Parsing the number could make two long ids equal. An
    /// empty string is no id.
    fn id(&self) -> Result<Option<String>, String> {
        let Some(raw) = self.id.map(RawValue::get) else { return Ok(None) };
        if raw.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
            return Ok(Some(raw.to_owned()));
        }
        let text: Option<String> = optional("id", self.id, "a string or a number")?;
        Ok(text.filter(|text| !text.is_empty()))
    }
}

fn required<T: DeserializeOwned>(field: &str, raw: Option<&RawValue>, expected: &str) -> Result<T, String> {
    optional(field, raw, expected)?.ok_or_else(|| format!("{field}: is missing"))
}

fn optional<T: DeserializeOwned>(
    field: &str,
    raw: Option<&RawValue>,
    expected: &str,
) -> Result<Option<T>, String> {
    let Some(raw) = raw else { return Ok(None) };
    let wrong = |_| format!("{field}: expected {expected}, not {}", brief(raw.get()));
    serde_json::from_str(raw.get()).map(Some).map_err(wrong)
}

fn count(field: &str, raw: Option<&RawValue>) -> Result<Option<u32>, String> {
    Ok(optional(field, raw, "a whole number or {\"count\": one}")?.map(|count| match count {
        Count::Plain(count) | Count::Wrapped { count } => count,
    }))
}

fn name(field: &str, text: String) -> Result<String, String> {
    if text.is_empty() {
        return Err(format!("{field}: a name is empty"));
    }
    without_nul(field, text)
}

fn without_nul(field: &str, text: String) -> Result<String, String> {
    if text.contains('\0') { Err(format!("{field}: contains NUL")) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(line: &str) -> Body {
        parse(line.as_bytes()).expect(line).body
    }

    #[test]
    fn every_event_has_its_form() {
        let alice = || "alice".to_owned();
        let data = UserData { username: alice(), rank: 1.5, ..UserData::default() };
        for (line, expected) in [
            (
                r#"{"event":"user_join","user":"alice","user_data":{"username":"alice","rank":1.5,"x":[]},"timestamp":1}"#,
                Body::UserJoin { user: alice(), user_data: data.clone() },
            ),
            (
                r#"{"event":"user_join","user":"alice"}"#,
                Body::UserJoin { user: alice(), user_data: UserData::named("alice") },
            ),
            (r#"{"event":"user_leave","user":"alice"}"#, Body::UserLeave { user: alice() }),
            (
                r#"{"event":"message","user":"alice","content":""}"#,
                Body::Message { user: alice(), content: String::new() },
            ),
            (
                r#"{"event":"pm","user":"alice","content":"hé"}"#,
                Body::Pm { user: alice(), content: "hé".into() },
            ),
            (
                r#"{"event":"user_count","usercount":3,"connected":5}"#,
                Body::UserCount { usercount: 3, connected: Some(5) },
            ),
            (
                r#"{"event":"user_count","usercount":{"count":3}}"#,
                Body::UserCount { usercount: 3, connected: None },
            ),
            (
                r#"{"event":"user_list","users":[{"username":"alice","rank":1.5},"bob",{"name":"cy"}]}"#,
                Body::UserList { users: vec![data, UserData::named("bob"), UserData::named("cy")] },
            ),
            (r#"{"event":"connect","connected":true}"#, Body::Connect),
            (r#"{"event":"disconnect","reason":"ping"}"#, Body::Disconnect { reason: Some("ping".into()) }),
            (r#"{"event":"kicked"}"#, Body::Kicked { reason: None }),
        ] {
            assert_eq!(body(line), expected, "{line}");
        }
    }

    #[test]
    fn time_and_identity_are_taken_where_they_mean_something() {
        let at = |time: &str| {
            let line = format!(r#"{{"event":"connect","timestamp":{time}}}"#);
            parse(line.as_bytes()).expect(time).recorded_at
        };
        assert_eq!(at("1700000000"), Some(1_700_000_000_000));
        assert_eq!(at("1700000000.5"), Some(1_700_000_000_500));
        assert_eq!(at("1700000000500"), Some(1_700_000_000_500));
        for nothing in ["0", "-1", "null", "\"soon\"", "[]", "true"] {
            assert_eq!(at(nothing), None, "{nothing}");
        }
        let id = |id: &str| parse(format!(r#"{{"event":"connect","id":{id}}}"#).as_bytes()).expect(id).id;
        assert_eq!(
            (id("\"x\"").as_deref(), id("17").as_deref(), id("\"\""), id("null")),
            (Some("x"), Some("17"), None, None)
        );
        assert_eq!((id("\"17\""), id("1e2").as_deref()), (id("17"), Some("1e2")));
        assert_ne!(id("12345678901234567890123"), id("12345678901234567890124"));
    }

    #[test]
    fn a_hostile_line_is_refused_with_a_short_printable_reason() {
        let deep = format!(r#"{{"event":"connect","x":{}"#, "[".repeat(200_000));
        let long = format!(r#"{{"event":"{}"}}"#, "x".repeat(100_000));
        for (line, reason) in [
            (&b"{"[..], "not JSON"),
            (b"[1]", "not a JSON object"),
            (b"null", "not a JSON object"),
            (b"{}", "event: is missing"),
            (b"{\"event\":7}", "event: expected a string"),
            (b"{\"event\":\"explode\"}", "unknown event `explode`"),
            (b"{\"event\":\"error\"}", "unknown event `error`"),
            (b"{\"event\":\"user_join\"}", "user: is missing"),
            (b"{\"event\":\"user_join\",\"user\":\"\"}", "user: a name is empty"),
            (b"{\"event\":\"user_leave\",\"user\":7}", "user: expected a string, not 7"),
            (b"{\"event\":\"user_leave\",\"user\":null}", "user: is missing"),
            (b"{\"event\":\"message\",\"user\":\"a\"}", "content: is missing"),
            (b"{\"event\":\"message\",\"user\":\"a\",\"content\":{}}", "content: expected"),
            (b"{\"event\":\"message\",\"user\":\"a\",\"content\":\"a\\u0000b\"}", "content: contains NUL"),
            (b"{\"event\":\"message\",\"user\":\"a\\u0000\",\"content\":\"x\"}", "user: contains NUL"),
            (b"{\"event\":\"message\",\"user\":\"a\",\"content\":\"a\0b\"}", "not JSON"),
            (b"{\"event\":\"message\",\"user\":\"\xff\",\"content\":\"x\"}", "not UTF-8"),
            (b"{\"event\":\"message\",\"user\":\"\\ud800\",\"content\":\"x\"}", "user: expected"),
            (b"{\"event\":\"user_count\"}", "usercount: is missing"),
            (b"{\"event\":\"user_count\",\"usercount\":-1}", "usercount: expected"),
            (b"{\"event\":\"user_count\",\"usercount\":\"3\"}", "usercount: expected"),
            (b"{\"event\":\"user_count\",\"usercount\":3,\"connected\":1e99}", "connected: expected"),
            (b"{\"event\":\"user_list\",\"users\":{}}", "users: expected"),
            (b"{\"event\":\"user_list\",\"users\":[7]}", "users: expected"),
            (b"{\"event\":\"user_list\",\"users\":[\"\"]}", "users: a name is empty"),
            (b"{\"event\":\"connect\",\"id\":{}}", "id: expected"),
            (b"{\"event\":\"connect\"} {\"event\":\"connect\"}", "not JSON"),
            (deep.as_bytes(), "not JSON"),
            (long.as_bytes(), "unknown event"),
        ] {
            let shown = String::from_utf8_lossy(&line[..line.len().min(60)]).into_owned();
            let refused = parse(line).expect_err(&shown);
            assert!(refused.contains(reason), "{shown}: {refused}");
            assert!(refused.len() < 300 && !refused.contains(char::is_control), "{shown}: {refused}");
        }
    }
}
