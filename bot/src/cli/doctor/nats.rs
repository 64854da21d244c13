//! Whether a NATS server is there, which one, and what it allows.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Event};
use parking_lot::Mutex;
use tokio::time;

use super::super::args::DoctorArgs;
use super::super::secrets;
use super::finding::Findings;
use super::{jetstream, permissions};
use eitherway::__private::connecting::once;
use eitherway::Namespace;

/// How long connecting, and one answer, may take.
const LIMIT: Duration = Duration::from_secs(5);

/// When nothing has been refused for this long nothing more is, and how often that is waited for.
const QUIET: Duration = Duration::from_millis(200);
const TIMES: usize = 10;

/// The oldest server that is supported.
const OLDEST: (u16, u16) = (2, 9);

/// A connection, and what the server has said of it.
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) namespace: Namespace,
    said: Arc<Mutex<Vec<String>>>,
}

impl Connection {
    /// What is answered; none if nothing is in time, or nobody is there.
    pub(super) async fn ask(&self, subject: String, payload: String) -> Option<Vec<u8>> {
        let answer = time::timeout(LIMIT, self.client.request(subject, payload.into())).await;
        answer.ok()?.ok().map(|message| message.payload.to_vec())
    }

    /// What the server has refused so far, in small letters, once no more of it comes: the client tells of it behind the answers.
    pub(super) async fn all_refused(&self) -> Vec<String> {
        let mut known = usize::MAX;
        for _ in 0..TIMES {
            let now = self.said.lock().len();
            if std::mem::replace(&mut known, now) == now {
                break;
            }
            time::sleep(QUIET).await;
        }
        self.said.lock().iter().map(|said| said.to_lowercase()).collect()
    }
}

pub(super) async fn look(args: &DoctorArgs, findings: &mut Findings) {
    let shown = secrets::redact(&args.nats.nats_url);
    let connection = match connect(args).await {
        Ok(connection) => connection,
        Err(why) => {
            let advice = "start a server, name it with --nats-url, or look at user, password and certificate; a bot with a \
                          database works without one, a service waits for it";
            return findings.fail("nats", format!("{shown}: {why}"), advice);
        }
    };
    let info = connection.client.server_info();
    let said = format!(
        "{shown}: {} {}, {} bytes a message at most",
        info.server_name, info.version, info.max_payload
    );
    match version(&info.version) {
        Some(version) if version < OLDEST => {
            let (major, minor) = OLDEST;
            findings.fail("nats", said, format!("use a server of version {major}.{minor} or later"));
        }
        _ => findings.ok("nats", said),
    }
    if info.max_payload < 512 << 10 {
        findings.warn(
            "nats payload",
            format!("{} bytes", info.max_payload),
            "an operation may have 256 KiB, and an answer more: set max_payload of the server to 1MB",
        );
    }
    permissions::look(&connection, findings).await;
    jetstream::look(args, &connection, info.jetstream, findings).await;
    let _ = time::timeout(LIMIT, connection.client.drain()).await;
}

async fn connect(args: &DoctorArgs) -> Result<Connection, String> {
    let said = Arc::<Mutex<Vec<String>>>::default();
    let heard = Arc::clone(&said);
    let options = args.nats.options("rosey-doctor");
    let client = once(&options, LIMIT, move |event| {
        if let Event::ServerError(error) = event {
            heard.lock().push(error.to_string());
        }
    });
    let client = client.await.map_err(|why| secrets::hide(&why))?;
    Ok(Connection { client, namespace: args.store.namespace.clone().unwrap_or_default(), said })
}

fn version(text: &str) -> Option<(u16, u16)> {
    let mut parts = text.split(['.', '-']).map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_of_a_server_is_compared_by_its_first_two_numbers() {
        assert_eq!(version("2.10.14"), Some((2, 10)));
        assert_eq!(version("2.12.0-RC.1"), Some((2, 12)));
        assert_eq!(version("go"), None);
        assert!(version("2.8.4") < Some(OLDEST) && version("2.10.0") > Some(OLDEST));
    }
}
