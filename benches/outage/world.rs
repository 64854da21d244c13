//! A nats-server, a database service and a file: what breaks.

use std::time::Duration;

use super::load::Load;
use super::support::{DbFile, NatsServer, ServeProcess};

/// What breaks, for how long it stays so, and how it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL, and a start on the same port.
    ServerKilled,
    /// SIGSTOP, and SIGCONT.
    ServerFrozen,
    /// SIGKILL, and a start on the same file.
    ServiceKilled,
    /// SIGSTOP, and SIGCONT.
    ServiceFrozen,
    /// The server killed, and the file locked by another program.
    BothDown,
}

impl Fault {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ServerKilled => "server killed",
            Self::ServerFrozen => "server frozen",
            Self::ServiceKilled => "service killed",
            Self::ServiceFrozen => "service frozen",
            Self::BothDown => "both paths down",
        }
    }

    /// Whether it is noticed by silence alone.
    pub(crate) const fn frozen(self) -> bool {
        matches!(self, Self::ServerFrozen | Self::ServiceFrozen)
    }
}

/// A fault that was, in the time of its load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) fault: Fault,
    /// The signal is about to be sent.
    pub(crate) began: Duration,
    /// What was away is back: it takes connections, says that it serves, or was woken.
    pub(crate) back: Duration,
}

/// A process that can be taken away.
pub(crate) trait Process: Sized {
    fn kill(&mut self);
    fn freeze(&self);
    fn thaw(&self);
    /// Starts it again, and returns when it serves.
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

/// Who can be taken away, behind one load.
pub(crate) struct World<P> {
    pub(crate) server: NatsServer,
    pub(crate) service: P,
    pub(crate) file: DbFile,
}

impl<P: Process> World<P> {
    /// Lets one fault happen, under a load.
    pub(crate) async fn suffer(&mut self, fault: Fault, lasting: Duration, load: &Load) -> Window {
        let began = load.now();
        let until = tokio::time::Instant::now() + lasting;
        match fault {
            Fault::ServerKilled => {
                self.server.kill();
                tokio::time::sleep_until(until).await;
                self.server.restart().await;
            }
            Fault::ServerFrozen => {
                self.server.freeze();
                tokio::time::sleep_until(until).await;
                self.server.thaw();
            }
            Fault::ServiceKilled => {
                self.service.kill();
                tokio::time::sleep_until(until).await;
                self.service.restart().await;
            }
            Fault::ServiceFrozen => {
                self.service.freeze();
                tokio::time::sleep_until(until).await;
                self.service.thaw();
            }
            Fault::BothDown => {
                let lock = self.file.hold().await;
                self.server.kill();
                tokio::time::sleep_until(until).await;
                lock.release().await;
                self.server.restart().await;
            }
        }
        Window { fault, began, back: load.now() }
    }
}
