//! A request in a handler of axum: its head is an extractor, its reply and its error are responses.

use axum_core::body::Body;
use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use eitherway_layers::{Class, Classify};
use http::header::{AGE, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use crate::error::{Cause, Code, Error};
use crate::reply::{Ack, Reply};
use crate::request::Head;

/// What [`Head::from_headers`] makes of the headers of a request.
///
/// It rejects what cannot be read with 400.
impl<S: Sync> FromRequestParts<S> for Head {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let head = Self::from_headers(|name| parts.headers.get(name).map(HeaderValue::as_bytes));
        head.map_err(|cause| failure(StatusCode::BAD_REQUEST, &cause))
    }
}

/// The answer as JSON, and in the header `served-by` the path that served it. 200, and 202 for an event that is stored and going
/// to be applied. An answer from before has its age in seconds in the header `age`.
impl<A: Serialize> IntoResponse for Reply<A> {
    fn into_response(self) -> Response {
        let status = match self.ack {
            Ack::Committed | Ack::Stale { .. } => StatusCode::OK,
            Ack::Stored => StatusCode::ACCEPTED,
        };
        let served_by = (HeaderName::from_static("served-by"), HeaderValue::from_static(self.via.as_str()));
        match serde_json::to_vec(&self.answer) {
            Ok(body) => {
                let age = match self.ack {
                    Ack::Stale { age } => Some([(AGE, age.as_secs().to_string())]),
                    _ => None,
                };
                (status, [served_by, json()], age, Body::from(body)).into_response()
            }
            Err(e) => failure(StatusCode::INTERNAL_SERVER_ERROR, &Cause::new(Code::DATABASE, e.to_string())),
        }
    }
}

/// `{"error": …, "code": …}` of the [decisive](Cause::decisive) cause. The code is that of the operation's own refusal, or of
/// the [`Code`]. The status is
///
/// | error | status |
/// |---|---|
/// | the operation refuses | 409 |
/// | `not_found` | 404 |
/// | otherwise refused: `invalid`, `id_reused`, `clock` | 422 |
/// | too large | 413 |
/// | whether it took effect is not known, or its deadline has passed: again with the same key | 504 |
/// | no path takes it | 503 with `Retry-After` |
impl<O> IntoResponse for Error<O> {
    fn into_response(self) -> Response {
        let cause = self.cause();
        let status = match (cause.code(), cause.class()) {
            (Code::REFUSED, _) => StatusCode::CONFLICT,
            (Code::NOT_FOUND, _) => StatusCode::NOT_FOUND,
            (Code::EXPIRED, _) | (_, Class::Unknown) => StatusCode::GATEWAY_TIMEOUT,
            (_, Class::Rejected) => StatusCode::UNPROCESSABLE_ENTITY,
            (_, Class::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            (_, Class::NotSent | Class::Backend) => StatusCode::SERVICE_UNAVAILABLE,
        };
        failure(status, cause)
    }
}

fn failure(status: StatusCode, cause: &Cause) -> Response {
    let code = cause.refusal().map_or(cause.code().name, |refusal| &refusal.code);
    let body = serde_json::json!({"error": cause.decisive().to_string(), "code": code}).to_string();
    let later = status == StatusCode::SERVICE_UNAVAILABLE;
    let later = later.then_some([(RETRY_AFTER, HeaderValue::from_static("1"))]);
    (status, later, [json()], Body::from(body)).into_response()
}

const fn json() -> (HeaderName, HeaderValue) {
    (CONTENT_TYPE, HeaderValue::from_static("application/json"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::operation::Refusal;
    use crate::reply::Via;

    #[test]
    fn the_status_says_what_a_caller_may_do() {
        let both = |fallback| Cause::Both {
            primary: Box::new(Cause::Elapsed(Duration::from_secs(2))),
            fallback: Box::new(fallback),
        };
        for (cause, status) in [
            (Cause::Refused(Box::new(Refusal::new("out_of_stock", "none left"))), 409),
            (Cause::new(Code::NOT_FOUND, "none"), 404),
            (Cause::new(Code::INVALID, "no"), 422),
            (Cause::new(Code::ID_REUSED, "no"), 422),
            (Cause::new(Code::TOO_LARGE, "no"), 413),
            (Cause::new(Code::EXPIRED, "late"), 504),
            (Cause::Elapsed(Duration::from_secs(2)), 504),
            // The first path may have applied it.
            (both(Cause::new(Code::BUSY, "locked")), 504),
            (both(Cause::new(Code::EXPIRED, "late")), 504),
            (Cause::new(Code::BUSY, "locked"), 503),
            (Cause::new(Code::UNAVAILABLE, "no responder"), 503),
        ] {
            let response = Error::<()>::from(cause.clone()).into_response();
            assert_eq!(response.status().as_u16(), status, "{cause}");
            assert_eq!(response.headers().contains_key(RETRY_AFTER), status == 503, "{cause}");
        }
    }

    #[test]
    fn a_reply_says_who_served_it_and_whether_it_is_done() {
        for (ack, status) in [(Ack::Committed, 200), (Ack::Stored, 202)] {
            let reply = Reply { via: Via::OUTBOX, ack, answer: (), omitted: 0 }.into_response();
            assert_eq!(
                (reply.status().as_u16(), &reply.headers()["served-by"]),
                (status, &"outbox".parse().expect("a value"))
            );
        }
    }
}
