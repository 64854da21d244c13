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

/// A trait that everything implements that has its supertraits.
///
/// Its one implementation asks for the same in other words: it names each associated type of a service once, as a parameter, and
/// asks for what that parameter can do. Where the error of a service is what another bound makes of it, as that of a `map_err`
/// is, a bound on `S::Error` would be worked out down to the innermost service by every layer around it.
macro_rules! bound {
    (
        $(#[$attribute:meta])* [$feature:meta] $name:ident<$($param:ident$(: $of:ident)?),+>: { $($bound:tt)+ };
        impl<$($named:ident),*> $($given:tt)+
    ) => {
        $(#[$attribute])*
        #[cfg($feature)]
        pub trait $name<$($param$(: $of<Req>)?),+>: $($bound)+ {}

        #[cfg($feature)]
        impl<$($param,)+ $($named,)* X> $name<$($param),+> for X where $($given)+ {}
    };
}

bound! {
    /// A service whose errors can be made from `E`.
    [any(feature = "breaker", feature = "bulkhead", feature = "timeout")]
    FailsWith<E, Req>: { Service<Req, Error: From<E>> };
    impl<Err> X: Service<Req, Error = Err>, Err: From<E>
}

bound! {
    /// A service with these responses, whose errors say what they mean.
    [feature = "stale"]
    Replies<Res, Req>: { Service<Req, Response = Res, Error: Classify> };
    impl<Err> X: Service<Req, Response = Res, Error = Err>, Err: Classify
}

bound! {
    /// Makes errors of `S`.
    [feature = "chaos"]
    ErrorsOf<S: Service, Req>: { Fn() -> S::Error };
    impl<Err> S: Service<Req, Error = Err>, X: Fn() -> Err
}

bound! {
    /// A service whose errors can be printed.
    [feature = "log"]
    Printable<Req>: { Service<Req, Error: std::fmt::Display> };
    impl<Err> X: Service<Req, Error = Err>, Err: std::fmt::Display
}

bound! {
    /// Tells the paths of the responses of `S`.
    [feature = "log"]
    PathsOf<S: Service, Req>: { ServingPath<S::Response> };
    impl<Res> S: Service<Req, Response = Res>, X: ServingPath<Res>
}

bound! {
    /// A classifier of the results of `S`.
    #[diagnostic::on_unimplemented(
        message = "`{Self}` cannot classify the results of `{S}`",
        note = "the error type has to implement `Classify`, or the layer needs a closure: `.classify_by(…)`"
    )]
    [any(feature = "breaker", feature = "log", feature = "metrics")]
    Judges<S: Service, Req>: { Classifier<S::Response, S::Error> };
    impl<Res, Err> S: Service<Req, Response = Res, Error = Err>, X: Classifier<Res, Err>
}

bound! {
    /// A primary: an error of its readiness is kept until the next call, wherever that is.
    [feature = "fallback"]
    PrimaryService<Req>: { Service<Req, Error: Send + 'static> };
    impl<Err> X: Service<Req, Error = Err>, Err: Send + 'static
}

bound! {
    /// A secondary of `P`.
    #[diagnostic::on_unimplemented(
        message = "`{Self}` cannot be the secondary of `{P}`",
        note = "it has to be a service of the same requests with the same responses, and `Clone`"
    )]
    [feature = "fallback"]
    SecondTo<P: Service, Req>: { Service<Req, Response = P::Response> + Clone };
    impl<Res> P: Service<Req, Response = Res>, X: Service<Req, Response = Res> + Clone
}

bound! {
    /// A policy for the requests and results of `P`.
    #[diagnostic::on_unimplemented(
        message = "`{Self}` is no policy for the requests and results of `{P}`",
        note = "`ByClass` needs requests that are `Clone`, and errors that implement `Classify`"
    )]
    [feature = "fallback"]
    PolicyOf<P: Service, Req>: { Policy<Req, P::Response, P::Error> };
    impl<Res, Err> P: Service<Req, Response = Res, Error = Err>, X: Policy<Req, Res, Err>
}

bound! {
    /// Decides about hedges by `S` for `P`.
    [feature = "hedge"]
    HedgingOf<P: Service, S: Service, Req>: { Hedging<Req, P::Error, S::Error> };
    impl<E1, E2> P: Service<Req, Error = E1>, S: Service<Req, Error = E2>, X: Hedging<Req, E1, E2>
}
