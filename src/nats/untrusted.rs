//! Why a connection cannot be encrypted, as a sentence: which certificate is not accepted by whom, and what helps.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_nats::rustls::pki_types::ServerName;
use async_nats::rustls::{AlertDescription, CertificateError, Error};
use tokio::net::TcpStream;
use tokio::time;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::identity::Identity;
use crate::hints::option;

/// How long a handshake may take.
const LIMIT: Duration = Duration::from_secs(1);

/// Encrypts a connection to a host.
///
/// # Errors
/// Why that is not possible.
pub(super) async fn encrypted(
    stream: TcpStream,
    host: &str,
    identity: &Identity,
) -> Result<TlsStream<TcpStream>, String> {
    let config = identity.tls().await?;
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| format!("{host:?} is no name that a certificate can be for"))?;
    match time::timeout(LIMIT, TlsConnector::from(Arc::new(config)).connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => {
            Err(why(&error, host, identity)
                .unwrap_or_else(|| format!("the handshake for TLS fails: {error}")))
        }
        Err(_) => Err("the server does not answer to the handshake for TLS".to_owned()),
    }
}

/// What an error of an encrypted connection says about certificates, if it is about them.
pub(super) fn why(error: &io::Error, host: &str, identity: &Identity) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match error {
        Error::InvalidCertificate(wrong) => of_server(wrong, host),
        Error::AlertReceived(alert) => of_client(*alert, identity)?,
        _ => return None,
    })
}

/// The server's certificate is not accepted here.
fn of_server(wrong: &CertificateError, host: &str) -> String {
    match wrong {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the server's certificate has expired; is the clock of this machine right?".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet; is the clock of this machine right?".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("the server's certificate is for another host name than {host}")
        }
        CertificateError::UnknownIssuer => format!(
            "the server's certificate is signed by no CA that is trusted here: name one with {}",
            option("nats-ca")
        ),
        CertificateError::Revoked => "the server's certificate is revoked".to_owned(),
        other => format!("the server's certificate is not accepted: {other}"),
    }
}

/// The server does not accept this client's, or misses one.
fn of_client(alert: AlertDescription, identity: &Identity) -> Option<String> {
    let ours = identity.certified().map(|(file, _)| file.display().to_string());
    let missing =
        || format!("the server wants a client certificate: name one with {}", option("nats-certificate"));
    let why = match alert {
        AlertDescription::CertificateRequired => return Some(missing()),
        AlertDescription::CertificateExpired => "it has expired",
        AlertDescription::CertificateRevoked => "it is revoked",
        AlertDescription::UnknownCA => "the server does not know the CA that has signed it",
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied => "the server says no more about it",
        _ => return None,
    };
    Some(match ours {
        Some(file) => format!("the server does not accept the client certificate {file}: {why}"),
        None => missing(),
    })
}
