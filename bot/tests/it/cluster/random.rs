//! Random schedules of faults on several machines: servers, services, bots and the database are killed and frozen, the network between
//! the servers is split, the stream's leader steps down, at times several at once; in two of four the services take bundles. The knobs are those of the other schedules:
//! `ROSEY_SEED`, `ROSEY_SCHEDULES`, `ROSEY_SECONDS`.

use std::process::ExitStatus;
use std::time::Duration;

use super::alone;
use super::world::{BOTS, SERVICES, STREAM, World};
use crate::schedules::tally::Tally;
use crate::schedules::world::FaultLog;
use crate::schedules::{play_all, takes_bundles};
use crate::support::*;

const SERVERS: u64 = 3;
/// The exit code of a service that does not start: its database is not there at that moment.
const NO_DATABASE: Option<i32> = Some(4);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// SIGKILL, and started again at the end.
    ServerKilled(usize),
    ServerFrozen(usize),
    /// This server has no way to the others.
    CutOff(usize, Split),
    SteppedDown,
    ServiceKilled(usize),
    ServiceFrozen(usize),
    /// SIGKILL, and started again with its outbox at the end.
    BotKilled(usize),
    DatabaseKilled,
    DatabaseFrozen,
}

/// What has one fault at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Component {
    Server(usize),
    Network,
    Stream,
    Service(usize),
    Bot(usize),
    Database,
}

impl Fault {
    fn draw(dice: &mut Dice) -> Self {
        let server = usize::try_from(dice.one_of(0..=SERVERS - 1)).unwrap();
        let service = usize::try_from(dice.one_of(0..=SERVICES as u64 - 1)).unwrap();
        let bot = usize::try_from(dice.one_of(0..=BOTS.len() as u64 - 1)).unwrap();
        match dice.one_of(0..=9) {
            0 => Self::ServerKilled(server),
            1 => Self::ServerFrozen(server),
            2 => Self::CutOff(server, Split::Cut),
            3 => Self::CutOff(server, Split::Stalled),
            4 => Self::SteppedDown,
            5 => Self::ServiceKilled(service),
            6 => Self::ServiceFrozen(service),
            7 => Self::DatabaseKilled,
            8 => Self::BotKilled(bot),
            _ => Self::DatabaseFrozen,
        }
    }

    /// Its kind, for counts.
    const fn name(self) -> &'static str {
        match self {
            Self::ServerKilled(_) => "server killed",
            Self::ServerFrozen(_) => "server frozen",
            Self::CutOff(_, Split::Cut) => "server cut off",
            Self::CutOff(_, Split::Stalled) => "routes stalled",
            Self::SteppedDown => "leader steps down",
            Self::ServiceKilled(_) => "service killed",
            Self::ServiceFrozen(_) => "service frozen",
            Self::BotKilled(_) => "bot killed",
            Self::DatabaseKilled => "database killed",
            Self::DatabaseFrozen => "database frozen",
        }
    }

    const fn place(self) -> Component {
        match self {
            Self::ServerKilled(n) | Self::ServerFrozen(n) => Component::Server(n),
            Self::CutOff(..) => Component::Network,
            Self::SteppedDown => Component::Stream,
            Self::ServiceKilled(n) | Self::ServiceFrozen(n) => Component::Service(n),
            Self::BotKilled(n) => Component::Bot(n),
            Self::DatabaseKilled | Self::DatabaseFrozen => Component::Database,
        }
    }

    /// Returns whether it has an effect.
    async fn begin(self, world: &mut World) -> bool {
        match self {
            Self::ServerKilled(n) => world.cluster.server(n).kill(),
            Self::ServerFrozen(n) => world.cluster.server(n).freeze(),
            Self::CutOff(n, split) => world.cluster.isolate(n, split).await,
            Self::SteppedDown => return world.cluster.step_down(STREAM).await,
            Self::ServiceKilled(n) => world.services[n].kill(),
            Self::ServiceFrozen(n) => {
                let runs = world.services[n].runs();
                if runs {
                    world.services[n].freeze();
                }
                return runs;
            }
            Self::BotKilled(n) => world.bots[n].kill(),
            Self::DatabaseKilled => world.postgres.as_mut().unwrap().stop("-KILL"),
            Self::DatabaseFrozen => world.postgres.as_ref().unwrap().freeze(),
        }
        true
    }

    async fn end(self, world: &mut World) {
        match self {
            Self::ServerKilled(n) => world.cluster.server(n).restart().await,
            Self::ServerFrozen(n) => world.cluster.server(n).thaw(),
            Self::CutOff(..) => world.cluster.heal().await,
            Self::SteppedDown => {}
            Self::ServiceKilled(n) => world.services[n].begin_again(),
            Self::ServiceFrozen(n) => world.services[n].thaw(),
            Self::BotKilled(n) => world.bots[n].begin_again(),
            Self::DatabaseKilled => world.postgres.as_mut().unwrap().run(),
            Self::DatabaseFrozen => world.postgres.as_ref().unwrap().thaw(),
        }
    }
}

/// Faults with calm between them, and at times a second and a third one beside the first.
fn draw(dice: &mut Dice, length: Duration) -> Schedule<Fault> {
    let lanes = [50..=800, 100..=2000, 300..=4000];
    lanes.into_iter().fold(Schedule::new(length), |schedule, calm| {
        schedule.beside(dice, calm, Fault::draw, |one, other| one.place() != other.place())
    })
}

/// What was killed, and stays so.
#[derive(Debug, Default)]
struct Killed {
    services: [bool; SERVICES],
    bots: [bool; BOTS.len()],
}

impl Killed {
    fn now(&mut self, fault: Fault, killed: bool) {
        match fault {
            Fault::ServiceKilled(n) => self.services[n] = killed,
            Fault::BotKilled(n) => self.bots[n] = killed,
            _ => {}
        }
    }
}

/// Starts services and bots again that have refused to start, as a supervisor does.
fn supervise(world: &mut World, killed: &Killed, fault_log: &FaultLog) {
    let check = |name: &str, n: usize, status: ExitStatus, said: &str| {
        let refused = status.code() == NO_DATABASE && !said.contains("serving");
        assert!(refused, "{name} {n} has ended ({status}):\n{said}");
        fault_log.say(format_args!("{name} {n} is started again; it had said:\n{said}"));
    };
    for (n, service) in world.services.iter_mut().enumerate().filter(|(n, _)| !killed.services[*n]) {
        if let Some(status) = service.ended() {
            check("service", n, status, &service.log());
            service.begin_again();
        }
    }
    for (n, bot) in world.bots.iter_mut().enumerate().filter(|(n, _)| !killed.bots[*n]) {
        if let Some(status) = bot.ended() {
            check("bot", n, status, &bot.log());
            bot.begin_again();
        }
    }
}

async fn play(seed: u64, length: Duration, fault_log: FaultLog, tally: Tally) {
    let _alone = alone().await;
    let mut dice = Dice::new(seed);
    let plan = draw(&mut dice, length);
    plan.spells().iter().for_each(|spell| fault_log.say(format_args!("planned: {spell}")));
    tally.drawn(plan.spells().iter().map(|spell| spell.fault.name()));
    let mut world = World::new(true, takes_bundles(seed)).await;
    world.load(&mut dice).await;
    let mut killed = Killed::default();
    plan.play(async |turn| {
        supervise(&mut world, &killed, &fault_log);
        match turn {
            Transition::Begins(fault) => {
                if let Fault::ServiceKilled(n) = fault {
                    fault_log.say(format_args!("service {n} had said:\n{}", world.services[n].log()));
                }
                killed.now(fault, true);
                if fault.begin(&mut world).await {
                    tally.felt(fault.name());
                }
            }
            Transition::Ends(fault) => {
                fault.end(&mut world).await;
                killed.now(fault, false);
            }
        }
    })
    .await;
    wait_until("services and bots serve", || {
        supervise(&mut world, &killed, &fault_log);
        let logs = world.services.iter().map(|service| service.log());
        let all = logs.chain(world.bots.iter().map(BotProcess::log)).all(|said| said.contains("serving"));
        async move { all }
    })
    .await;
    let sent: u64 = world.callers.iter().map(|caller| caller.nats.inbox().bundles).sum();
    assert!(takes_bundles(seed) || sent == 0, "{sent} bundles");
    let outcome = world.finish().await;
    for (n, said) in outcome.said.iter().enumerate() {
        fault_log.say(format_args!("service {n} had said:\n{said}"));
    }
    eprintln!("seed {seed} · {sent} bundles");
    outcome.assert_exactly_once();
    tally.judged(&outcome.verdict());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the machine for itself: `cargo xtask test --only cluster`"]
async fn whatever_fails_on_whichever_machine_what_is_accepted_takes_effect_once() {
    play_all(2, play).await;
}
