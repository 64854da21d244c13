//! The second page of an act: what it does, and whether that is meant. The third one: what became of it.

use maud::{Markup, html};

use super::super::super::{secrets, shown};
use super::super::act::Act;
use super::super::act::access::{Access, Who};
use super::frame::frame;

/// Asks whether it is meant. `why`: why it was refused just now.
pub(super) fn question(act: &Act, access: &Access, why: Option<&str>) -> Markup {
    let button = if act.removes() { "danger" } else { "go" };
    let body = html! {
        main.confirm {
            h1 { (act.title()) "?" }
            p { (shown::clean(&act.effect())) }
            @if let Some(why) = why {
                p.refused role="alert" { strong { "Refused: " } (shown::clean(why)) "." }
            }
            @if matches!(access.who, Who::Disabled) {
                p { "Nothing can be done from here: listen at a socket, or name the file of a token with " code { "--listen-token-file" } "." }
            } @else {
                form method="post" action="/act" {
                    @for (name, value) in act.fields() { input type="hidden" name=(name) value=(value); }
                    input type="hidden" name="key" value=(access.key());
                    @if let Who::WithToken(_) = access.who {
                        label for="token" { "Token, as in the file of --listen-token-file" }
                        input #token type="password" name="token" required autocomplete="current-password";
                    }
                    button class=(button) type="submit" { (act.title()) }
                }
            }
            p { a href="/" { "Back, and change nothing" } }
        }
    };
    frame(act.title(), None, false, &body)
}

/// Tells what became of it.
pub(super) fn outcome(title: &str, said: &str, done: bool) -> Markup {
    let said = shown::clean(&secrets::hide(said));
    let body = html! {
        main.confirm {
            h1 class=(if done { "fine" } else { "bad" }) { (title) }
            p role="status" { (said) }
            p { a href="/" { "Back to the page" } }
        }
    };
    frame(title, None, false, &body)
}
