//! The endpoints: what each answers.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::super::{secrets, shown};
use super::checks::STUCK;
use super::recorder::Recorded;
use super::samples::Samples;
use super::snapshot::Snapshot;
use super::text;
use eitherway::clock;

/// What a process is not alive without: it looks at itself once a second.
const LOOKED: Duration = Duration::from_secs(10);

const INDEX: &str = "\
/             the page, for a browser
/livez        200 while this process works, 503 if it hangs and should be started again
/readyz       200 while it can do its work, else 503; what is wrong, and since when
/metrics      counters and states, for Prometheus
/status.json  everything that it knows of itself
";

/// What the endpoints are made of.
#[derive(Clone)]
pub(super) struct EndpointState {
    pub(super) now: watch::Receiver<Arc<Snapshot>>,
    pub(super) recorded: Recorded,
}

impl EndpointState {
    fn now(&self) -> Arc<Snapshot> {
        Arc::clone(&self.now.borrow())
    }
}

/// All of them: these, and those of the page.
pub(super) fn router(state: EndpointState, page: Router) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/status.json", get(status))
        .with_state(state)
        .merge(page)
        .fallback(|| async {
            plain(StatusCode::NOT_FOUND, format!("There is no such page. There are:\n{INDEX}"))
        })
        .method_not_allowed_fallback(|| async {
            let mut refused =
                plain(StatusCode::METHOD_NOT_ALLOWED, "Nothing can be changed here.\n".to_owned());
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            refused
        })
}

/// A name that is made to lead here would let another site's page read all of it.
pub(super) async fn only_here(asked: axum::extract::Request, next: axum::middleware::Next) -> Response {
    let host = asked.headers().get(axum::http::header::HOST);
    if host.is_none_or(|host| host.to_str().is_ok_and(super::act::access::is_here)) {
        return next.run(asked).await;
    }
    plain(StatusCode::MISDIRECTED_REQUEST, "Ask by an address, or as localhost.\n".to_owned())
}

/// What there is.
pub(super) fn index() -> Response {
    plain(StatusCode::OK, INDEX.to_owned())
}

async fn livez(State(state): State<EndpointState>) -> Response {
    let now = state.now();
    let databases = now.rooms.iter().filter_map(|room| room.database.as_ref());
    let silent = databases.map(|database| database.writer.silent).max();
    let why = hangs(now.looked.elapsed(), silent);
    let code = if why.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json_of(
        code,
        &json!({"alive": why.is_none(), "command": now.command, "version": now.version, "why": why}),
    )
}

/// Why this process has to be started again, if it has to be. It looked at itself so long ago, when its writer had not
/// turned to its queue for so long.
fn hangs(ago: Duration, silent: Option<Duration>) -> Option<String> {
    if ago > LOOKED {
        return Some(format!("it has not looked at itself for {} s", ago.as_secs()));
    }
    let silent = silent.filter(|silent| *silent >= STUCK)?;
    Some(format!("the writer of its database has done nothing for {} s", silent.as_secs()))
}

async fn readyz(State(state): State<EndpointState>) -> Response {
    let now = state.now();
    let code = if now.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let notice = |(namespace, notice): (&str, &eitherway::service::Notice)| {
        let mut shown = json!({"since": clock::rfc3339(notice.since), "why": notice.sentence});
        if !namespace.is_empty() {
            shown["namespace"] = namespace.into();
        }
        shown
    };
    let body = json!({
        "ready": now.ready,
        "since": clock::rfc3339(now.since),
        "command": now.command,
        "version": now.version,
        "checks": now.checks,
        "notices": now.notices().map(notice).collect::<Vec<Value>>(),
    });
    json_of(code, &body)
}

async fn metrics(State(state): State<EndpointState>) -> Response {
    let text = text::of(&Samples::of(&state.now())) + &state.recorded.render();
    answer(StatusCode::OK, text::CONTENT_TYPE, text)
}

async fn status(State(state): State<EndpointState>) -> Response {
    json_of(StatusCode::OK, &json!(&*state.now()))
}

/// Without passwords, which an error of a server may repeat, and without characters that command a terminal.
fn json_of(code: StatusCode, value: &Value) -> Response {
    let mut value = value.clone();
    hide(&mut value);
    let text = shown::json(&format!("{value:#}"));
    answer(code, "application/json", text + "\n")
}

/// Each string by itself: in the text, what is hidden may take quotes of the JSON along.
fn hide(value: &mut Value) {
    match value {
        Value::String(text) => *text = secrets::hide(text),
        Value::Array(all) => all.iter_mut().for_each(hide),
        Value::Object(all) => all.values_mut().for_each(hide),
        _ => {}
    }
}

fn plain(code: StatusCode, text: String) -> Response {
    answer(code, "text/plain; charset=utf-8", text)
}

fn answer(code: StatusCode, kind: &'static str, body: String) -> Response {
    let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-store"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (code, headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_that_hangs_has_to_be_started_again() {
        let seconds = Duration::from_secs;
        assert_eq!(hangs(seconds(1), None), None, "a bot without a database");
        assert_eq!(hangs(seconds(9), Some(seconds(20))), None, "a busy machine, a database that is locked");
        assert!(hangs(seconds(11), None).expect("it hangs").contains("11 s"));
        assert!(hangs(seconds(0), Some(seconds(31))).expect("its writer hangs").contains("31 s"));
    }
}
