//! The breaker against a naive model: any history of calls, answers, drops, time and signals ends in the same
//! state.

use crate::support::{Error, Req, Via, read};
use eitherway_layers::{
    Breaker, Class,
    breaker::{Config, State},
};
use proptest::prelude::*;
use std::{
    collections::VecDeque,
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{sync::oneshot, time::advance};
use tokio_test::task;
use tower::{Service, ServiceExt, service_fn};

#[derive(Clone, Debug)]
enum Step {
    Call,
    /// Ends one of the calls in flight.
    Answer {
        which: prop::sample::Index,
        ok: bool,
    },
    Drop {
        which: prop::sample::Index,
    },
    Wait {
        ms: u64,
    },
    Healthy(bool),
    ForceOpen,
    ForceClosed,
    Reset,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = any::<prop::sample::Index>;
    let step = prop_oneof![
        30 => Just(Step::Call),
        30 => (which(), prop::bool::weighted(0.4)).prop_map(|(which, ok)| Step::Answer { which, ok }),
        5 => which().prop_map(|which| Step::Drop { which }),
        12 => (0_u64..300).prop_map(|ms| Step::Wait { ms }),
        1 => any::<bool>().prop_map(Step::Healthy),
        1 => Just(Step::ForceOpen),
        1 => Just(Step::ForceClosed),
        1 => Just(Step::Reset),
    ];
    prop::collection::vec(step, 1..120)
}

#[derive(Clone, Debug)]
struct Setting {
    consecutive: u16,
    /// Share in percent, calls, minimum.
    rate: Option<(u32, usize, usize)>,
    probes: u16,
    successes: u16,
}

fn settings() -> impl Strategy<Value = Setting> {
    let rate = prop::option::of((1_u32..=100, 1_usize..12, 1_usize..12));
    (1_u16..8, rate, 1_u16..4, 1_u16..4).prop_map(|(consecutive, rate, probes, successes)| Setting {
        consecutive,
        rate,
        probes,
        successes,
    })
}

const FIRST: u64 = 100;
const CAP: u64 = 350;
const SLOW: u64 = 200;
const LEASE: u64 = 500;

/// The specification of the breaker: lists instead of bits, and no concurrency.
struct Model {
    setting: Setting,
    now: u64,
    state: State,
    due: u64,
    openings: u32,
    in_a_row: u16,
    window: VecDeque<bool>,
    probes_out: u16,
    proven: u16,
    /// Changes with the state, so that late calls can be recognised.
    era: u64,
}

impl Model {
    fn new(setting: Setting) -> Self {
        Self {
            setting,
            now: 0,
            state: State::Closed,
            due: 0,
            openings: 0,
            in_a_row: 0,
            window: VecDeque::new(),
            probes_out: 0,
            proven: 0,
            era: 0,
        }
    }

    fn become_(&mut self, state: State) {
        match state {
            State::Open => {
                self.due = self.now + (FIRST << self.openings.min(10)).min(CAP);
                self.openings += 1;
            }
            State::HalfOpen => self.due = self.now + LEASE,
            State::Closed | State::ForcedClosed => self.openings = 0,
            State::OpenUntilHealthy | State::ForcedOpen => {}
        }
        if (self.state, state) != (State::HalfOpen, State::HalfOpen) {
            self.proven = 0;
        }
        (self.state, self.in_a_row, self.probes_out) = (state, 0, 0);
        self.window.clear();
        self.era += 1;
    }

    /// Whether a call passes now.
    fn call(&mut self) -> bool {
        match self.state {
            State::Closed | State::ForcedClosed => true,
            State::OpenUntilHealthy | State::ForcedOpen => false,
            State::HalfOpen if self.probes_out < self.setting.probes => {
                self.probes_out += 1;
                self.due = self.now + LEASE;
                true
            }
            State::Open | State::HalfOpen if self.now >= self.due => {
                self.become_(State::HalfOpen);
                self.call()
            }
            State::Open | State::HalfOpen => false,
        }
    }

    /// `None`: dropped before it was slow.
    fn end(&mut self, era: u64, ok: Option<bool>) {
        if era != self.era {
            return;
        }
        match (self.state, ok) {
            (State::Closed, Some(ok)) => {
                self.in_a_row = if ok { 0 } else { self.in_a_row + 1 };
                self.window.push_back(ok);
                let mut opens = self.in_a_row >= self.setting.consecutive;
                if let Some((percent, calls, minimum)) = self.setting.rate {
                    if self.window.len() > calls {
                        self.window.pop_front();
                    }
                    let failures = self.window.iter().filter(|ok| !**ok).count();
                    let enough = self.window.len() >= minimum.min(calls);
                    opens |= !ok && enough && failures * 100 >= percent as usize * self.window.len();
                }
                if opens {
                    self.become_(State::Open);
                }
            }
            (State::HalfOpen, Some(true)) => {
                self.probes_out -= 1;
                self.proven += 1;
                if self.proven >= self.setting.successes {
                    self.become_(State::Closed);
                }
            }
            (State::HalfOpen, Some(false)) => self.become_(State::Open),
            (State::HalfOpen, None) => self.probes_out -= 1,
            _ => {}
        }
    }
}

fn breaker(setting: &Setting) -> Config {
    let config = Config::new()
        .consecutive_failures(setting.consecutive)
        .probes(setting.probes, setting.successes)
        .back_off(Duration::from_millis(FIRST), Duration::from_millis(CAP))
        .slow_after(Duration::from_millis(SLOW))
        .slow_drops_fail()
        .lease(Duration::from_millis(LEASE))
        .jitter(0.0);
    match setting.rate {
        Some((percent, calls, minimum)) => config.failure_rate(f64::from(percent) / 100.0, calls, minimum),
        None => config,
    }
}

type Answers = Arc<Mutex<VecDeque<oneshot::Sender<bool>>>>;

fn puppet(
    answers: Answers,
) -> impl Service<Req, Response = Via, Error = Error, Future = impl Future<Output = Result<Via, Error>>> + Clone
{
    service_fn(move |_: Req| {
        let (sender, receiver) = oneshot::channel();
        answers.lock().unwrap().push_back(sender);
        async move { if receiver.await.unwrap() { Ok(Via(0)) } else { Err(Error::Of(Class::Backend)) } }
    })
}

async fn compare(setting: Setting, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let answers = Answers::default();
    let breaker = Breaker::new(puppet(Arc::clone(&answers)), breaker(&setting));
    let handle = breaker.handle();
    let mut model = Model::new(setting);
    let mut calls = vec![];
    for (at, step) in steps.into_iter().enumerate() {
        match step {
            Step::Call => {
                let mut call = task::spawn(breaker.clone().oneshot(read(0)));
                let passes = call.poll().is_pending();
                prop_assert_eq!(passes, model.call(), "step {}: admission", at);
                if passes {
                    let answer = answers.lock().unwrap().pop_front().unwrap();
                    calls.push((call, answer, model.era, model.now));
                }
            }
            Step::Answer { .. } | Step::Drop { .. } if calls.is_empty() => {}
            Step::Answer { which, ok } => {
                let (mut call, answer, era, _) = calls.swap_remove(which.index(calls.len()));
                answer.send(ok).unwrap();
                prop_assert!(call.poll().is_ready());
                model.end(era, Some(ok));
            }
            Step::Drop { which } => {
                let (call, _, era, since) = calls.swap_remove(which.index(calls.len()));
                drop(call);
                model.end(era, (model.now - since >= SLOW).then_some(false));
            }
            Step::Wait { ms } => {
                advance(Duration::from_millis(ms)).await;
                model.now += ms;
            }
            Step::Healthy(healthy) => {
                handle.set_healthy(healthy);
                match (healthy, model.state) {
                    (true, State::Open | State::HalfOpen | State::OpenUntilHealthy) => {
                        model.become_(State::Closed)
                    }
                    (false, State::Open | State::HalfOpen | State::Closed) => {
                        model.become_(State::OpenUntilHealthy)
                    }
                    _ => {}
                }
            }
            Step::ForceOpen => {
                handle.force_open();
                if model.state != State::ForcedOpen {
                    model.become_(State::ForcedOpen);
                }
            }
            Step::ForceClosed => {
                handle.force_closed();
                if model.state != State::ForcedClosed {
                    model.become_(State::ForcedClosed);
                }
            }
            Step::Reset => {
                handle.reset();
                model.become_(State::Closed);
            }
        }
        prop_assert_eq!(handle.state(), model.state, "step {}: state", at);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_history_leads_breaker_and_model_to_the_same_states(setting in settings(), steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(compare(setting, steps))?;
    }
}
