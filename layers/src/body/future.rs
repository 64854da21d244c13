use super::{End, Watched};
use pin_project::pin_project;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

/// Response future of [`Body`](super::Body).
#[pin_project]
#[derive(Debug)]
pub struct BodyFuture<Fut, F> {
    #[pin]
    inner: Fut,
    limit: Duration,
    ended: Option<F>,
}

impl<Fut, F> BodyFuture<Fut, F> {
    pub(super) const fn new(inner: Fut, limit: Duration, ended: F) -> Self {
        Self { inner, limit, ended: Some(ended) }
    }
}

impl<Fut, F, B, E> Future for BodyFuture<Fut, F>
where
    Fut: Future<Output = Result<http::Response<B>, E>>,
    B: http_body::Body,
    F: Fn(&End),
{
    type Output = Result<http::Response<Watched<B, F>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let me = self.project();
        let response = ready!(me.inner.poll(cx))?;
        let (limit, ended) = (*me.limit, me.ended.take());
        Poll::Ready(Ok(response.map(|body| Watched::new(body, limit, ended))))
    }
}
