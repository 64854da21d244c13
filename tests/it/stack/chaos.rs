//! Paths that fail, hang, are slow and lose answers, by seed.

use eitherway_testkit::Verdict;
use serde_json::{Value, json};

use super::*;
use crate::support::doubles::Memory;

/// What the store answers.
fn answer(applied: &[Request], op: &Op) -> Value {
    match op {
        Op::OutboundEnqueue(_) => json!({"id": applied.len()}),
        _ => json!({}),
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_becomes_of_the_calls_of_both_paths_what_is_accepted_takes_effect_once() {
    for seed in 1..=10 {
        let store = Memory::<Op>::new("the store", answer);
        let path = |seed| {
            let faults = faults(seed, Code::UNANSWERED).hang(0.1).fail(0.1).lose(0.2);
            faults.delay(0.2, Duration::from_millis(80)).layer(store.clone())
        };
        let client = Db::new(StackBuilder::new().over(Some(path(seed)), path(!seed), NO_PATH).stack);
        let (mut accepted, mut failed) = (Vec::new(), Vec::new());
        for n in 0..300 {
            let call = Request::new(OutboundEnqueue { username: None, content: format!("{n}") });
            let request = if n % 3 == 0 { call } else { joins() };
            let id = request.head.id.to_string();
            match client.send(request).await {
                Ok(_) => accepted.push(id),
                Err(_) => failed.push(id),
            }
        }
        let effects = store.applied().into_iter().map(|request| request.head.id.to_string());
        let [accepted, failed] = [&accepted, &failed].map(|ids| ids.iter().map(String::as_str));
        let verdict = Verdict::of(accepted, failed, effects);
        verdict.assert_exactly_once();
        assert!(verdict.failed > 0 && verdict.sent > 200, "{verdict}");
    }
}
