//! The whole page: its head, and its sections, each of which the script renews by its id.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::super::act::access::{Access, Who};
use super::super::board::{Board, Level};
use super::parts;

/// What stands around everything.
pub(super) fn frame(title: &str, level: Option<Level>, script: bool, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="stylesheet" href="/style.css";
                link #icon rel="icon" type="image/svg+xml" href=(icon(level.unwrap_or_default()));
                @if script {
                    script src="/script.js" defer {}
                    noscript { meta http-equiv="refresh" content="5"; }
                }
            }
            body { (body) }
        }
    }
}

pub(super) const fn icon(level: Level) -> &'static str {
    match level {
        Level::Fine => "/fine.svg",
        Level::Warn => "/warn.svg",
        Level::Bad => "/bad.svg",
    }
}

/// The title of the window: how it is first.
pub(super) fn title(board: &Board) -> String {
    let mark = match board.level {
        Level::Fine => "✓",
        Level::Warn => "!",
        Level::Bad => "✗",
    };
    format!("{mark} {} · rosey {}", board.said, board.command)
}

/// The page.
pub(super) fn page(board: &Board, access: &Access) -> Markup {
    let body = html! {
        a.skip href="#main" { "To the status" }
        p #lost role="alert" hidden {}
        header {
            p.name { span.logo aria-hidden="true" { "◆" } " rosey " strong { (board.command) } }
            div #top { (parts::top(board)) }
        }
        main #main tabindex="-1" {
            @for (id, label, content) in sections(board, access) {
                section id=(id) aria-label=(label) { (content) }
            }
        }
        footer {
            nav aria-label="The same for programs" {
                a href="/status.json" { "status.json" } " "
                a href="/readyz" { "readyz" } " "
                a href="/metrics" { "metrics" }
            }
            p { (acts(access)) }
        }
    };
    frame(&title(board), Some(board.level), true, &body)
}

/// The sections, in the order in which an operator asks: an id, a name, what is in it.
pub(super) fn sections(board: &Board, access: &Access) -> Vec<(&'static str, &'static str, Markup)> {
    let may_act = !matches!(access.who, Who::Disabled);
    vec![
        ("verdict", "Is it well?", parts::verdict(board)),
        ("problems", "What is wrong", parts::problems(board)),
        ("tiles", "Numbers", parts::tiles(board)),
        ("routes", "Paths", parts::routes(board, may_act)),
        ("aside", "Set aside", parts::aside(board, may_act)),
        ("lately", "What has changed lately", parts::lately(board)),
        ("last", "Last operations", parts::last(board)),
    ]
}

const fn acts(access: &Access) -> PreEscaped<&'static str> {
    PreEscaped(match access.who {
        Who::OfSocket => "Whoever reaches the socket may act here.",
        Who::WithToken(_) => "Actions ask for the token of <code>--listen-token-file</code>.",
        Who::Disabled => {
            "Nothing can be changed here: <code>--listen-token-file</code> or a socket would allow it."
        }
    })
}
