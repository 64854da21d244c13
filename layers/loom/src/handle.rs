//! A circuit without its timer, as `hedge` knows it.

use crate::state::{AtomicState, Snapshot, State};
use std::sync::Arc;

#[derive(Clone, Debug)]
pub(crate) struct Handle(Arc<AtomicState>);

impl Handle {
    pub(crate) fn closed() -> Self {
        Self(Arc::new(AtomicState::new()))
    }

    pub(crate) fn state(&self) -> State {
        self.0.load().state
    }

    pub(crate) fn trip(&self) {
        self.change(State::Open, |now| matches!(now, State::Closed | State::HalfOpen));
    }

    pub(crate) fn answered(&self) {
        self.change(State::Closed, |now| matches!(now, State::Open | State::HalfOpen));
    }

    fn change(&self, to: State, from: fn(State) -> bool) {
        loop {
            let Snapshot { generation, state, .. } = self.0.load();
            if !from(state) || self.0.change(generation, to) {
                return;
            }
        }
    }
}
