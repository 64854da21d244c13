//! Response bodies, which outlive the call.

use bytes::Bytes;
use eitherway_layers::BodyLayer;
use eitherway_layers::body::{BodyError, End, Outcome};
use http_body::{Body, Frame, SizeHint};
use std::{
    collections::VecDeque,
    convert::Infallible,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep};
use tower::{Layer, ServiceExt, service_fn};

const LIMIT: Duration = Duration::from_secs(5);

/// Frames, each after a pause of milliseconds; an error, if it is none.
struct Frames(VecDeque<(u64, Option<&'static str>)>, Option<Pin<Box<Sleep>>>);

impl Body for Frames {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        let Some(&(pause, text)) = self.0.front() else { return Poll::Ready(None) };
        let sleep = self.1.get_or_insert_with(|| Box::pin(tokio::time::sleep(Duration::from_millis(pause))));
        if sleep.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        let _ = (self.0.pop_front(), self.1.take());
        Poll::Ready(Some(text.map(|text| Frame::data(Bytes::from(text))).ok_or("broken off")))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

type Ends = Arc<Mutex<Vec<(Outcome, u64, Duration)>>>;

/// Reads at most this many frames of a body; returns what was read, and the reported ends.
async fn read(
    frames: &[(u64, Option<&'static str>)],
    most: usize,
) -> (Vec<Result<usize, BodyError<&'static str>>>, Vec<(Outcome, u64, Duration)>) {
    let ends = Ends::default();
    let told = Arc::clone(&ends);
    let frames: VecDeque<_> = frames.iter().copied().collect();
    let service = service_fn(move |()| {
        let frames = Frames(frames.clone(), None);
        async { Ok::<_, Infallible>(http::Response::new(frames)) }
    });
    let layer = BodyLayer::new(LIMIT)
        .on_end(move |end: &End| told.lock().unwrap().push((end.outcome, end.bytes, end.took)));
    let body = layer.layer(service).oneshot(()).await.unwrap().into_body();
    let mut read = Vec::new();
    {
        let mut body = pin!(body);
        while read.len() < most {
            let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await else { break };
            read.push(frame.map(|frame| frame.into_data().unwrap().len()));
        }
    }
    let ends = ends.lock().unwrap().clone();
    (read, ends)
}

#[tokio::test(start_paused = true)]
async fn a_body_may_take_any_time_if_its_frames_come_within_the_limit() {
    let begun = Instant::now();
    let (read, ends) = read(&[(4900, Some("one")); 10], usize::MAX).await;
    assert!(read.len() == 10 && read.iter().all(Result::is_ok), "{read:?}");
    assert_eq!(ends, [(Outcome::Complete, 30, begun.elapsed())]);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stands_still_ends_with_the_limit() {
    let (mut read, ends) = read(&[(0, Some("one")), (3_600_000, Some("two"))], usize::MAX).await;
    assert!(matches!(read.pop(), Some(Err(BodyError::Elapsed(LIMIT)))));
    assert_eq!((read.len(), &ends[..]), (1, &[(Outcome::Elapsed, 3, LIMIT)][..]));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_is_told_with_its_error() {
    let (mut read, ends) = read(&[(1, Some("one")), (1, None), (1, Some("no more"))], usize::MAX).await;
    assert!(matches!(read.pop(), Some(Err(BodyError::Inner("broken off")))));
    assert_eq!((read.len(), ends[0].0, ends.len()), (1, Outcome::Failed, 1));
}

#[tokio::test(start_paused = true)]
async fn the_end_is_told_once_however_the_reader_leaves() {
    let frames = [(1, Some("one")), (1, Some("two"))];
    for (most, outcome, bytes) in
        [(0, Outcome::Dropped, 0), (1, Outcome::Dropped, 3), (2, Outcome::Complete, 6)]
    {
        let (_, ends) = read(&frames, most).await;
        assert_eq!((ends.len(), ends[0].0, ends[0].1), (1, outcome, bytes));
    }
    let (_, ends) = read(&[], 0).await;
    assert_eq!((ends.len(), ends[0].0), (1, Outcome::Complete), "an empty body needs no reading");
}
