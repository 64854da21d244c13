//! Answers with what it has kept when the service fails: the last resort for queries.

mod cache;
mod layer;

pub use self::layer::StaleLayer;

use self::cache::Cache;
use crate::{Class, Classify, bounds::Replies};
use pin_project::pin_project;
use std::{
    fmt,
    future::Future,
    hash::Hash,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::Instant;
use tower_service::Service;

/// Which answers are kept, what they weigh, and how an old one is marked.
///
/// ```
/// use eitherway_layers::stale::Keep;
/// use std::time::Duration;
///
/// #[derive(Clone)]
/// struct Price { cents: u32, age: Option<Duration> }
/// struct Prices;
///
/// impl Keep<String, Price> for Prices {
///     type Key = String;
///     fn key(&self, article: &String) -> Option<String> {
///         Some(article.clone())
///     }
///     fn bytes(&self, article: &String, _: &Price) -> usize {
///         size_of::<Price>() + 2 * article.len()
///     }
///     fn mark(&self, price: &mut Price, age: Duration) {
///         price.age = Some(age);
///     }
/// }
/// ```
pub trait Keep<Req, Res> {
    /// Equal for requests whose answers may stand for each other.
    type Key: Clone + Eq + Hash;

    /// The key of a request; `None` if its answer must not be kept, because the request changes something, or
    /// because its caller must not get an old one.
    fn key(&self, req: &Req) -> Option<Self::Key>;

    /// How many bytes a kept answer takes, roughly, with its key, which is held twice.
    fn bytes(&self, key: &Self::Key, response: &Res) -> usize;

    /// Marks an answer that was kept, so that its caller sees that it may be as old as `age`.
    fn mark(&self, response: &mut Res, age: Duration);
}

/// Three closures, in the order of the methods.
///
/// ```
/// use eitherway_layers::StaleLayer;
/// use std::time::Duration;
///
/// let key = |article: &u32| Some(*article);
/// let bytes = |_: &u32, page: &String| 8 + page.len();
/// let mark = |page: &mut String, age: Duration| *page += &format!(" (from {} s ago)", age.as_secs());
/// let layer = StaleLayer::<_, u32, String>::new((key, bytes, mark));
/// ```
impl<Req, Res, Key, K, B, M> Keep<Req, Res> for (K, B, M)
where
    Key: Clone + Eq + Hash,
    K: Fn(&Req) -> Option<Key>,
    B: Fn(&Key, &Res) -> usize,
    M: Fn(&mut Res, Duration),
{
    type Key = Key;

    fn key(&self, req: &Req) -> Option<Key> {
        (self.0)(req)
    }

    fn bytes(&self, key: &Key, response: &Res) -> usize {
        (self.1)(key, response)
    }

    fn mark(&self, response: &mut Res, age: Duration) {
        (self.2)(response, age);
    }
}

/// Keeps the last answer to each request, and answers with it, marked, where the inner service fails.
///
/// | inner service | answer |
/// |---|---|
/// | answers | its answer, which is kept |
/// | fails, and the last answer is not older than the limit | the kept answer, marked with its age |
/// | refuses the request ([`Class::Rejected`]) | the error; the last answer is dropped |
/// | fails otherwise | the error |
///
/// The age counts from the beginning of the call whose answer it was. An answer does not replace that of a call which began
/// later, nor does a refusal drop it. What is written meanwhile is not in a kept answer. The bounds on number and bytes
/// ([`StaleLayer`]) hold at all times; the oldest answers go first. An answer past its age is never given; it takes its place
/// until the next one is kept or looked for. Put it outside of everything that may still get a fresh answer.
///
/// *Cost*: of a request with a key a clock read, and of its answer a clone and a lock, which no await holds. *Errors*
/// pass through. *Drop*: drops the inner future; nothing is kept.
///
/// ```
/// use eitherway_layers::{Class, Classify, StaleLayer, stale::Keep};
/// use std::{sync::atomic::{AtomicBool, Ordering::Relaxed}, time::Duration};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[derive(Debug)] struct Offline;
/// # impl Classify for Offline { fn class(&self) -> Class { Class::NotSent } }
/// #[derive(Clone)]
/// struct Answers;
/// impl Keep<u32, String> for Answers {
///     type Key = u32;
///     fn key(&self, n: &u32) -> Option<u32> { Some(*n) }
///     fn bytes(&self, _: &u32, answer: &String) -> usize { answer.len() + 8 }
///     fn mark(&self, answer: &mut String, age: Duration) { *answer += &format!(", {} s ago", age.as_secs()); }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// static DOWN: AtomicBool = AtomicBool::new(false);
/// let service = service_fn(async |n: u32| if DOWN.load(Relaxed) { Err(Offline) } else { Ok(format!("{n}")) });
/// let stack = StaleLayer::new(Answers).max_age(Duration::from_secs(30)).layer(service);
/// stack.clone().oneshot(7).await.unwrap();
///
/// DOWN.store(true, Relaxed);
/// tokio::time::advance(Duration::from_secs(12)).await;
/// assert_eq!(stack.clone().oneshot(7).await.unwrap(), "7, 12 s ago");
/// tokio::time::advance(Duration::from_secs(20)).await;
/// assert!(stack.oneshot(7).await.is_err());
/// # }
/// ```
pub struct Stale<S, K, Key, Res> {
    inner: S,
    shared: Arc<Shared<K, Key, Res>>,
}

struct Shared<K, Key, Res> {
    keep: K,
    max_age: Duration,
    kept: Mutex<Cache<Key, Res>>,
}

impl<K, Key, Res> Shared<K, Key, Res> {
    fn kept(&self) -> MutexGuard<'_, Cache<Key, Res>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S, K, Key, Res> Stale<S, K, Key, Res> {
    inner!("The service whose answers are kept.", S);
}

impl<S, K, Key, Res, Req> Service<Req> for Stale<S, K, Key, Res>
where
    S: Replies<Res, Req>,
    K: Keep<Req, Res, Key = Key>,
    Key: Clone + Eq + Hash,
    Res: Clone,
{
    type Response = Res;
    type Error = S::Error;
    type Future = StaleFuture<S::Future, K, Key, Res, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline(always)]
    fn call(&mut self, req: Req) -> Self::Future {
        let call = self.shared.keep.key(&req).map(|key| (key, Instant::now(), Arc::clone(&self.shared)));
        StaleFuture { inner: self.inner.call(req), call, of: std::marker::PhantomData }
    }
}

impl<S: Clone, K, Key, Res> Clone for Stale<S, K, Key, Res> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S: fmt::Debug, K, Key, Res> fmt::Debug for Stale<S, K, Key, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stale").field("inner", &self.inner).finish_non_exhaustive()
    }
}

/// What a call needs to keep its answer: the key, and when it began.
type Call<K, Key, Res> = (Key, Instant, Arc<Shared<K, Key, Res>>);

/// Response future of [`Stale`].
#[pin_project]
pub struct StaleFuture<F, K, Key, Res, Req> {
    #[pin]
    inner: F,
    /// `None` if the answer is not kept.
    call: Option<Call<K, Key, Res>>,
    of: std::marker::PhantomData<fn(Req)>,
}

impl<F, K, Res, E, Req> Future for StaleFuture<F, K, K::Key, Res, Req>
where
    F: Future<Output = Result<Res, E>>,
    K: Keep<Req, Res>,
    Res: Clone,
    E: Classify,
{
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let me = self.project();
        let result = ready!(me.inner.poll(cx));
        let Some((key, began, shared)) = me.call.take() else { return Poll::Ready(result) };
        match &result {
            Ok(response) => {
                let bytes = shared.keep.bytes(&key, response);
                let copy = Arc::new(response.clone());
                shared.kept().put(key, copy, bytes, began, shared.max_age);
            }
            Err(error) if error.class() == Class::Rejected => shared.kept().refused(&key, began),
            Err(_) => {
                let found = shared.kept().get(&key, shared.max_age);
                if let Some((kept, age)) = found {
                    let mut response = Res::clone(&kept);
                    shared.keep.mark(&mut response, age);
                    return Poll::Ready(Ok(response));
                }
            }
        }
        Poll::Ready(result)
    }
}

impl<F, K, Key, Res, Req> fmt::Debug for StaleFuture<F, K, Key, Res, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaleFuture").field("keeps", &self.call.is_some()).finish_non_exhaustive()
    }
}
