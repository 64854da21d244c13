//! What waits, without readers: turns, bounds of a group, room.

use super::super::queue::*;
use super::*;

fn ask(queue: &mut Queue, index: usize, payload: &str) -> oneshot::Receiver<Result<Answered, Cause>> {
    let (tx, rx) = oneshot::channel();
    let (payload, id) = (payload.to_owned(), String::new());
    let question = Question { index, payload, id, occurred_at: 0, now: 0, most: 1000, deadline: None };
    queue.push(question, Asker { tx, deadline: None }, true);
    rx
}

#[test]
fn operations_have_turns_however_much_waits_of_one() {
    let mut queue = Queue::new(3, 4);
    let mut asked: Vec<_> = (0..100).map(|n| ask(&mut queue, 0, &n.to_string())).collect();
    asked.extend([ask(&mut queue, 2, "a"), ask(&mut queue, 1, "a")]);
    let mut turns = Vec::new();
    while let Some((index, group)) = queue.take(|_| true) {
        turns.push((index, group.len()));
        queue.done(index);
    }
    assert_eq!(&turns[..4], [(0, 16), (2, 1), (1, 1), (0, 16)]);
    assert_eq!(turns.iter().map(|(_, count)| count).sum::<usize>(), 102);
}

#[test]
fn not_all_readers_are_at_one_operation() {
    for (readers, at_work) in [(1, 1), (2, 2), (3, 2), (4, 3), (8, 6)] {
        let mut queue = Queue::new(2, readers);
        for n in 0..readers {
            assert_eq!(queue.is_free(0), n < at_work, "{readers}");
            if queue.is_free(0) {
                queue.begin(0);
            }
        }
        let _waits = ask(&mut queue, 0, "a");
        assert!(queue.take(|_| true).is_none() && !queue.start());
        queue.done(0);
        assert!(queue.take(|_| true).is_some());
    }
}

#[test]
fn a_group_has_bounds_of_bytes_and_of_the_time_that_the_last_one_took() {
    let mut queue = Queue::new(1, 1);
    let sizes = |queue: &mut Queue, took: Duration, length: usize| {
        let asked: Vec<_> = (0..600).map(|n| ask(queue, 0, &format!("{n:>length$}"))).collect();
        let mut sizes = Vec::new();
        while let Some((index, group)) = queue.take(|_| true) {
            sizes.push(group.len());
            queue.took(index, group.len(), took, true);
            queue.done(index);
        }
        drop(asked);
        sizes
    };
    assert_eq!(sizes(&mut queue, Duration::from_millis(1), 5), [16, 32, 64, 128, 256, 104]);
    assert!(sizes(&mut queue, Duration::from_millis(10), 10_000).iter().all(|count| *count <= 104));
    assert_eq!(sizes(&mut queue, Duration::from_millis(20), 5)[..4], [256, 128, 64, 32]);
    // One that is slow makes all wait who are with it.
    queue = Queue::new(1, 1);
    sizes(&mut queue, Duration::from_secs(1), 5);
    assert_eq!(sizes(&mut queue, Duration::from_millis(1), 5)[..257], [1; 257]);
    // Not for ever, if as many alone take no longer than a group may.
    queue = Queue::new(1, 1);
    sizes(&mut queue, Duration::from_secs(1), 5);
    let sizes = sizes(&mut queue, Duration::from_millis(5), 5);
    assert!(sizes[..257].iter().all(|size| *size == 1) && sizes[257..259] == [2, 2], "{sizes:?}");
}

#[test]
fn who_has_gone_takes_no_room() {
    let mut queue = Queue::new(1, 1);
    for n in 0..100_000 {
        drop(ask(&mut queue, 0, &n.to_string()));
    }
    let _last = ask(&mut queue, 0, "last");
    assert!(queue.waiting() < 2048, "{}", queue.waiting());
    assert_eq!(queue.take(|_| true).map(|(_, group)| group.len()), Some(1));
}
