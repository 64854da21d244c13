//! `rosey dead`: what could not be understood or applied, for a person to look at, to offer again, or to drop. Works on
//! the database itself, beside a service that runs.

use async_nats::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::{ArgAction, Args, Subcommand};
use eitherway_layers::{Class, Classify};
use serde_json::map::Entry;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::args::{Global, StoreArgs};
use super::exit::{Exit, Failure};
use super::number::counted;
use super::shown::{clean, time};
use super::{confirm, console};
use crate::op::{Op, Request};
use eitherway::__private::{bundle, wire};
use eitherway::clock;
use eitherway::error::{Cause, Code};
use eitherway::operation::{Kind, Operation};
use eitherway::request::{Head, OpId};
use eitherway::sql::{DeadLetters, SqlService, StoredDeadLetter};

#[derive(Debug, Args)]
pub(super) struct DeadArgs {
    #[command(subcommand)]
    pub(super) command: DeadCommand,
    #[command(flatten)]
    pub(super) store: StoreArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum DeadCommand {
    /// List the newest letters, with the reason of each
    List {
        /// The number of letters
        #[arg(short = 'n', long, default_value = "50", value_name = "N")]
        letters: u32,
    },
    /// Show a letter with its headers and its payload
    Show {
        /// Its number
        #[arg(value_parser = number)]
        id: i64,
    },
    /// Apply letters again, as the service would; those that are applied are removed. Letters older than 7 days are
    /// refused
    Retry(DeadWhich),
    /// Remove letters permanently
    Drop {
        #[command(flatten)]
        which: DeadWhich,
        /// With --all: remove without asking
        #[arg(long, env = "ROSEY_YES", value_parser = crate::cli::args::yes_or_no, action = ArgAction::SetTrue)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct DeadWhich {
    /// Their numbers
    #[arg(value_name = "ID", value_parser = number)]
    pub(super) ids: Vec<i64>,
    /// All of them
    #[arg(long)]
    pub(super) all: bool,
}

fn number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| "expected the number of a dead letter, as `rosey dead list` shows it".to_owned())
}

/// A letter that is older is not offered again: the ledger may have forgotten what had been done by then.
const OLDEST: i64 = 7 * 24 * 60 * 60 * 1000;

pub(super) async fn run(global: &Global, args: DeadArgs) -> Result<Exit, Failure> {
    let database = args.store.database.asking();
    let db = database.open().await?;
    let exit = match database.named_or_usual()?.letters().await {
        Ok(mut letters) => {
            let exit = command(global, &db, &mut letters, &args.command).await;
            letters.close().await;
            exit
        }
        Err(cause) => Err(unserved(&cause)),
    };
    db.close().await;
    exit
}

async fn command(
    global: &Global,
    db: &SqlService<Op>,
    letters: &mut DeadLetters,
    command: &DeadCommand,
) -> Result<Exit, Failure> {
    match command {
        DeadCommand::List { letters: most } => {
            let list = letters.list(*most).await.map_err(|e| unserved(&e))?;
            if global.json {
                console::print_json(&list.iter().map(as_json).collect::<Vec<_>>());
            } else if list.is_empty() {
                console::print("no dead letters");
            } else {
                console::print(list.iter().map(line).collect::<Vec<_>>().join("\n"));
            }
            Ok(Exit::Ok)
        }
        DeadCommand::Show { id } => {
            let letter =
                letters.show(*id).await.map_err(|e| unserved(&e))?.ok_or_else(|| missing(&id.to_string()))?;
            if global.json {
                console::print_json(&as_json(&letter));
            } else {
                console::print(whole(&letter));
            }
            Ok(Exit::Ok)
        }
        DeadCommand::Drop { which, yes } => {
            let ids = chosen(letters, which).await?;
            let what = counted(ids.len() as u64, "dead letter");
            // Those named one by one were looked at; all of them may be more than were looked at.
            if which.all && !ids.is_empty() {
                confirm::removal(global, *yes, &what, "would be removed permanently")?;
            }
            let mut missing = Vec::new();
            let mut removed = 0_u64;
            for id in ids {
                let dropped = letters.drop_letter(id).await.map_err(|e| unserved(&e))?;
                say(global, id, if dropped { "dropped" } else { "not there" }, None);
                if dropped {
                    removed += 1;
                } else {
                    missing.push(id.to_string());
                }
            }
            if which.all {
                if global.json {
                    console::print_json(&json!({"dropped": removed}));
                } else {
                    console::print(format!("{} dropped", counted(removed, "dead letter")));
                }
            }
            none_missing(&missing)
        }
        DeadCommand::Retry(which) => {
            let mut failed: Vec<(i64, Cause)> = Vec::new();
            let mut missing = Vec::new();
            for id in chosen(letters, which).await? {
                match retry(db, letters, id).await {
                    Ok(true) => say(global, id, "applied, and removed from the dead letters", None),
                    Ok(false) => {
                        say(global, id, "not there", None);
                        missing.push(id.to_string());
                    }
                    Err(cause) => {
                        say(global, id, "still here", Some(&cause));
                        failed.push((id, cause));
                    }
                }
            }
            if failed.is_empty() { none_missing(&missing) } else { still_here(&failed) }
        }
    }
}

/// The letters that are meant.
async fn chosen(letters: &mut DeadLetters, which: &DeadWhich) -> Result<Vec<i64>, Failure> {
    match (which.all, which.ids.as_slice()) {
        (true, []) => letters.ids().await.map_err(|e| unserved(&e)),
        (false, ids) if !ids.is_empty() => Ok(ids.to_vec()),
        _ => Err(Failure::new(Exit::Usage, "say which letters, by number, or --all of them")),
    }
}

/// Offers a letter again, as the service would read it. However often: it has one id. False if there is no such letter.
pub(super) async fn retry(db: &SqlService<Op>, letters: &mut DeadLetters, id: i64) -> Result<bool, Cause> {
    let invalid = |why: String| Cause::new(Code::INVALID, why);
    let Some(letter) = letters.show(id).await? else { return Ok(false) };
    if letter.at < clock::now() - OLDEST {
        let why = "it is older than 7 days: whether it has been done since cannot be told any more";
        return Err(invalid(why.to_owned()));
    }
    if bundle::is_stored::<Op>(&letter.subject) {
        retry_bundle(db, &letter).await?;
        return letters.drop_letter(id).await.map(|_| true);
    }
    let index = Op::SPECS.iter().position(|spec| spec.is_subject(&letter.subject));
    let index = index.ok_or_else(|| invalid(format!("no operation has the subject {:?}", letter.subject)))?;
    if !Op::SPECS[index].writes() || Op::SPECS[index].answer_is_list() {
        return Err(invalid("it asks for an answer, and its sender no longer waits for one".to_owned()));
    }
    if letter.dropped().is_some() {
        return Err(invalid(
            "it stands for letters that were dropped, and nothing of them is left to offer".to_owned(),
        ));
    }
    let mut headers = HeaderMap::new();
    // Of a header that could not be read, what can be read of it counts.
    for (name, value) in letter.readable_headers() {
        let name: async_nats::HeaderName =
            name.parse().map_err(|e| invalid(format!("the header {name:?}: {e}")))?;
        let value: async_nats::HeaderValue = value.parse().map_err(|e| invalid(format!("a header: {e}")))?;
        headers.append(name, value);
    }
    let own_id = || OpId::derived(letter.at, "dead letter", &format!("{} {id}", db.database()));
    // A retry is done however late: no caller waits for its answer.
    let head = Head { deadline: None, ..wire::head_or(Some(&headers), &letter.payload, letter.at, own_id)? };
    let request = Request::with_head(head, Op::decode(index, &letter.payload)?);
    db.clone().oneshot(request).await.map_err(|error| error.cause().clone())?;
    // Dying here leaves the letter, and what it asks for done: offered again, it has no second effect.
    letters.drop_letter(id).await.map(|_| true)
}

/// Applies each event of a bundle that an instance has set aside which did not know bundles. What is refused does not keep the rest
/// from it.
async fn retry_bundle(db: &SqlService<Op>, letter: &StoredDeadLetter) -> Result<(), Cause> {
    let mut refused = None;
    for entry in bundle::read(&letter.payload, letter.at)? {
        let index = Op::SPECS.iter().position(|spec| spec.name == entry.name && spec.kind == Kind::Event);
        let payload = &letter.payload[entry.payload];
        let done = async {
            let index = index.ok_or_else(|| Cause::new(Code::INVALID, "no event has this name"))?;
            let head = Head { deadline: None, ..entry.head? };
            let request = Request::with_head(head, Op::decode(index, payload)?);
            db.clone().oneshot(request).await.map_err(|error| error.cause().clone())
        };
        if let Err(cause) = done.await {
            refused = Some(Cause::new(cause.code(), format!("{} of the bundle: {cause}", entry.name)));
        }
    }
    refused.map_or(Ok(()), Err)
}

/// How a retry ends of which these failed: what could not be served weighs more than what was refused.
fn still_here(failed: &[(i64, Cause)]) -> Result<Exit, Failure> {
    let is_unserved = |(_, cause): &&(i64, Cause)| cause.class() != Class::Rejected;
    let Some((id, cause)) = failed.iter().find(is_unserved).or_else(|| failed.first()) else {
        return Ok(Exit::Ok);
    };
    let exit = if cause.class() == Class::Rejected { Exit::Refused } else { Exit::Unserved };
    let why = match failed.len() {
        1 => format!("dead letter {id} was not applied: {cause}"),
        n => format!("{n} dead letters were not applied; {id}: {cause}"),
    };
    Err(Failure::because(exit, cause, why))
}

fn say(global: &Global, id: i64, what: &str, cause: Option<&Cause>) {
    match (global.json, cause) {
        (true, cause) => console::print_json(&json!({
            "id": id, "done": cause.is_none() && what != "not there", "code": cause.map(|c| c.code().name),
            "reason": cause.map(ToString::to_string)})),
        (false, None) => console::print(format!("{id}: {what}")),
        (false, Some(cause)) => console::print(format!("{id}: {what}: {}", clean(&cause.to_string()))),
    }
}

fn line(letter: &StoredDeadLetter) -> String {
    let name = name(letter);
    format!("{:>6}  {}  {name:<20}  {}", letter.id, time(clock::seconds(letter.at)), clean(&letter.reason))
}

fn whole(letter: &StoredDeadLetter) -> String {
    let mut text = format!(
        "letter      {}\ntaken       {}\noperation   {}\nsubject     {}\nreason      {}",
        letter.id,
        time(clock::seconds(letter.at)),
        name(letter),
        clean(&letter.subject),
        clean(&letter.reason)
    );
    for (name, value) in &letter.headers {
        text.push_str(&format!("\nheader      {}: {}", clean(name), clean(value)));
    }
    if std::str::from_utf8(&letter.payload).is_err() {
        text.push_str(&format!("\n\nnot text; in base64: {}", BASE64.encode(&letter.payload)));
        return text;
    }
    text.push_str(&format!("\n\n{}", clean(&String::from_utf8_lossy(&letter.payload))));
    text
}

fn name(letter: &StoredDeadLetter) -> &'static str {
    Op::SPECS.iter().find(|spec| spec.is_subject(&letter.subject)).map_or("(unknown)", |spec| spec.name)
}

fn as_json(letter: &StoredDeadLetter) -> Value {
    let mut headers = serde_json::Map::new();
    for (name, value) in letter.readable_headers() {
        match headers.entry(name) {
            Entry::Vacant(new) => drop(new.insert(value.as_str().into())),
            // As of old one text; several, if the name comes more than once.
            Entry::Occupied(mut known) => match known.get_mut() {
                Value::Array(values) => values.push(value.as_str().into()),
                first => *first = Value::from(vec![first.take(), value.as_str().into()]),
            },
        }
    }
    let mut shown = json!({
        "id": letter.id, "at": letter.at, "operation": name(letter), "subject": letter.subject, "code": letter.code,
        "reason": letter.reason, "headers": headers, "payload": String::from_utf8_lossy(&letter.payload)});
    // What is no text is shown as it is beside that.
    if let Some(bytes) = letter.unread_header() {
        shown["header_base64"] = bytes.into();
    }
    if std::str::from_utf8(&letter.payload).is_err() {
        shown["payload_base64"] = BASE64.encode(&letter.payload).into();
    }
    shown
}

fn missing(ids: &str) -> Failure {
    Failure::new(Exit::Failed, format!("there is no dead letter {ids}"))
}

/// How a command ends of whose letters these are not there.
fn none_missing(ids: &[String]) -> Result<Exit, Failure> {
    if ids.is_empty() { Ok(Exit::Ok) } else { Err(missing(&ids.join(", "))) }
}

fn unserved(cause: &Cause) -> Failure {
    Failure::of(Exit::Unserved, cause)
}
