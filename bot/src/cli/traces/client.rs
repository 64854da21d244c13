//! The way to the receiver: HTTP, with the encryption that the rest of the program has.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderValue, Request, Response, Uri, header};
use futures_util::future::BoxFuture;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opentelemetry_http::{HttpClient, HttpError};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::queue::Sent;
use crate::bot::chat::link::{tcp, tls};

/// As long may one request take.
const LONGEST: Duration = Duration::from_secs(10);
/// The longest answer, in bytes.
const LARGEST: usize = 64 * 1024;

/// A connection for each request: there is one every few seconds.
pub(super) struct Client {
    connector: Option<TlsConnector>,
    runtime: Handle,
    sent: Arc<Sent>,
}

impl Client {
    /// A client for this address. With a file of certificates, they are the trusted ones.
    ///
    /// # Errors
    /// The certificates cannot be read.
    pub(super) fn new(
        endpoint: &str,
        certificates: Option<&Path>,
        runtime: Handle,
        sent: Arc<Sent>,
    ) -> io::Result<Self> {
        let encrypted = endpoint.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
        let connector = if encrypted { Some(tls::connector(certificates)?) } else { None };
        Ok(Self { connector, runtime, sent })
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl HttpClient for Client {
    fn send_bytes<'a, 'f>(
        &'a self,
        request: Request<Bytes>,
    ) -> BoxFuture<'f, Result<Response<Bytes>, HttpError>>
    where
        'a: 'f,
        Self: 'f,
    {
        let connector = self.connector.clone();
        // The caller is a thread of the library, and no task.
        let sending = self.runtime.spawn(async move { timeout(LONGEST, send(request, connector)).await });
        Box::pin(async move {
            let answer = match sending.await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(format!("no answer within {LONGEST:?}").into()),
                Err(ended) => Err(ended.into()),
            };
            match &answer {
                Ok(answer) if answer.status().is_success() => {}
                Ok(answer) => self.sent.failed(&format!("it answers {}", answer.status())),
                Err(why) => self.sent.failed(&why.to_string()),
            }
            answer
        })
    }
}

async fn send(
    request: Request<Bytes>,
    connector: Option<TlsConnector>,
) -> Result<Response<Bytes>, HttpError> {
    let (mut parts, body) = request.into_parts();
    let host = parts.uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = parts.uri.port_u16().unwrap_or(if connector.is_some() { 443 } else { 80 });
    let authority = parts.uri.authority().map_or("", |authority| authority.as_str());
    let named = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    parts.headers.insert(header::HOST, HeaderValue::from_str(named)?);
    parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    let agent = concat!("rosey/", env!("CARGO_PKG_VERSION"));
    parts.headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = path.parse::<Uri>()?;
    let stream = tcp::connect(&host, port, connector.as_ref()).await?;
    let (mut receiver, connection) = http1::handshake::<_, Body>(TokioIo::new(stream)).await?;
    // Ends with this function.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let answer = receiver.send_request(Request::from_parts(parts, Body::from(body))).await?;
    let (parts, body) = answer.into_parts();
    let body = to_bytes(Body::new(body), LARGEST).await?;
    Ok(Response::from_parts(parts, body))
}
