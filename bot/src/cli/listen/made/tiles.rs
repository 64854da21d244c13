//! The numbers of the board.

use super::super::super::{human, number::counted};
use super::super::board::{Level, Line, Tile};
use super::super::flow::{Flow, Stretch, Totals};
use super::super::snapshot::{Bot, Database, Ended, Outbox, Room, Snapshot};
use super::is_client;

/// A commit that takes this long is slow, in seconds.
const SLOW: f64 = 0.1;
/// What waits for longer has to be looked at, in milliseconds.
const LONG: i64 = 60_000;

/// Those that this process has.
pub(super) fn of(now: &Snapshot, flow: &Flow) -> Vec<Tile> {
    let mut tiles = vec![operations(now, flow)];
    tiles.push(if is_client(now) { latency(flow) } else { of_service(flow) });
    tiles.extend(stream(now, flow));
    let commit = commits(&now.rooms, flow);
    if let [one] = now.rooms.as_slice() {
        tiles.extend(of_room(one, now.at, flow, commit));
        return tiles;
    }
    tiles.extend(commit);
    for room in &now.rooms {
        let of = now.in_front_of(room);
        // What is drawn is that of all rooms together.
        let named = |tile: Tile| Tile { name: format!("{of}{}", tile.name), lines: Vec::new(), ..tile };
        tiles.extend(of_room(room, now.at, flow, None).into_iter().map(named));
    }
    tiles
}

/// Those of a room, and one more among them.
fn of_room(room: &Room, now: i64, flow: &Flow, commit: Option<Tile>) -> Vec<Tile> {
    let mut tiles: Vec<Tile> = room.ended.as_ref().map(ended).into_iter().collect();
    tiles.extend(room.outbox().map(|outbox| of_outbox(outbox, now, flow)));
    tiles.extend(commit);
    tiles.extend(room.database.as_ref().map(|database| dead_letters(database, now)));
    tiles.extend(room.bot.as_ref().map(|bot| chat(bot, now)));
    tiles.extend(room.bot.as_ref().filter(|_| room.ended.is_none()).and_then(turn));
    tiles.extend(room.database.as_ref().and_then(file));
    tiles
}

/// A room that has ended while others go on.
fn ended(ended: &Ended) -> Tile {
    let level = if ended.exit == 0 { Level::Fine } else { Level::Warn };
    Tile { level, ..tile("Room", "ended".to_owned(), ended.why.clone()) }
}

fn tile(name: &str, value: String, note: String) -> Tile {
    Tile { name: name.to_owned(), value, note, level: Level::Fine, lines: Vec::new() }
}

fn line(name: &str, flow: &Flow, of: impl Fn(&Stretch) -> f64) -> Line {
    Line { name: name.to_owned(), values: flow.columns(of) }
}

/// A rate by the path that served.
type Part = (&'static str, fn(&Totals) -> f64);

fn operations(now: &Snapshot, flow: &Flow) -> Tile {
    let is_client = is_client(now);
    let parts: &[Part] = if is_client {
        &[("NATS", |done| done.nats), ("database", |done| done.db), ("outbox", |done| done.outbox)]
    } else {
        &[("service", |done| done.done)]
    };
    let whole = flow.whole();
    let all: f64 = parts.iter().map(|(_, of)| of(&whole.done)).sum();
    let share = |(name, of): &Part| {
        let share = 100.0 * of(&whole.done) / all;
        (share > 0.0).then(|| format!("{name} {} %", human::number(share)))
    };
    let shares: Vec<String> = parts.iter().filter_map(share).collect();
    let note = match (all > 0.0, is_client) {
        (false, _) => "none in ten minutes".to_owned(),
        (true, true) => shares.join(", "),
        (true, false) => format!("{} in ten minutes", human::number(all)),
    };
    let rate: f64 = parts.iter().map(|(_, of)| flow.now().per_second(of)).sum();
    let lines = parts.iter().map(|(name, of)| line(name, flow, |column| column.per_second(of))).collect();
    Tile { lines, ..tile("Operations", format!("{} / s", human::number(rate)), note) }
}

/// How long the bot's operations took, whatever path they went; drawn in the colour of the path that served most at the time.
fn latency(flow: &Flow) -> Tile {
    let paths = ["NATS", "database", "outbox"].into_iter().enumerate();
    let lines = paths.map(|(place, name)| line(name, flow, |column| column.slow(place))).collect();
    let taken = |of: Stretch| Some((of.quantile(0.5)?, of.quantile(0.99)?));
    let (value, note) = match (taken(flow.now()), taken(flow.whole())) {
        (Some((half, nearly_all)), _) => {
            (human::takes(nearly_all), format!("for 99 %; half within {}", human::takes(half)))
        }
        (None, Some((_, nearly_all))) => {
            ("–".to_owned(), format!("none just now; 99 % within {} before", human::takes(nearly_all)))
        }
        (None, None) => ("–".to_owned(), "none in ten minutes".to_owned()),
    };
    Tile { lines, ..tile("Latency", value, note) }
}

/// How long the service took, from the arrival of an operation to its end.
fn of_service(flow: &Flow) -> Tile {
    let (value, note) = match (flow.now().served(), flow.whole().served()) {
        (Some(took), _) => (human::takes(took), "on average"),
        (None, Some(_)) => ("–".to_owned(), "none just now"),
        (None, None) => ("–".to_owned(), "none in ten minutes"),
    };
    let millis = |column: &Stretch| column.served().unwrap_or_default() * 1000.0;
    Tile { lines: vec![line("service", flow, millis)], ..tile("Latency", value, note.to_owned()) }
}

fn waits(oldest: Option<i64>, now: i64) -> (Level, String) {
    match oldest.map(|oldest| now - oldest) {
        Some(age) => {
            let level = if age > LONG { Level::Bad } else { Level::Warn };
            (level, format!("the oldest for {}", human::lasting(age)))
        }
        None => (Level::Fine, "none waits".to_owned()),
    }
}

/// What is acknowledged and not applied.
fn stream(now: &Snapshot, flow: &Flow) -> Option<Tile> {
    let services = now.service.iter().flat_map(|service| &service.services);
    let streams: Vec<_> = services.filter_map(|one| one.stream.as_ref()).collect();
    if streams.is_empty() {
        return None;
    }
    let messages: u64 = streams.iter().map(|stream| stream.messages).sum();
    let oldest = streams.iter().filter_map(|stream| stream.oldest).min().filter(|_| messages > 0);
    let (level, note) = waits(oldest, now.at);
    // Under load there is always some on its way.
    let level = match oldest {
        Some(oldest) if now.at - oldest < 5000 => Level::Fine,
        _ => level,
    };
    let tile = tile("Stream, not applied", human::grouped(messages), note);
    Some(Tile { level, lines: vec![line("messages", flow, |column| column.stream)], ..tile })
}

fn of_outbox(outbox: &Outbox, now: i64, flow: &Flow) -> Tile {
    let counts = outbox.counts;
    let (mut level, mut note) = waits(outbox.oldest, now);
    if counts.waiting > 0 && outbox.oldest.is_none() {
        (level, note) = (Level::Warn, human::size(counts.bytes));
    }
    for (count, what) in [(counts.refused, "refused"), (counts.expired, "too old")] {
        if count > 0 {
            note = format!("{note}; {} {what}", human::grouped(count));
            level = level.max(Level::Warn);
        }
    }
    let tile = tile("Outbox", human::grouped(counts.waiting), note);
    Tile { level, lines: vec![line("events", flow, |column| column.outbox)], ..tile }
}

/// Of the writers of all databases.
fn commits(rooms: &[Room], flow: &Flow) -> Option<Tile> {
    let databases: Vec<&Database> = rooms.iter().filter_map(|room| room.database.as_ref()).collect();
    if databases.is_empty() {
        return None;
    }
    let last = flow.now();
    let (took, held) = last.commit().or_else(|| flow.whole().commit()).unwrap_or_default();
    let note = match last.commit() {
        Some(_) => {
            let rate = human::number(last.per_second(|done| done.commits));
            format!("{}, {rate} commits / s", each(held))
        }
        None if took > 0.0 => format!("{}, none just now", each(held)),
        None => "none yet".to_owned(),
    };
    let failing =
        databases.iter().any(|database| database.writer.failing.is_some() || database.trouble.is_some());
    let level = match (failing, took > SLOW) {
        (true, _) => Level::Bad,
        (false, true) => Level::Warn,
        (false, false) => Level::Fine,
    };
    let took = if took > 0.0 { human::takes(took) } else { "–".to_owned() };
    let millis = |column: &Stretch| column.commit().map_or(0.0, |(seconds, _)| seconds * 1000.0);
    Some(Tile { level, lines: vec![line("ms", flow, millis)], ..tile("Commit", took, note) })
}

/// How many operations a commit holds.
fn each(held: f64) -> String {
    match human::number(held).as_str() {
        "1" | "1.0" => "1 operation each".to_owned(),
        held => format!("{held} operations each"),
    }
}

fn dead_letters(database: &Database, now: i64) -> Tile {
    let Some(count) = database.seldom.dead_letters else {
        return tile("Dead letters", "–".to_owned(), "not known at present".to_owned());
    };
    let last = database.letters.iter().map(|group| group.last).max();
    let note = match last.filter(|_| count > 0) {
        Some(last) => format!("the newest {} ago", human::lasting(now - last)),
        None => "none".to_owned(),
    };
    let level = if count > 0 { Level::Warn } else { Level::Fine };
    Tile { level, ..tile("Dead letters", human::grouped(count), note) }
}

fn chat(bot: &Bot, now: i64) -> Tile {
    let value = bot
        .last_event
        .map_or_else(|| "none yet".to_owned(), |last| format!("{} ago", human::lasting(now - last)));
    let handled: u64 = bot.events.values().sum();
    let mut note = counted(handled, "event");
    let failed = bot.operations_failed.saturating_sub(bot.operations_refused);
    let mut level = Level::Fine;
    for (count, what) in [
        (failed, "operations failed"),
        (bot.messages_undelivered, "undelivered"),
        (bot.bad_lines, "bad lines"),
    ] {
        if count > 0 {
            note = format!("{note}, {} {what}", human::grouped(count));
            level = Level::Warn;
        }
    }
    Tile { level, ..tile("Last event of the chat", value, note) }
}

/// Which of the bots in a room this one is; nothing while it leads, as one that is alone.
fn turn(bot: &Bot) -> Option<Tile> {
    let (value, level, note) = match (bot.role?, &bot.leader) {
        ("watches", Some(leader)) => {
            ("watches", Level::Fine, format!("{leader} leads; takes over if that one goes"))
        }
        ("unknown", _) => ("silent", Level::Warn, "the database does not say which bot leads".to_owned()),
        _ => return None,
    };
    Some(Tile { level, ..tile("Room", value.to_owned(), note) })
}

fn file(database: &Database) -> Option<Tile> {
    let seldom = &database.seldom;
    let size = human::size(seldom.file_bytes?);
    let log = human::size(seldom.log_bytes.unwrap_or_default());
    let free = seldom.disk_free_bytes.map_or_else(|| "?".to_owned(), human::size);
    Some(tile("Database file", size, format!("log {log}, {free} free on the disk")))
}
