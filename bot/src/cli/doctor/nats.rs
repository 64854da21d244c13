//! Whether a NATS server is there, which one, and what it allows.

use tokio::time;

use super::super::args::DoctorArgs;
use super::super::secrets;
use super::connection::{Connection, LIMIT};
use super::finding::Findings;
use super::{jetstream, permissions};

/// The oldest server that is supported.
const OLDEST: (u16, u16) = (2, 9);

pub(super) async fn look(args: &DoctorArgs, findings: &mut Findings) {
    let shown = secrets::redact(&args.nats.nats_url);
    let connection = match Connection::open(args).await {
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
    let is_bot = permissions::look(&connection, findings).await;
    jetstream::look(args, &connection, info.jetstream, is_bot, findings).await;
    let _ = time::timeout(LIMIT, connection.client.drain()).await;
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
