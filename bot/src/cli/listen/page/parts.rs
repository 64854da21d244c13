//! The sections of the page.

use maud::{Markup, html};

use super::super::super::{human, number::counted, secrets, shown};
use super::super::act::{Act, Force, What};
use super::super::board::{Board, Letters, Level, Problem, Route, Step, StepState, Tile, words};
use super::spark;
use eitherway::clock;

/// Text of others: without passwords, and without characters that nobody sees.
fn said(text: &str) -> String {
    shown::clean(&secrets::hide(text))
}

const fn class(level: Level) -> &'static str {
    match level {
        Level::Fine => "fine",
        Level::Warn => "warn",
        Level::Bad => "bad",
    }
}

/// A time, with its date for whoever asks.
fn time(at: i64, now: i64) -> Markup {
    html! { time datetime=(clock::rfc3339(at)) title=(clock::rfc3339(at)) { (human::moment(at, now)) } }
}

pub(super) fn top(board: &Board) -> Markup {
    html! {
        p { "version " (board.version) }
        p { "up " (human::lasting(board.at - board.started)) }
        p { "as of " (time(board.at, board.at)) " UTC" }
    }
}

/// Is it well, and since when. Only a change of it is read aloud.
pub(super) fn verdict(board: &Board) -> Markup {
    html! {
        div class={ "verdict " (class(board.level)) } {
            span.lamp aria-hidden="true" {}
            div {
                h1 { span role="status" { (said(&board.said)) } }
                p { "since " (time(board.since, board.at)) span.ago { " · " (human::lasting(board.at - board.since)) } }
            }
        }
    }
}

pub(super) fn problems(board: &Board) -> Markup {
    html! {
        @for problem in &board.problems { (a_problem(problem, board.at)) }
    }
}

fn a_problem(problem: &Problem, now: i64) -> Markup {
    html! {
        article class={ "problem " (class(problem.level)) } {
            h2 {
                (said(&problem.title))
                @if let Some(since) = problem.since {
                    span.since { "since " (time(since, now)) span.ago { " · " (human::lasting(now - since)) } }
                }
            }
            p { (said(&problem.why)) }
            @if !problem.advice.is_empty() {
                p.advice { strong { "What to do: " } (code(&problem.advice)) }
            }
        }
    }
}

/// Text of ours, in which commands stand between back-ticks.
fn code(text: &str) -> Markup {
    html! {
        @for (n, part) in text.split('`').enumerate() {
            @if n % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

pub(super) fn tiles(board: &Board) -> Markup {
    html! {
        dl.tiles {
            @for tile in &board.tiles { (a_tile(tile)) }
        }
    }
}

fn a_tile(tile: &Tile) -> Markup {
    html! {
        div class={ "tile " (class(tile.level)) } {
            dt { (tile.name) @if tile.level != Level::Fine { span.mark { " (look at it)" } } }
            dd.value { (tile.value) }
            dd.note { (tile.note) }
            dd.drawing { (spark::drawn(&tile.name, &tile.lines)) }
        }
    }
}

pub(super) fn routes(board: &Board, may_act: bool) -> Markup {
    if board.routes.is_empty() {
        return html! {};
    }
    html! {
        h2 { "Paths" }
        div.routes {
            @for route in &board.routes { (a_route(route, board.at)) }
        }
        @for circuit in &board.circuits {
            @let events = circuit.name == "events";
            p.circuit {
                (of(&circuit.room)) "Circuit of " (if events { "events" } else { "calls and queries" }) " to NATS: "
                strong class={ "state " (circuit.state) } { (words::circuit(&circuit.state)) }
                @if may_act {
                    span.acts {
                        @for (to, word, state) in [
                            (Force::Open, "force open", "forced_open"),
                            (Force::Closed, "force closed", "forced_closed"),
                            (Force::Automatic, "let it decide", ""),
                        ] {
                            @let forced = circuit.state.starts_with("forced");
                            @if circuit.state != state && (to != Force::Automatic || forced) {
                                @let act = Act { room: circuit.room.clone(), what: What::Circuit { events, to } };
                                (link(&format!("{}-{}", circuit.name, to.name()), &act, word))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn a_route(route: &Route, now: i64) -> Markup {
    html! {
        div.route {
            h3 { (route.what) }
            ol {
                @for step in &route.steps { (a_step(step, route.since, now)) }
            }
            @for step in &route.steps {
                @if let Some(why) = &step.why { p.why { strong { (step.name) ": " } (said(why)) } }
            }
        }
    }
}

fn a_step(step: &Step, since: Option<i64>, now: i64) -> Markup {
    let (class, word) = match step.state {
        StepState::Serves => ("serves", "serves"),
        StepState::Broken => ("broken", "does not serve"),
        StepState::Next => ("next", "would be next"),
    };
    let since = since.filter(|_| step.state == StepState::Serves);
    html! {
        li class=(class) title=[since.map(|since| format!("since {}", human::moment(since, now)))] {
            span.dot aria-hidden="true" {}
            (step.name)
            span.hidden { " " (word) }
        }
    }
}

/// What waits for a person.
pub(super) fn aside(board: &Board, may_act: bool) -> Markup {
    if board.letters.is_empty() && board.aside.is_empty() {
        return html! {};
    }
    html! {
        h2 { "Set aside" }
        @for outbox in &board.aside {
            p {
                (of(&outbox.room)) "Outbox: " (counted(outbox.refused, "event")) " refused, "
                (human::grouped(outbox.expired)) " too old. " code { "rosey outbox" } " lists them."
                @if may_act && outbox.refused > 0 {
                    @let act = Act { room: outbox.room.clone(), what: What::Outbox };
                    span.acts { (link("retry-outbox", &act, "offer the refused again")) }
                }
            }
        }
        @if !board.letters.is_empty() {
            p { "Dead letters: messages that could not be understood or applied. " code { "rosey dead list" } " shows each." }
            ul.letters {
                @for group in &board.letters { (a_group(group, board.at, may_act)) }
            }
        }
    }
}

fn a_group(group: &Letters, now: i64, may_act: bool) -> Markup {
    let act = |drop| {
        let (subject, code) = (group.subject.clone(), group.code.clone());
        Act { room: group.room.clone(), what: What::Letters { drop, subject, code, newest: group.newest } }
    };
    let what = format!("{}{} · {}", of(&group.room), group.operation, said(&group.code));
    html! {
        li {
            h3 { span.count { (human::grouped(group.count)) } " " (what) }
            p { (said(&group.reason)) }
            p.when {
                @if group.first != group.last { (time(group.first, now)) " to " }
                (time(group.last, now))
            }
            @if may_act {
                p.acts {
                    (link(&format!("retry-{}", group.newest), &act(false), &format!("retry {}", group.operation)))
                    (link(&format!("drop-{}", group.newest), &act(true), &format!("drop {}", group.operation)))
                }
            }
        }
    }
}

/// What stands in front of what is a room's own.
fn of(room: &str) -> String {
    if room.is_empty() { String::new() } else { format!("{room}: ") }
}

/// A link to the confirmation of an act. Its id lets it keep the focus when the section is renewed.
fn link(id: &str, act: &Act, word: &str) -> Markup {
    let id = if act.room.is_empty() { id.to_owned() } else { format!("{id}-{}", act.room) };
    html! { a.act id=(id) href=(act.address()) { (word) "…" } " " }
}

pub(super) fn lately(board: &Board) -> Markup {
    html! {
        h2 { "Lately" }
        @if board.lately.is_empty() { p.note { "Nothing has changed since the start." } }
        ol.lately {
            @for change in &board.lately {
                li class=(class(change.level)) { (time(change.at, board.at)) " " span { (said(&change.said)) } }
            }
        }
    }
}

/// The last operations of a bot.
pub(super) fn last(board: &Board) -> Markup {
    if board.last.is_empty() {
        return html! {};
    }
    html! {
        h2 { "Last operations" }
        p.note { "What changes something, and questions that have failed." }
        ol.last {
            @for ended in &board.last {
                li {
                    (time(ended.at, board.at)) " "
                    span.operation { (ended.operation) } " "
                    span class={ "path " (ended.path.as_deref().unwrap_or("failed")) } { (ended.said) } " "
                    span.took { (ended.took) } " "
                    code { (said(&ended.id)) }
                }
            }
        }
    }
}
