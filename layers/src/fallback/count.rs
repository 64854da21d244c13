use super::{Policy, Unready};
use crate::{
    ByError, ByLabel, Class, Classifier, Labels,
    label::Named,
    metering::table::{Operation, PerOperation},
};
use ::metrics::{Counter, Unit};
use std::{fmt, time::Duration};

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
pub struct CountReroutes<P, L = ByLabel, C = ByError> {
    policy: P,
    labels: L,
    classifier: C,
    prefix: &'static str,
    entries: PerOperation<[Counter; CAUSES.len()]>,
}

impl<P> CountReroutes<P> {
    /// Counts what `policy` reroutes, under a name with the prefix `tower`.
    pub const fn new(policy: P) -> Self {
        Self { policy, labels: ByLabel, classifier: ByError, prefix: "tower", entries: PerOperation::new() }
    }
}

impl<P, L, C> CountReroutes<P, L, C> {
    /// Sets the prefix of the metric's name, before the underscore. Discards the handles resolved so far.
    pub fn prefix(self, prefix: &'static str) -> Self {
        Self { prefix, entries: PerOperation::new(), ..self }
    }

    /// Names requests by the index that `label` returns, instead of by their [`Label`](crate::Label).
    pub fn label_by<F>(self, names: &'static [&'static str], label: F) -> CountReroutes<P, Named<F>, C> {
        let Self { policy, classifier, prefix, entries, .. } = self;
        CountReroutes { policy, labels: Named { names, label }, classifier, prefix, entries }
    }

    /// Sets the class of a result: a [`Classifier`], or a closure over the result.
    pub fn classify_by<C2>(self, classifier: C2) -> CountReroutes<P, L, C2> {
        let Self { policy, labels, prefix, entries, .. } = self;
        CountReroutes { policy, labels, classifier, prefix, entries }
    }

    fn count<Req>(&self, req: &Req, cause: usize)
    where
        L: Labels<Req>,
    {
        self.entries.with(
            Operation::of(&self.labels, req),
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

impl<P, L, C, Req, Res, Err> Policy<Req, Res, Err> for CountReroutes<P, L, C>
where
    P: Policy<Req, Res, Err>,
    L: Labels<Req>,
    C: Classifier<Res, Err>,
{
    fn keep(&self, req: &mut Req) -> Option<Req> {
        self.policy.keep(req)
    }

    fn reroute(&self, req: &Req, result: &Result<Res, Err>) -> bool {
        self.policy.reroute(req, result)
    }

    fn rerouted(&self, req: &Req, result: &Result<Res, Err>) {
        self.count(req, self.classifier.failure(result).map_or(RESPONSE, |failure| failure.class as usize));
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

    fn patience(&self) -> Option<Duration> {
        self.policy.patience()
    }
}

/// A clone resolves its own handles.
impl<P: Clone, L: Clone, C: Clone> Clone for CountReroutes<P, L, C> {
    fn clone(&self) -> Self {
        let (policy, labels, classifier) =
            (self.policy.clone(), self.labels.clone(), self.classifier.clone());
        Self { policy, labels, classifier, prefix: self.prefix, entries: PerOperation::new() }
    }
}

impl<P: fmt::Debug, L, C> fmt::Debug for CountReroutes<P, L, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CountReroutes")
            .field("policy", &self.policy)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}
