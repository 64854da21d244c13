use super::pace::Pace;
use crate::{Class, Classify};
use std::time::Duration;

/// Which requests are hedged, by which pace, and what the errors of both paths mean for that.
///
/// A [`Pace`] hedges every request that the fallback's policy lets overlap. An implementation of your own chooses
/// a pace for each kind of request, or hedges some kinds only:
///
/// ```
/// use eitherway_layers::{Class, Classify, hedge::{Hedging, Pace}};
///
/// enum Todo { Add(String), List }
/// struct ReadsOnly(Pace);
///
/// impl<A: Classify, B: Classify> Hedging<Todo, A, B> for ReadsOnly {
///     fn pace(&self, todo: &Todo) -> Option<&Pace> {
///         matches!(todo, Todo::List).then_some(&self.0)
///     }
///     fn answers(&self, error: &A) -> bool {
///         !error.class().was_not_carried() && !error.is_timeout()
///     }
///     fn refuses(&self, error: &B) -> bool {
///         error.class() == Class::Rejected
///     }
/// }
/// ```
pub trait Hedging<Req, E1, E2> {
    /// The pace by which this request is hedged; `None`: it is not. Must be the same pace whenever it is asked.
    fn pace(&self, req: &Req) -> Option<&Pace>;

    /// Whether this error of the primary is an answer of the service behind it, which shows that it lives.
    fn answers(&self, error: &E1) -> bool;

    /// Whether this error of the secondary is final, so that the primary is not waited for. The primary has got the
    /// request too, so the class of such an error should be the heaviest, [`Class::Rejected`].
    fn refuses(&self, error: &E2) -> bool;

    /// Whether this error of a hedge comes from what both paths need, such as a database that is locked: the primary
    /// is then [given up](Self::gives_up) when it answers no call for as long as makes it silent
    /// ([`Config::silent_after`](super::Config::silent_after)), and after [`Config::patience`](super::Config::patience)
    /// even if it answers others. After any other error a primary may be slow and still serve the request: it is given up
    /// only if it has answered no call for the whole patience.
    ///
    /// By default no error does.
    fn concerns_both(&self, error: &E2) -> bool {
        let _ = error;
        false
    }

    /// After this error of a hedge, whether a primary is not waited for that answers no call, or could serve
    /// no better ([`concerns_both`](Self::concerns_both) says how long each takes); and with which error it is given up
    /// then, after `waited`. The request was sent and may still take effect, which the error should say.
    ///
    /// By default it is waited for.
    fn gives_up(&self, error: &E2, waited: Duration) -> Option<E1> {
        let _ = (error, waited);
        None
    }

    /// Called when the secondary has served a request whose primary was late.
    fn won(&self, req: &Req) {
        let _ = req;
    }
}

/// [`Class::Backend`] and [`Class::Rejected`] are answers; only [`Class::Rejected`] is final.
impl<Req, E1: Classify, E2: Classify> Hedging<Req, E1, E2> for Pace {
    fn pace(&self, _: &Req) -> Option<&Pace> {
        Some(self)
    }

    fn answers(&self, error: &E1) -> bool {
        matches!(error.class(), Class::Backend | Class::Rejected)
    }

    fn refuses(&self, error: &E2) -> bool {
        error.class() == Class::Rejected
    }
}
