//! What the layers ask of the services that they wrap.
//!
//! These bounds stand in traits of their own, and not as `S::Error: …` at a layer's `Service`, because the compiler
//! remembers whether a type implements a trait, but works out `S::Error` anew wherever it is written. With two of
//! them, the time to compile a stack doubles with every layer.

#[cfg(any(feature = "breaker", feature = "log", feature = "metrics"))]
use crate::Classifier;
#[cfg(feature = "stale")]
use crate::Classify;
#[cfg(feature = "fallback")]
use crate::fallback::policy::Policy;
#[cfg(feature = "hedge")]
use crate::hedge::hedging::Hedging;
#[cfg(feature = "log")]
use crate::logging::serving_path::ServingPath;
#[cfg(any(
    feature = "breaker",
    feature = "bulkhead",
    feature = "chaos",
    feature = "fallback",
    feature = "log",
    feature = "metrics",
    feature = "stale",
    feature = "timeout"
))]
use tower_service::Service;

/// A trait with these supertraits, which everything implements that has them.
macro_rules! bound {
    ($(#[$attribute:meta])* [$feature:meta] $name:ident<$($param:ident$(: $of:ident)?),+>: $($bounds:tt)+) => {
        $(#[$attribute])*
        #[cfg($feature)]
        pub trait $name<$($param$(: $of<Req>)?),+>: $($bounds)+ {}

        #[cfg($feature)]
        impl<$($param$(: $of<Req>)?,)+ X: $($bounds)+> $name<$($param),+> for X {}
    };
}

bound! {
    /// A service whose errors can be made from `E`.
    [any(feature = "breaker", feature = "bulkhead", feature = "timeout")]
    FailsWith<E, Req>: Service<Req, Error: From<E>>
}

bound! {
    /// A service with these responses, whose errors say what they mean.
    [feature = "stale"]
    Replies<Res, Req>: Service<Req, Response = Res, Error: Classify>
}

bound! {
    /// Makes errors of `S`.
    [feature = "chaos"]
    ErrorsOf<S: Service, Req>: Fn() -> S::Error
}

bound! {
    /// A service whose errors can be printed.
    [feature = "log"]
    Printable<Req>: Service<Req, Error: std::fmt::Display>
}

bound! {
    /// Tells the paths of the responses of `S`.
    [feature = "log"]
    PathsOf<S: Service, Req>: ServingPath<S::Response>
}

bound! {
    /// A classifier of the results of `S`.
    #[diagnostic::on_unimplemented(
        message = "`{Self}` cannot classify the results of `{S}`",
        note = "the error type has to implement `Classify`, or the layer needs a closure: `.classify_by(…)`"
    )]
    [any(feature = "breaker", feature = "log", feature = "metrics")]
    Judges<S: Service, Req>: Classifier<S::Response, S::Error>
}

bound! {
    /// A primary: an error of its readiness is kept until the next call, wherever that is.
    [feature = "fallback"]
    PrimaryService<Req>: Service<Req, Error: Send + 'static>
}

bound! {
    /// A secondary of `P`.
    #[diagnostic::on_unimplemented(
        message = "`{Self}` cannot be the secondary of `{P}`",
        note = "it has to be a service of the same requests with the same responses, and `Clone`"
    )]
    [feature = "fallback"]
    SecondTo<P: Service, Req>: Service<Req, Response = P::Response> + Clone
}

bound! {
    /// A policy for the requests and results of `P`.
    #[diagnostic::on_unimplemented(
        message = "`{Self}` is no policy for the requests and results of `{P}`",
        note = "`ByClass` needs requests that are `Clone`, and errors that implement `Classify`"
    )]
    [feature = "fallback"]
    PolicyOf<P: Service, Req>: Policy<Req, P::Response, P::Error>
}

bound! {
    /// Decides about hedges by `S` for `P`.
    [feature = "hedge"]
    HedgingOf<P: Service, S: Service, Req>: Hedging<Req, P::Error, S::Error>
}
