//! The state of a connection, as its events tell, and what has been said of the server.

use parking_lot::{Mutex, MutexGuard};

use crate::nats::failure;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Carries {
    /// Requests and their answers.
    Requests,
    /// The stream: messages, acknowledgements, and what JetStream is asked.
    Stream,
}

/// The connection, as its events tell.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Connection {
    pub(super) up: bool,
    pub(super) closed: bool,
    /// How often it came up.
    pub(super) times: u64,
    /// The server has said that it is about to stop.
    pub(super) lame: bool,
    /// The server does not let us ask JetStream.
    pub(super) stream_denied: bool,
    /// The server does not let us listen to everything below a name.
    pub(super) narrow: bool,
    /// It does not let us ask who else answers on our subjects, or on `$SRV`.
    pub(super) asking_denied: bool,
    pub(super) micro_denied: bool,
    /// Our user or password is wrong.
    pub(super) refused: bool,
    /// Why the last try to connect failed.
    pub(super) failure: Option<failure::Kind>,
}

/// What has been said of the server, whichever connection met it first.
#[derive(Debug, Default)]
pub(super) struct ServerLog(Mutex<LoggedState>);

#[derive(Debug, Default)]
pub(super) struct LoggedState {
    connected: bool,
    pub(super) refused: bool,
    pub(super) lame: bool,
    cannot_serve: bool,
    pub(super) failure: Option<failure::Kind>,
    /// Which connections are lost.
    lost: Vec<Carries>,
}

impl ServerLog {
    /// The service cannot begin although it is connected. Returns whether that is to be said.
    pub(super) fn cannot_serve(&self) -> bool {
        !std::mem::replace(&mut self.sayings().cannot_serve, true)
    }

    pub(super) fn sayings(&self) -> MutexGuard<'_, LoggedState> {
        self.0.lock()
    }

    /// A connection is up. Returns whether it is the first one of all, and whether it is the last one of those that were lost.
    pub(super) fn up(&self, carries: Carries) -> (bool, bool) {
        let mut said = self.sayings();
        (said.refused, said.lame, said.failure) = (false, false, None);
        let was_lost = said.lost.contains(&carries);
        said.lost.retain(|lost| *lost != carries);
        (!std::mem::replace(&mut said.connected, true), was_lost && said.lost.is_empty())
    }

    /// A connection is lost. Returns whether it is the first one.
    pub(super) fn lost(&self, carries: Carries) -> bool {
        let mut said = self.sayings();
        let known = said.lost.contains(&carries);
        if !known {
            said.lost.push(carries);
        }
        !known && said.lost.len() == 1
    }
}
