//! The time that SQLite spends on each statement of a transaction.

use std::time::Duration;

use criterion::Criterion;

use crate::callers::median;
use crate::floor::Floor;
use crate::load::{self, Load};
use crate::{Setup, rows};

/// The first row is the whole transaction, of which the others are parts.
pub(crate) fn statements(criterion: &mut Criterion, place: &Setup<'_>) {
    let users = load::users();
    let loads = [("chat lines", Load::lines(&users), 1), ("joins and leaves", Load::presence(&users), 2)];
    for (name, load, least) in loads {
        let mut floor = Floor::open(place, load);
        for operations in [least, 16, 256] {
            let title = format!("statements, {name}, a batch of {operations}");
            let mut group = rows::group(criterion, &title, 1);
            group.warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1));
            rows::timed(&mut group, "all of it", |turns| {
                median((0..turns).map(|_| floor.time(operations)).collect())
            });
            for (title, _) in floor.transaction(operations) {
                rows::timed(&mut group, &title, |turns| {
                    let one = |(own, took): (String, Duration)| (own == title).then_some(took);
                    let one = |_| floor.transaction(operations).into_iter().find_map(one).unwrap();
                    median((0..turns).map(one).collect())
                });
            }
            group.finish();
        }
    }
}
