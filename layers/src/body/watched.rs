use http_body::{Body, Frame, SizeHint};
use pin_project::{pin_project, pinned_drop};
use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep};

/// A body with a limit between its frames, which tells how it ended.
///
/// After an error it is at its end.
#[pin_project(PinnedDrop)]
pub struct Watched<B: Body, F: Fn(&End)> {
    #[pin]
    inner: B,
    limit: Duration,
    /// `None` until the body is pending, and again after each frame.
    #[pin]
    sleep: Option<Sleep>,
    begun: Instant,
    bytes: u64,
    /// `None` once the end has been told.
    ended: Option<F>,
    /// Whether it has failed, or has been given up.
    over: bool,
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// All of it came.
    Complete,
    /// The inner body failed.
    Failed,
    /// The next frame did not come in time.
    Elapsed,
    /// Its reader dropped it.
    Dropped,
}

/// The end of a body.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct End {
    /// How it ended.
    pub outcome: Outcome,
    /// Bytes of data that came.
    pub bytes: u64,
    /// The time since the response's head.
    pub took: Duration,
}

impl End {
    /// Whether the service behind it is to blame: a reader that drops a body is not.
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        matches!(self.outcome, Outcome::Failed | Outcome::Elapsed)
    }
}

/// Why a [`Watched`] body failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyError<E> {
    /// The next frame did not come within this time.
    Elapsed(Duration),
    /// The inner body failed.
    Inner(E),
}

impl<E: fmt::Display> fmt::Display for BodyError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elapsed(limit) => write!(f, "no frame of the body within {limit:?}"),
            Self::Inner(error) => error.fmt(f),
        }
    }
}

impl<E: Error + 'static> Error for BodyError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Elapsed(_) => None,
            Self::Inner(error) => error.source(),
        }
    }
}

impl<B: Body, F: Fn(&End)> Watched<B, F> {
    pub(super) fn new(inner: B, limit: Duration, ended: Option<F>) -> Self {
        Self { inner, limit, sleep: None, begun: Instant::now(), bytes: 0, ended, over: false }
    }
}

fn tell<F: Fn(&End)>(ended: &mut Option<F>, outcome: Outcome, bytes: u64, begun: Instant) {
    if let Some(ended) = ended.take() {
        ended(&End { outcome, bytes, took: begun.elapsed() });
    }
}

impl<B: Body, F: Fn(&End)> Body for Watched<B, F> {
    type Data = B::Data;
    type Error = BodyError<B::Error>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, Self::Error>>> {
        let mut me = self.project();
        if *me.over {
            return Poll::Ready(None);
        }
        let outcome = match me.inner.as_mut().poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                use bytes::Buf;
                let data = frame.data_ref().map_or(0, |data| data.remaining());
                *me.bytes += data as u64;
                me.sleep.set(None);
                // A reader that knows the length may not ask for what comes behind the last frame.
                if me.inner.is_end_stream() {
                    tell(me.ended, Outcome::Complete, *me.bytes, *me.begun);
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(None) => (Outcome::Complete, None),
            Poll::Ready(Some(Err(error))) => (Outcome::Failed, Some(BodyError::Inner(error))),
            Poll::Pending => {
                if me.sleep.is_none() {
                    me.sleep.set(Some(tokio::time::sleep(*me.limit)));
                }
                match me.sleep.as_mut().as_pin_mut().map(|sleep| sleep.poll(cx)) {
                    Some(Poll::Ready(())) => (Outcome::Elapsed, Some(BodyError::Elapsed(*me.limit))),
                    _ => return Poll::Pending,
                }
            }
        };
        let (outcome, error) = outcome;
        *me.over = true;
        tell(me.ended, outcome, *me.bytes, *me.begun);
        Poll::Ready(error.map(Err))
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.over { SizeHint::with_exact(0) } else { self.inner.size_hint() }
    }
}

#[pinned_drop]
impl<B: Body, F: Fn(&End)> PinnedDrop for Watched<B, F> {
    fn drop(self: Pin<&mut Self>) {
        let me = self.project();
        let outcome = if me.inner.is_end_stream() { Outcome::Complete } else { Outcome::Dropped };
        tell(me.ended, outcome, *me.bytes, *me.begun);
    }
}

impl<B: Body, F: Fn(&End)> fmt::Debug for Watched<B, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("limit", &self.limit)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}
