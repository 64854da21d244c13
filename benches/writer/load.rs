//! The operations that callers send, created before the timing starts.

use eitherway::{Head, Request};
use rosey::op::{
    HighWater, MessageLog, Op, PmCommand, StatusData, StatusUpdate, UserCount, UserJoined, UserLeft,
};

/// Operations that callers iterate over, each from its own offset. Leaked, because they live as long as the
/// bench.
#[derive(Clone, Copy)]
pub(crate) struct Load(&'static [Op]);

/// The number of users of the channel, unless the bench varies it.
const USERS: usize = 200;

const FIRST: [&str; 20] = [
    "quiet", "Blue", "tiny", "Night", "old", "Silver", "lazy", "Rusty", "swift", "Velvet", "odd", "Copper",
    "sunny", "Iron", "misty", "Amber", "wild", "Paper", "loud", "Winter",
];
const SECOND: [&str; 10] =
    ["fox", "_moth", "Owl", "piano", "Kettle", "_99", "lantern", "Heron", "static", "Comet"];

/// The name of the user with this number.
pub(crate) fn name(number: usize) -> String {
    let name = format!("{}{}", FIRST[number % 20], SECOND[number / 20 % 10]);
    if number < USERS { name } else { format!("{name}{}", number / USERS) }
}

pub(crate) fn users() -> Vec<String> {
    (0..USERS).map(name).collect()
}

/// A thousand lines, each with who says it.
pub(crate) fn said() -> &'static [(String, String)] {
    Vec::leak((0..1000).map(|i| (name(i * 7 % 200), line(i))).collect())
}

/// A line of 40 bytes.
pub(crate) fn line(number: usize) -> String {
    format!("{number:>7}: as it is said of an evening.....")
}

impl Load {
    pub(crate) fn new(ops: Vec<Op>) -> Self {
        Self(Vec::leak(ops))
    }

    pub(crate) fn lines(users: &[String]) -> Self {
        let speak =
            |i: usize| MessageLog { username: users[i * 7 % users.len()].clone(), message: line(i) }.into();
        Self::new((0..users.len().max(1000)).map(speak).collect())
    }

    /// Every user joins, and leaves.
    pub(crate) fn presence(users: &[String]) -> Self {
        let both = |user: &String| {
            [UserJoined { username: user.clone() }.into(), UserLeft { username: user.clone() }.into()]
        };
        Self::new(users.iter().flat_map(both).collect())
    }

    pub(crate) fn counts() -> Self {
        Self::new(
            (0..100).map(|i| UserCount { chat_count: 30 + i % 12, connected_count: 50 }.into()).collect(),
        )
    }

    pub(crate) fn records() -> Self {
        let record = |i: u32| HighWater { chat_count: 30 + i % 12, connected_count: Some(50 + i % 7) }.into();
        Self::new((0..100).map(record).collect())
    }

    pub(crate) fn status() -> Self {
        let status = |i: u32| {
            let data = StatusData {
                current_chat_users: Some(Some(30 + i % 12)),
                current_media_title: Some(Some(format!("An old film, part {i}"))),
                bot_connected: Some(Some(true)),
                ..StatusData::default()
            };
            StatusUpdate { status: Some(Some("online".into())), details: None, status_data: Some(data) }
                .into()
        };
        Self::new((0..100).map(status).collect())
    }

    pub(crate) fn commands(users: &[String]) -> Self {
        let command = |user: &String| {
            let (command, args) = ("say".to_owned(), "good evening".to_owned());
            PmCommand { username: user.clone(), command, args, result: "success".into(), error: None }.into()
        };
        Self::new(users.iter().map(command).collect())
    }

    /// Of ten operations seven are lines, two are joins or leaves, and one is of another kind.
    pub(crate) fn mix(users: &[String]) -> Self {
        let [lines, presence] = [Self::lines(users), Self::presence(users)];
        let rest = [Self::counts(), Self::records(), Self::status(), Self::commands(users)];
        let pick = |i: usize| {
            let (tens, ones) = (i / 10, i % 10);
            match ones {
                3 | 6 => presence.at(tens * 2 + ones / 6),
                9 => rest[tens % 4].at(tens),
                _ => lines.at(i),
            }
        };
        Self(Vec::leak((0..4000).map(pick).collect()))
    }

    /// A copy, which is not encoded yet, as a caller makes one.
    fn at(self, place: usize) -> Op {
        match &self.0[place % self.0.len()] {
            Op::UserJoined(op) => op.clone().into(),
            Op::UserLeft(op) => op.clone().into(),
            Op::MessageLog(op) => op.clone().into(),
            Op::UserCount(op) => op.clone().into(),
            Op::HighWater(op) => op.clone().into(),
            Op::StatusUpdate(op) => op.clone().into(),
            Op::PmCommand(op) => op.clone().into(),
            Op::RecentChat(op) => op.clone().into(),
            Op::GetUserStats(op) => op.clone().into(),
            Op::GetChannelStats(op) => (*op).into(),
            Op::OpenSessions(op) => (*op).into(),
            other => unreachable!("no caller sends {other:?}"),
        }
    }

    /// The request of this caller in this turn, with a fresh id. Ids sort by time, so they cannot be created
    /// in advance.
    pub(crate) fn request(self, caller: usize, turn: usize) -> Request<Op> {
        // An even step, so that a join comes before its leave.
        Request::with_head(Head::now(), self.at(caller * 34 + turn))
    }
}
