//! The stack under the names that the command line still uses.

use super::{Circuits, NO_PATH, Path, StackBuilder};
use crate::client::Stack;
use crate::operation::Operation;

#[allow(missing_docs, clippy::unreachable)]
impl StackBuilder {
    pub fn build_with_circuits<O, P, S>(&self, nats: P, db: S) -> (impl Stack<O> + use<O, P, S>, Circuits)
    where
        O: Operation,
        P: Path<O>,
        S: Path<O>,
    {
        let built = self.over(Some(nats), db, NO_PATH);
        (built.stack, built.circuits.unwrap_or_else(|| unreachable!()))
    }

    pub fn build<O, P, S>(&self, nats: P, db: S) -> impl Stack<O> + use<O, P, S>
    where
        O: Operation,
        P: Path<O>,
        S: Path<O>,
    {
        self.over(Some(nats), db, NO_PATH).stack
    }

    pub fn build_direct<O, S>(&self, db: S) -> impl Stack<O> + use<O, S>
    where
        O: Operation,
        S: Path<O>,
    {
        self.over(NO_PATH, db, NO_PATH).stack
    }

    pub fn build_with_outbox<O, P, S, X>(
        &self,
        nats: P,
        db: S,
        outbox: X,
    ) -> (impl Stack<O> + use<O, P, S, X>, impl Stack<O> + use<O, P, S, X>, Circuits)
    where
        O: Operation,
        P: Path<O>,
        S: Path<O>,
        X: Path<O>,
    {
        let built = self.over(Some(nats), db, Some(outbox));
        (built.stack, built.replay, built.circuits.unwrap_or_else(|| unreachable!()))
    }

    pub fn build_direct_with_outbox<O, S, X>(
        &self,
        db: S,
        outbox: X,
    ) -> (impl Stack<O> + use<O, S, X>, impl Stack<O> + use<O, S, X>)
    where
        O: Operation,
        S: Path<O>,
        X: Path<O>,
    {
        let built = self.over(NO_PATH, db, Some(outbox));
        (built.stack, built.replay)
    }
}
