//! The page that an operator keeps open: the board, and what can be done about it. It is whole without its script, which only
//! keeps it up to date.

mod confirm;
mod frame;
mod live;
mod parts;
mod spark;

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{DefaultBodyLimit, Form, Query, State};
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use eitherway_layers::logging::RateLimitedLog;
use maud::Markup;
use tokio::sync::{Semaphore, watch};

use super::act::access::Access;
use super::act::{Asked, Done};
use super::routes;
use super::snapshot::Snapshot;

/// Nothing but what this process serves itself, and nothing inline.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
const FINE: &str = include_str!("fine.svg");
const WARN: &str = include_str!("warn.svg");
const BAD: &str = include_str!("bad.svg");

/// How many pages are kept up to date at once; more refresh themselves.
const VIEWERS: usize = 8;
/// The largest form.
const FORM: usize = 4096;

/// What the page is made of.
#[derive(Clone)]
struct Shown {
    now: watch::Receiver<Arc<Snapshot>>,
    access: Access,
    done: Done,
    viewers: Arc<Semaphore>,
    refusals: Arc<RateLimitedLog>,
}

pub(super) fn router(now: watch::Receiver<Arc<Snapshot>>, access: Access, done: Done) -> Router {
    let (viewers, refusals) = (Arc::new(Semaphore::new(VIEWERS)), Arc::default());
    let shown = Shown { now, access, done, viewers, refusals };
    let file = |kind: &'static str, text: &'static str| get(move || async move { asset(kind, text) });
    Router::new()
        .route("/", get(page))
        .route("/live", get(live))
        .route("/act", get(confirm).post(act))
        .route("/style.css", file("text/css; charset=utf-8", STYLE))
        .route("/script.js", file("text/javascript; charset=utf-8", SCRIPT))
        .route("/fine.svg", file("image/svg+xml", FINE))
        .route("/warn.svg", file("image/svg+xml", WARN))
        .route("/bad.svg", file("image/svg+xml", BAD))
        .layer(DefaultBodyLimit::max(FORM))
        .with_state(shown)
}

/// The page for a browser; a list of the endpoints for everybody else.
async fn page(State(shown): State<Shown>, headers: HeaderMap) -> Response {
    let wants = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if !wants.contains("text/html") {
        return routes::index();
    }
    let now = Arc::clone(&shown.now.borrow());
    html(StatusCode::OK, &frame::page(&now.board, &shown.access))
}

/// What changes on it, as it does.
async fn live(State(shown): State<Shown>) -> Response {
    let Ok(place) = Arc::clone(&shown.viewers).try_acquire_owned() else {
        let more = "More pages than are kept up to date are open; this one refreshes itself.\n";
        return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "10")], more).into_response();
    };
    live::stream(shown.now, shown.access, place)
}

/// Asks whether it is meant.
async fn confirm(State(shown): State<Shown>, Query(asked): Query<Asked>) -> Response {
    match asked.act() {
        Some(act) => html(StatusCode::OK, &confirm::question(&act, &shown.access, None)),
        None => html(
            StatusCode::NOT_FOUND,
            &confirm::outcome("There is no such act", "Go back to the page.", false),
        ),
    }
}

/// Does it.
async fn act(
    State(shown): State<Shown>,
    headers: HeaderMap,
    asked: Result<Form<Asked>, FormRejection>,
) -> Response {
    let asked = match asked {
        Ok(Form(asked)) => asked,
        Err(refused) => {
            let said = confirm::outcome("Not done", &format!("The form cannot be read: {refused}"), false);
            return html(StatusCode::BAD_REQUEST, &said);
        }
    };
    let Some(act) = asked.act() else {
        return html(
            StatusCode::NOT_FOUND,
            &confirm::outcome("There is no such act", "Go back to the page.", false),
        );
    };
    if let Err(why) = shown.access.check(&headers, &asked.key, &asked.token) {
        if let Some(more) = shown.refusals.record() {
            tracing::warn!("an act over the endpoints was refused: {}: {why}{more}", act.title());
        }
        return html(StatusCode::FORBIDDEN, &confirm::question(&act, &shown.access, Some(&why)));
    }
    match shown.done.act(act.clone()).await {
        Ok(became) => html(StatusCode::OK, &confirm::outcome("Done", &became, true)),
        Err(why) => html(StatusCode::CONFLICT, &confirm::outcome("Not done, or not all of it", &why, false)),
    }
}

fn html(code: StatusCode, page: &Markup) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_FRAME_OPTIONS, "DENY"),
        // A form says where it comes from, to this process alone.
        (REFERRER_POLICY, "same-origin"),
    ];
    (code, headers, page.0.clone()).into_response()
}

/// A file of the page. It is asked for anew after an upgrade.
fn asset(kind: &'static str, text: &'static str) -> Response {
    let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, text).into_response()
}
