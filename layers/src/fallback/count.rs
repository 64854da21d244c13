use super::{Policy, Unready};
use crate::{
    ByLabel, Class, Classify, Label,
    metrics::table::{Cells, Operation},
};
use ::metrics::{Counter, Unit};
use std::fmt;

/// The values of the label `class`: the classes of errors in their order, a response that was not accepted,
/// and a primary that is late.
const CAUSES: [&str; 7] = {
    let [a, b, c, d, e] = Class::ALL;
    [a.as_str(), b.as_str(), c.as_str(), d.as_str(), e.as_str(), "response", "late"]
};
const RESPONSE: usize = Class::ALL.len();
const LATE: usize = RESPONSE + 1;

/// A [`Policy`] that also counts what another policy reroutes: `{prefix}_fallbacks_total{operation,class}`.
///
/// A request that bypasses a primary which was not ready in time counts as `not_sent`; one whose primary
/// returned a response that the policy did not accept counts as `response`; a hedge counts as `late`.
///
/// ```
/// use eitherway_layers::fallback::{ByClass, CountReroutes};
///
/// let policy = CountReroutes::new(ByClass::new()).prefix("rosey");
/// ```
pub struct CountReroutes<P> {
    policy: P,
    prefix: &'static str,
    cells: Cells<[Counter; CAUSES.len()]>,
}

impl<P> CountReroutes<P> {
    /// Counts what `policy` reroutes, under a name with the prefix `tower`.
    pub const fn new(policy: P) -> Self {
        Self { policy, prefix: "tower", cells: Cells::new() }
    }

    /// Sets the prefix of the metric's name, before the underscore. Discards the handles resolved so far.
    pub fn prefix(self, prefix: &'static str) -> Self {
        Self { policy: self.policy, prefix, cells: Cells::new() }
    }

    fn count<Req: Label>(&self, req: &Req, cause: usize) {
        self.cells.with(
            Operation::of(&ByLabel, req),
            |operation| {
                let name = format!("{}_fallbacks_total", self.prefix);
                ::metrics::describe_counter!(
                    name.clone(),
                    Unit::Count,
                    "Operations that were rerouted, by cause."
                );
                CAUSES.map(
                    |class| ::metrics::counter!(name.clone(), "operation" => operation, "class" => class),
                )
            },
            |counters| counters[cause].increment(1),
        );
    }
}

impl<P, Req, Res, Err> Policy<Req, Res, Err> for CountReroutes<P>
where
    P: Policy<Req, Res, Err>,
    Req: Label,
    Err: Classify,
{
    fn keep(&self, req: &Req) -> Option<Req> {
        self.policy.keep(req)
    }

    fn reroute(&self, req: &Req, result: &Result<Res, Err>) -> bool {
        self.policy.reroute(req, result)
    }

    fn rerouted(&self, req: &Req, result: &Result<Res, Err>) {
        self.count(req, result.as_ref().err().map_or(RESPONSE, |error| error.class() as usize));
        self.policy.rerouted(req, result);
    }

    fn bypassed(&self, req: &Req) {
        self.count(req, Class::NotSent as usize);
        self.policy.bypassed(req);
    }

    fn may_overlap(&self, req: &Req) -> bool {
        self.policy.may_overlap(req)
    }

    fn hedged(&self, req: &Req) {
        self.count(req, LATE);
        self.policy.hedged(req);
    }

    fn unready(&self) -> Unready {
        self.policy.unready()
    }
}

/// A clone resolves its own handles.
impl<P: Clone> Clone for CountReroutes<P> {
    fn clone(&self) -> Self {
        Self::new(self.policy.clone()).prefix(self.prefix)
    }
}

impl<P: fmt::Debug> fmt::Debug for CountReroutes<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CountReroutes")
            .field("policy", &self.policy)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}
