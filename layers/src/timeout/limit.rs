use std::time::Duration;

/// How long a request may take. Implemented by [`Fixed`] and by closures over the request.
///
/// ```
/// use eitherway_layers::timeout::Limit;
/// use std::time::Duration;
///
/// // Two seconds, but a big request may take longer.
/// let by_size = |bytes: &Vec<u8>| Some(Duration::from_secs(2) + Duration::from_micros(bytes.len() as u64));
/// assert_eq!(by_size.limit(&vec![0; 1_000_000]), Some(Duration::from_secs(3)));
/// ```
pub trait Limit<Req> {
    /// The longest time that this request may take; `None` for no limit.
    fn limit(&self, req: &Req) -> Option<Duration>;
}

/// The same limit for every request, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed(Option<Duration>);

impl Fixed {
    /// Limits every request to `after`.
    pub const fn after(after: Duration) -> Self {
        Self(Some(after))
    }

    /// Sets no limit.
    pub const fn none() -> Self {
        Self(None)
    }
}

impl<Req> Limit<Req> for Fixed {
    fn limit(&self, _: &Req) -> Option<Duration> {
        self.0
    }
}

impl<Req, F: Fn(&Req) -> Option<Duration>> Limit<Req> for F {
    fn limit(&self, req: &Req) -> Option<Duration> {
        self(req)
    }
}
