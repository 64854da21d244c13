//! Tasks that wait for a change of state.
//!
//! The lock comes from `super::sync`, so that a model checker can replace it.

use super::sync::{Mutex, MutexGuard};
use std::{mem, sync::PoisonError, task::Waker};

/// Wakers in numbered slots. Locked by tasks that have to wait, and by changes of state; never by a call that
/// passes.
#[derive(Debug, Default)]
pub(super) struct Waiters(Mutex<Vec<Slot>>);

#[derive(Debug, Default)]
enum Slot {
    #[default]
    Free,
    Asleep(Waker),
    Woken,
}

impl Waiters {
    fn lock(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers the waker for the next change, replacing the one registered with this key before.
    pub(super) fn register(&self, key: &mut Option<usize>, waker: &Waker) {
        let mut slots = self.lock();
        let index =
            *key.get_or_insert_with(|| match slots.iter().position(|slot| matches!(slot, Slot::Free)) {
                Some(index) => index,
                None => {
                    slots.push(Slot::Free);
                    slots.len() - 1
                }
            });
        match &mut slots[index] {
            Slot::Asleep(before) => before.clone_from(waker),
            slot => *slot = Slot::Asleep(waker.clone()),
        }
    }

    /// Frees the slot of this key.
    #[inline]
    pub(super) fn release(&self, key: &mut Option<usize>) {
        if let Some(index) = key.take() {
            self.free(index);
        }
    }

    fn free(&self, index: usize) {
        let mut slots = self.lock();
        slots[index] = Slot::Free;
        while slots.last().is_some_and(|slot| matches!(slot, Slot::Free)) {
            slots.pop();
        }
    }

    /// Wakes all waiters, after the lock is released, because a waker may run arbitrary code. Slots keep
    /// their owners.
    pub(super) fn wake_all(&self) {
        let mut wakers = Vec::new();
        for slot in self.lock().iter_mut() {
            if let Slot::Asleep(_) = slot
                && let Slot::Asleep(waker) = mem::replace(slot, Slot::Woken)
            {
                wakers.push(waker);
            }
        }
        wakers.into_iter().for_each(Waker::wake);
    }
}

// Not where a model checker includes this file: there, no lock is to be had outside a model.
#[cfg(all(test, feature = "breaker"))]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    };

    struct Count(AtomicUsize);

    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn each_waiter_is_woken_once_however_often_it_registered() {
        let (waiters, count) = (Waiters::default(), Arc::new(Count(AtomicUsize::new(0))));
        let waker = Waker::from(Arc::clone(&count));
        let (mut a, mut b) = (None, None);
        waiters.register(&mut a, &waker);
        waiters.register(&mut a, &waker);
        waiters.register(&mut b, &waker);
        waiters.wake_all();
        waiters.wake_all();
        assert_eq!(count.0.load(SeqCst), 2);
    }

    #[test]
    fn waiters_that_left_are_not_woken_and_leave_no_slot_behind() {
        let (waiters, count) = (Waiters::default(), Arc::new(Count(AtomicUsize::new(0))));
        let waker = Waker::from(Arc::clone(&count));
        for _ in 0..100 {
            let (mut a, mut b) = (None, None);
            waiters.register(&mut a, &waker);
            waiters.register(&mut b, &waker);
            waiters.release(&mut a);
            waiters.release(&mut b);
        }
        waiters.wake_all();
        assert_eq!(count.0.load(SeqCst), 0);
        assert!(waiters.lock().is_empty());
    }
}
