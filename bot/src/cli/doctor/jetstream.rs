//! JetStream: its limits, our stream, and the server's clock.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::args::DoctorArgs;
use super::super::number::{counted, wait};
use super::connection::Connection;
use super::finding::Findings;
use crate::op::Op;
use eitherway::clock;
use eitherway::operation::{Kind, Operation};

/// Clocks that differ by more than this refuse events of each other.
const APART: i64 = 60_000;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Account {
    storage: u64,
    streams: i64,
    limits: Limits,
    error: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Limits {
    max_storage: i64,
    max_streams: i64,
    max_bytes_required: bool,
}

pub(super) async fn look(
    args: &DoctorArgs,
    connection: &Connection,
    offered: bool,
    is_bot: bool,
    findings: &mut Findings,
) {
    const NAME: &str = "jetstream";
    if !offered {
        return findings.warn(
            NAME,
            "the server has none: events are acknowledged when they are committed, and wait nowhere while no service runs",
            "start it with -js to have a stream for them",
        );
    }
    let Some(answer) = connection.ask("$JS.API.INFO".to_owned(), String::new()).await else {
        if is_bot {
            return findings.ok(NAME, "its limits are not told to this user, and only a service needs them");
        }
        return findings.warn(
            NAME,
            "it is not told what this account may have",
            "allow the service's user to publish to $JS.API.>, or say --jetstream off to the service",
        );
    };
    let account: Account = serde_json::from_slice(&answer).unwrap_or_default();
    if let Some(error) = account.error {
        let why = error["description"].as_str().unwrap_or("it refuses");
        return findings.warn(NAME, format!("not for this account: {why}"), "enable it for the account");
    }
    let Limits { max_storage, max_streams, max_bytes_required } = account.limits;
    let unlimited = |limit: i64| if limit < 0 { "no limit".to_owned() } else { format!("of {limit}") };
    let said = format!(
        "{} bytes stored ({}), {} ({})",
        account.storage,
        unlimited(max_storage),
        counted(account.streams.unsigned_abs(), "stream"),
        unlimited(max_streams)
    );
    let wanted = args.stream_max_bytes;
    let stream = stream(connection).await;
    if max_bytes_required && wanted.is_none() && stream.is_none() {
        findings.fail(
            NAME,
            said,
            "the account wants a size for each stream: say --stream-max-bytes to the service",
        );
    } else if wanted.is_some_and(|wanted| max_storage >= 0 && wanted > max_storage) {
        findings.fail(
            NAME,
            said,
            "the account allows less than --stream-max-bytes: lower that, or raise the limit",
        );
    } else if stream.is_none() && max_streams >= 0 && account.streams >= max_streams {
        findings.fail(NAME, said, "the account may have no stream more: raise max_streams");
    } else {
        findings.ok(NAME, said);
    }
    if let Some(stream) = stream {
        of_stream(&stream, findings);
    }
}

/// What is told of the stream that takes our events, if there is one.
async fn stream(connection: &Connection) -> Option<Value> {
    let event = Op::SPECS.iter().find(|spec| spec.kind == Kind::Event)?;
    let asked = json!({"subject": connection.namespace.subject(event.subject)}).to_string();
    let names = connection.ask("$JS.API.STREAM.NAMES".to_owned(), asked).await?;
    let names: Value = serde_json::from_slice(&names).ok()?;
    let name = names["streams"].get(0)?.as_str()?;
    let info = connection.ask(format!("$JS.API.STREAM.INFO.{name}"), String::new()).await?;
    serde_json::from_slice(&info).ok().filter(|info: &Value| info["error"].is_null())
}

fn of_stream(stream: &Value, findings: &mut Findings) {
    let (name, state) = (stream["config"]["name"].as_str().unwrap_or_default(), &stream["state"]);
    let window = stream["config"]["duplicate_window"].as_u64().unwrap_or_default() / 1_000_000_000;
    findings.ok(
        "stream",
        format!(
            "{name}: {}, {} bytes, held by {}, ids known for {window} s",
            wait(state["messages"].as_u64().unwrap_or_default(), "message"),
            state["bytes"],
            counted(stream["config"]["num_replicas"].as_u64().unwrap_or(1), "server")
        ),
    );
    let Some(at) = stream["ts"].as_str().and_then(clock::millis_of_rfc3339) else { return };
    let apart = clock::now() - at;
    if apart.abs() > APART {
        findings.fail(
            "clock",
            format!("this machine and the NATS server are {} s apart", apart / 1000),
            "let both follow a time server (chrony, systemd-timesyncd)",
        );
    } else {
        findings.ok("clock", format!("{} ms from the NATS server's", apart));
    }
}
