//! Which server a channel is on: its site tells at `/socketconfig/CHANNEL.json`.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, Uri, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::super::link::Ended;
use super::super::link::tcp::{self, is_local};
use super::Address;

/// How long the site may take to tell.
const TELLS: Duration = Duration::from_secs(30);
/// The longest answer, in bytes.
const LONGEST: usize = 64 * 1024;

/// The server that a channel is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    servers: Vec<Entry>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    url: String,
}

/// Asks the site for the server.
pub(super) async fn server(address: &Address, connector: Option<&TlsConnector>) -> Result<Server, Ended> {
    match timeout(TELLS, ask(address, connector)).await {
        Ok(Ok((status, answer))) => chosen(address, status, &answer),
        Ok(Err(error)) => Err(Ended::Lost(error.to_string())),
        Err(_) => Err(Ended::Lost(format!("the site does not tell within {TELLS:?} where the channel is"))),
    }
}

async fn ask(
    address: &Address,
    connector: Option<&TlsConnector>,
) -> Result<(StatusCode, Vec<u8>), Box<dyn std::error::Error + Send + Sync>> {
    let Address { host, port, channel, .. } = address;
    let stream = tcp::connect(host, *port, connector).await?;
    let (mut site, connection) = http1::handshake::<_, Body>(TokioIo::new(stream)).await?;
    // Ends with this function.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let usual = *port == if address.tls { 443 } else { 80 };
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let request = Request::get(format!("/socketconfig/{channel}.json"))
        .header(header::HOST, if usual { host } else { format!("{host}:{port}") })
        .header(header::USER_AGENT, concat!("rosey/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close")
        .body(Body::empty())?;
    let response = site.send_request(request).await?;
    let status = response.status();
    let body = to_bytes(Body::new(response.into_body()), LONGEST).await?;
    Ok((status, body.to_vec()))
}

fn chosen(address: &Address, status: StatusCode, answer: &[u8]) -> Result<Server, Ended> {
    let answer = serde_json::from_slice::<Answer>(answer).map_err(|_| {
        Ended::Lost(format!(
            "the site answers {status} to the question where the channel is, and not as CyTube does"
        ))
    })?;
    if let Some(error) = answer.error {
        let error = error.escape_debug();
        let reason = format!("the site has no channel `{}`: {error}", address.channel);
        return Err(if status == StatusCode::NOT_FOUND {
            Ended::Refused(reason)
        } else {
            Ended::Lost(reason)
        });
    }
    let mut known = answer.servers.iter().filter_map(|entry| parsed(&entry.url));
    // An encrypted site is not left for a server that is not.
    let Some(server) = known.find(|server| server.tls == address.tls) else {
        let kind = if address.tls { "encrypted" } else { "unencrypted" };
        return Err(Ended::Lost(format!("the site names no {kind} server for the channel")));
    };
    if address.login.is_some() && !server.tls && !is_local(&server.host) {
        let reason = format!("the password would go unencrypted to {}", server.host.escape_debug());
        return Err(Ended::Refused(reason));
    }
    Ok(server)
}

fn parsed(url: &str) -> Option<Server> {
    let uri: Uri = url.parse().ok()?;
    let tls = match uri.scheme_str()? {
        "https" | "wss" => true,
        "http" | "ws" => false,
        _ => return None,
    };
    let host = uri.host()?.trim_matches(['[', ']']).to_owned();
    Some(Server { tls, host, port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(chat: &str, tls: bool, status: u16, answer: &str) -> Result<Server, Ended> {
        let address = Address::parse(chat, tls).expect("an address");
        chosen(&address, StatusCode::from_u16(status).expect("a status"), answer.as_bytes())
    }

    #[test]
    fn the_server_is_one_that_is_as_safe_as_the_site() {
        let both = r#"{"servers":[{"url":"http://a.test:8880","secure":false},{"url":"https://b.test:8443","secure":true}]}"#;
        let server = |tls, host: &str, port| Ok(Server { tls, host: host.to_owned(), port });
        assert_eq!(told("//cytu.be/c", true, 200, both), server(true, "b.test", 8443));
        assert_eq!(told("//cytu.be/c", false, 200, both), server(false, "a.test", 8880));
        let six = r#"{"servers":[{"url":"ftp://x"},{"url":"%"},{"url":"https://[::1]"}]}"#;
        assert_eq!(told("//cytu.be/c", true, 200, six), server(true, "::1", 443));
    }

    #[test]
    fn what_passes_is_tried_again_and_what_does_not_ends() {
        let both = r#"{"servers":[{"url":"http://a.test"}]}"#;
        let lost = |told: Result<Server, Ended>| matches!(told, Err(Ended::Lost(_)));
        assert!(lost(told("//cytu.be/c", true, 200, both)), "no encrypted one");
        assert!(lost(told("//cytu.be/c", true, 502, "<html>")));
        assert!(lost(told("//cytu.be/c", true, 500, r#"{"error":"overload"}"#)));
        assert!(lost(told("//cytu.be/c", true, 200, "{}")));
        let refused = |told: Result<Server, Ended>| matches!(told, Err(Ended::Refused(_)));
        assert!(refused(told("//cytu.be/c", true, 404, r#"{"error":"Channel \"c\" does not exist"}"#)));
        assert!(refused(told("//127.0.0.1/c?login=f", false, 200, both)), "a password to another machine");
    }
}
