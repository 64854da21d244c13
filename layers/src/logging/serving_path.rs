//! Which path has served a response, and to which part of the calls a request belongs.

use crate::ServedBy;

/// The path that served a response. Implemented by closures over the response.
pub trait ServingPath<T> {
    /// The tag of the path; see [`ServedBy::served_by`].
    fn of(&self, response: &T) -> &'static str;
}

/// Asks the response itself ([`ServedBy`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByResponse;

impl<T: ServedBy> ServingPath<T> for ByResponse {
    fn of(&self, response: &T) -> &'static str {
        response.served_by()
    }
}

impl<T, F: Fn(&T) -> &'static str> ServingPath<T> for F {
    fn of(&self, response: &T) -> &'static str {
        self(response)
    }
}

/// Assigns each request to a part of the calls. Implemented by closures over the request.
pub trait Parts<Req> {
    /// The index of the request's part.
    fn of(&self, req: &Req) -> usize;
}

/// Treats all calls as one part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SinglePart;

impl<Req> Parts<Req> for SinglePart {
    fn of(&self, _: &Req) -> usize {
        0
    }
}

impl<Req, F: Fn(&Req) -> usize> Parts<Req> for F {
    fn of(&self, req: &Req) -> usize {
        self(req)
    }
}
