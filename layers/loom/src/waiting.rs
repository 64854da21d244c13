//! Tasks that wait for a circuit to change.

use crate::{
    preempted,
    state::{AtomicState, State},
    waiters::Waiters,
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Wake, Waker},
};

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// A circuit, and who waits for its change: the wakers of those that went to sleep. They are not a part of the model.
struct Circuit {
    word: AtomicState,
    waiters: Waiters,
    asleep: Mutex<Vec<Arc<Woken>>>,
}

impl Circuit {
    fn closed() -> Self {
        Self { word: AtomicState::new(), waiters: Waiters::default(), asleep: Mutex::default() }
    }

    /// As a task does whose inner service is pending.
    fn waits(&self) {
        let (woken, mut key) = (Arc::new(Woken::default()), None);
        self.waiters.register(&mut key, &Waker::from(Arc::clone(&woken)));
        if self.word.load().generation == 0 {
            self.asleep.lock().expect("no thread has panicked").push(woken);
        } else {
            self.waiters.release(&mut key);
        }
    }

    fn opens(&self) {
        assert!(self.word.change(0, State::Open));
        self.waiters.wake_all();
    }
}

#[test]
fn whoever_went_to_sleep_before_the_circuit_changed_is_woken_once() {
    preempted(2, Circuit::closed, &[Circuit::waits, Circuit::waits, Circuit::opens], |circuit| {
        for woken in circuit.asleep.lock().expect("no thread has panicked").iter() {
            assert_eq!(woken.0.load(SeqCst), 1);
        }
    });
}
