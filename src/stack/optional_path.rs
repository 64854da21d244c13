//! Paths of a stack that may be there or not.

use eitherway_layers::FallbackError;
use tower::ServiceExt;
use tower::util::Either;

use super::{Circuits, Hedges, Path, Paths, StackBuilder};
use crate::operation::Operation;

/// A path before or behind the database: an `Option` of one, where that is known only at run time, or [`NO_PATH`], which makes
/// the stack smaller than a `None` does.
pub trait OptionalPath<O: Operation> {
    /// The database in its layers, and this path over NATS, if it is there, before it; the circuits of this path.
    fn before<D: Path<O>>(
        self,
        db: D,
        stack: StackBuilder,
        hedges: Hedges,
    ) -> (impl Paths<O>, Option<Circuits>);

    /// The paths, and this outbox, if it is there, behind them.
    fn behind<P: Paths<O>>(self, paths: P, stack: StackBuilder, hedges: Hedges) -> impl Paths<O>;
}

/// See [`NO_PATH`].
#[derive(Clone, Copy, Debug)]
pub struct NoPath;

/// Stands for a path that a stack is built without.
pub const NO_PATH: NoPath = NoPath;

impl<O: Operation> OptionalPath<O> for NoPath {
    fn before<D: Path<O>>(self, db: D, stack: StackBuilder, _: Hedges) -> (impl Paths<O>, Option<Circuits>) {
        (stack.direct(db), None)
    }

    fn behind<P: Paths<O>>(self, paths: P, _: StackBuilder, _: Hedges) -> impl Paths<O> {
        paths
    }
}

impl<O: Operation, L: Path<O>> OptionalPath<O> for Option<L> {
    fn before<D: Path<O>>(
        self,
        db: D,
        stack: StackBuilder,
        hedges: Hedges,
    ) -> (impl Paths<O>, Option<Circuits>) {
        match self {
            Some(nats) => {
                let (paths, circuits) = stack.both(nats, db, hedges);
                (Either::Left(paths), Some(circuits))
            }
            None => {
                let alone = stack.direct(db).map_err(FallbackError::Primary as fn(_) -> _);
                (Either::Right(alone), None)
            }
        }
    }

    fn behind<P: Paths<O>>(self, paths: P, stack: StackBuilder, hedges: Hedges) -> impl Paths<O> {
        match self {
            Some(outbox) => Either::Left(stack.with_outbox(paths, outbox, hedges)),
            None => Either::Right(paths.map_err(FallbackError::Primary as fn(_) -> _)),
        }
    }
}
