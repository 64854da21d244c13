//! The parts that fail: a nats-server, a database service and a file.

use std::time::Duration;

use super::load::Load;
use super::support::{BOTH, DbFile, NatsServer, Proxy, ServeProcess};

/// A fault and how it is repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL, and a restart on the same port.
    ServerKilled,
    /// SIGSTOP, and SIGCONT.
    ServerFrozen,
    /// SIGKILL, and a restart on the same file.
    ServiceKilled,
    /// SIGSTOP, and SIGCONT.
    ServiceFrozen,
    /// The server killed, and the file locked by another program.
    BothDown,
    /// No byte passes, and no connection ends.
    NetworkStalled,
    /// The file locked by another program.
    Locked,
    /// The same, and the server frozen.
    LockedAndServerFrozen,
    /// The same, and the service frozen.
    LockedAndServiceFrozen,
    /// The same, and the network stalled.
    LockedAndStalled,
}

impl Fault {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ServerKilled => "server killed",
            Self::ServerFrozen => "server frozen",
            Self::ServiceKilled => "service killed",
            Self::ServiceFrozen => "service frozen",
            Self::BothDown => "both paths down",
            Self::NetworkStalled => "network stalled",
            Self::Locked => "locked",
            Self::LockedAndServerFrozen => "locked, server frozen",
            Self::LockedAndServiceFrozen => "locked, service frozen",
            Self::LockedAndStalled => "locked, network stalled",
        }
    }

    /// Whether the file is locked, and what else fails.
    pub(crate) const fn parts(self) -> (bool, Option<Self>) {
        match self {
            Self::Locked => (true, None),
            Self::BothDown => (true, Some(Self::ServerKilled)),
            Self::LockedAndServerFrozen => (true, Some(Self::ServerFrozen)),
            Self::LockedAndServiceFrozen => (true, Some(Self::ServiceFrozen)),
            Self::LockedAndStalled => (true, Some(Self::NetworkStalled)),
            one => (false, Some(one)),
        }
    }

    /// Whether the fault shows only as silence.
    pub(crate) const fn frozen(self) -> bool {
        matches!(self.parts().1, Some(Self::ServerFrozen | Self::ServiceFrozen | Self::NetworkStalled))
    }
}

/// The time of a fault, relative to the start of its load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) fault: Fault,
    /// When the signal is about to be sent.
    pub(crate) began: Duration,
    /// When the failed part is back: it accepts connections, reports that it serves, or was continued.
    pub(crate) back: Duration,
}

/// A process that can be killed and frozen.
pub(crate) trait Process: Sized {
    fn kill(&mut self);
    fn freeze(&self);
    fn thaw(&self);
    /// Starts the process again, and returns when it serves.
    async fn restart(&mut self);
}

impl Process for ServeProcess {
    fn kill(&mut self) {
        (**self).kill();
    }

    fn freeze(&self) {
        (**self).freeze();
    }

    fn thaw(&self) {
        (**self).thaw();
    }

    async fn restart(&mut self) {
        Self::restart(self).await;
    }
}

/// The parts behind one load.
pub(crate) struct World<P> {
    pub(crate) server: NatsServer,
    pub(crate) service: P,
    pub(crate) file: DbFile,
    /// Between bot and server, if it can fail.
    pub(crate) network: Option<Proxy>,
}

impl<P: Process> World<P> {
    /// Causes one fault under a load, and repairs it.
    pub(crate) async fn suffer(&mut self, fault: Fault, lasting: Duration, load: &Load) -> Window {
        let began = load.now();
        let until = tokio::time::Instant::now() + lasting;
        let (locks, fails) = fault.parts();
        let lock = if locks { Some(self.file.hold().await) } else { None };
        match fails {
            Some(Fault::ServerKilled) => self.server.kill(),
            Some(Fault::ServerFrozen) => self.server.freeze(),
            Some(Fault::ServiceKilled) => self.service.kill(),
            Some(Fault::ServiceFrozen) => self.service.freeze(),
            Some(Fault::NetworkStalled) => self.network.as_ref().unwrap().stall(BOTH),
            _ => {}
        }
        tokio::time::sleep_until(until).await;
        if let Some(lock) = lock {
            lock.release().await;
        }
        match fails {
            Some(Fault::ServerKilled) => self.server.restart().await,
            Some(Fault::ServerFrozen) => self.server.thaw(),
            Some(Fault::ServiceKilled) => self.service.restart().await,
            Some(Fault::ServiceFrozen) => self.service.thaw(),
            Some(Fault::NetworkStalled) => self.network.as_ref().unwrap().heal().await,
            _ => {}
        }
        Window { fault, began, back: load.now() }
    }
}
