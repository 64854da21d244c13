use super::{
    Budget, Policy, Unready,
    budget::Account,
    sync::{AtomicU64, Ordering::Relaxed},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// A [`Policy`] that keeps the reroutes of another policy within a [`Budget`], as `tower::retry` does with retries: in a
/// full outage the secondary is not given all of the load that it was not built for. A request that the budget
/// cannot pay for fails at once, with the primary's error.
///
/// Every success of the primary earns, every reroute costs. A primary that is not ready, or whose `poll_ready` has
/// failed, is bypassed whatever the balance, because there is no call that could fail; put a
/// [`Breaker`](crate::Breaker) or a `Bulkhead` there. Requests of which no copy is kept neither earn
/// nor cost. In a [`Hedge`](crate::Hedge), whose hedges have a budget of their own, a hedge that runs is dropped when its primary
/// fails and this budget is spent.
///
/// Clones share the account. *Cost*: of a success one load while the account is full, else one atomic change; of a
/// failure a clock read and an atomic change.
///
/// ```
/// use eitherway_layers::{Class, Classify, FallbackExt, fallback::{Budget, ByClass, LimitReroutes}};
/// use tower::{ServiceExt, service_fn};
///
/// # #[derive(Debug)] struct Offline;
/// # impl Classify for Offline { fn class(&self) -> Class { Class::NotSent } }
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// // A tenth of the usual load and two requests a second.
/// let policy = LimitReroutes::new(ByClass::new(), Budget::new(0.1, 2, 100));
/// let remote = service_fn(async |_: u32| Err::<u32, _>(Offline));
/// let local = service_fn(async |n: u32| Ok::<_, Offline>(n + 1));
/// let stack = remote.fallback_with(local, policy.clone());
///
/// assert_eq!(stack.clone().oneshot(1).await.unwrap(), 2);
/// assert_eq!(stack.clone().oneshot(1).await.unwrap(), 2);
/// assert!(stack.oneshot(1).await.is_err());
/// assert_eq!(policy.refused(), 1);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct LimitReroutes<P> {
    policy: P,
    spent: Arc<Spent>,
}

#[derive(Debug)]
struct Spent {
    account: Account,
    epoch: Instant,
    refused: AtomicU64,
}

impl<P> LimitReroutes<P> {
    /// Reroutes what `policy` reroutes, as far as `budget` pays for it.
    pub fn new(policy: P, budget: Budget) -> Self {
        let account = Account::new(budget);
        Self { policy, spent: Arc::new(Spent { account, epoch: Instant::now(), refused: AtomicU64::new(0) }) }
    }

    /// How many requests the budget could not pay for.
    pub fn refused(&self) -> u64 {
        self.spent.refused.load(Relaxed)
    }

    fn withdraw(&self) -> bool {
        // Wraps after 49 days, as the account does.
        self.spent.account.withdraw(self.spent.epoch.elapsed().as_millis() as u32)
    }
}

impl<P, Req, Res, Err> Policy<Req, Res, Err> for LimitReroutes<P>
where
    P: Policy<Req, Res, Err>,
{
    #[inline]
    fn keep(&self, req: &mut Req) -> Option<Req> {
        self.policy.keep(req)
    }

    fn reroute(&self, req: &Req, result: &Result<Res, Err>) -> bool {
        if !self.policy.reroute(req, result) {
            if result.is_ok() {
                self.spent.account.deposit();
            }
            return false;
        }
        let paid = self.withdraw();
        if !paid {
            self.spent.refused.fetch_add(1, Relaxed);
        }
        paid
    }

    fn rerouted(&self, req: &Req, result: &Result<Res, Err>) {
        self.policy.rerouted(req, result);
    }

    fn bypassed(&self, req: &Req) {
        self.withdraw();
        self.policy.bypassed(req);
    }

    fn may_overlap(&self, req: &Req) -> bool {
        self.policy.may_overlap(req)
    }

    fn hedged(&self, req: &Req) {
        self.policy.hedged(req);
    }

    fn unready(&self) -> Unready {
        self.policy.unready()
    }

    fn patience(&self) -> Option<Duration> {
        self.policy.patience()
    }
}
