//! Who a client is, and which servers it trusts: credentials, an nkey, certificates. Each stands in a file.

use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::ConnectOptions;
use async_nats::rustls::pki_types::pem::PemObject;
use async_nats::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use async_nats::rustls::{ClientConfig, RootCertStore};
use tokio::task::spawn_blocking;
use tokio::time;

/// How long reading one of the files may take: a pipe may have no other end.
const LIMIT: Duration = Duration::from_secs(5);
/// Credentials and keys have less than this.
const LARGEST: u64 = 1 << 20;

/// The files, as far as there are some.
#[derive(Clone, Debug, Default)]
pub(super) struct Identity {
    pub(super) credentials: Option<PathBuf>,
    pub(super) nkey: Option<PathBuf>,
    pub(super) root_certificates: Option<PathBuf>,
    pub(super) client_certificate: Option<PathBuf>,
    pub(super) client_key: Option<PathBuf>,
}

impl Identity {
    /// The options with it. The client library reads certificates again for each connection: renewed ones need no restart.
    ///
    /// # Errors
    /// A file cannot be read, or is not what it should be; or two of them exclude each other.
    pub(super) async fn apply(&self, mut options: ConnectOptions) -> Result<ConnectOptions, String> {
        if let Some(file) = &self.credentials {
            if self.nkey.is_some() {
                return Err("credentials and an nkey are two identities: name one of them".to_owned());
            }
            let text = text("credentials", file).await?;
            options = options.credentials(&text).map_err(|e| said("credentials", file, &e))?;
        }
        if let Some(file) = &self.nkey {
            let text = text("nkey", file).await?;
            options = options.nkey(seed(&text).map_err(|why| said("nkey", file, &why))?);
        }
        if !self.wants_tls() {
            return Ok(options);
        }
        if self.client_key.is_some() && self.client_certificate.is_none() {
            return Err("a client key is named without its certificate".to_owned());
        }
        // What is wrong is said now, and not with every attempt to connect.
        self.tls().await?;
        if let Some(file) = &self.root_certificates {
            options = options.add_root_certificates(file.clone());
        }
        if let Some((certificate, key)) = self.certified() {
            options = options.add_client_certificate(certificate.to_owned(), key.to_owned());
        }
        Ok(options.require_tls(true))
    }

    /// Whether the connection has to be encrypted whatever the address says: who names certificates means it.
    pub(super) fn wants_tls(&self) -> bool {
        let files = [&self.root_certificates, &self.client_certificate, &self.client_key];
        files.into_iter().any(Option::is_some)
    }

    /// Certificate and key of this client. One file may hold both.
    pub(super) fn certified(&self) -> Option<(&Path, &Path)> {
        let certificate = self.client_certificate.as_deref()?;
        Some((certificate, self.client_key.as_deref().unwrap_or(certificate)))
    }

    /// What a connection is encrypted with, as the client library makes it of the same files.
    pub(super) async fn tls(&self) -> Result<ClientConfig, String> {
        let own = self.clone();
        let reading = spawn_blocking(move || own.read());
        match time::timeout(LIMIT, reading).await {
            Ok(read) => read.map_err(|e| e.to_string())?,
            Err(_) => Err(format!("the certificates are not read within {LIMIT:?}; name ordinary files")),
        }
    }

    fn read(&self) -> Result<ClientConfig, String> {
        let mut roots = RootCertStore::empty();
        match &self.root_certificates {
            Some(file) => {
                for certificate in certificates("root certificates", file)? {
                    roots.add(certificate).map_err(|e| said("root certificates", file, &e))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let Some((certificate, key)) = self.certified() else { return Ok(builder.with_no_client_auth()) };
        let chain = certificates("client certificate", certificate)?;
        let private =
            PrivateKeyDer::from_pem_file(key).map_err(|e| said("key of the client certificate", key, &e))?;
        builder
            .with_client_auth_cert(chain, private)
            .map_err(|e| said("client certificate", certificate, &format!("its key does not fit ({e})")))
    }
}

/// The certificates in a file, of which there is one at least.
fn certificates(what: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => Err(said(what, file, &"no certificate in the form PEM is in it")),
        Ok(found) => Ok(found),
        Err(e) => Err(said(what, file, &e)),
    }
}

/// What a small file holds.
async fn text(what: &'static str, file: &Path) -> Result<String, String> {
    let path = file.to_owned();
    let reading = spawn_blocking(move || {
        let mut text = String::new();
        File::open(path)?.take(LARGEST).read_to_string(&mut text)?;
        Ok::<_, std::io::Error>(text)
    });
    match time::timeout(LIMIT, reading).await {
        Ok(Ok(read)) => read.map_err(|e| said(what, file, &e)),
        Ok(Err(e)) => Err(said(what, file, &e)),
        Err(_) => Err(said(what, file, &format!("not read within {LIMIT:?}; name an ordinary file"))),
    }
}

/// The seed of a user in a text; other lines of it are comments. An error repeats nothing of it.
fn seed(text: &str) -> Result<String, &'static str> {
    let seed = text.lines().map(str::trim).find(|line| line.starts_with("SU"));
    let seed = seed.ok_or("no seed of a user, which begins with SU, is in it")?;
    nkeys::KeyPair::from_seed(seed).map_err(|_| "the seed in it is damaged")?;
    Ok(seed.to_owned())
}

fn said(what: &str, file: &Path, why: &dyn Display) -> String {
    format!("{what} {}: {why}", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_found_among_comments_and_no_part_of_a_wrong_one_is_told() {
        let right = nkeys::KeyPair::new_user().seed().expect("a seed");
        assert_eq!(seed(&format!("# of the bot\n  {right}  \n")), Ok(right.clone()));
        let account = nkeys::KeyPair::new_account().seed().expect("a seed");
        for wrong in ["", "SUX", &right[..20], &account] {
            let why = seed(wrong).expect_err(wrong);
            assert!(wrong.is_empty() || !why.contains(wrong), "{why}");
        }
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_file_is_told_with_its_name_before_anything_connects() {
        let file = std::env::temp_dir().join(format!("eitherway-identity-{}", std::process::id()));
        std::fs::write(&file, "nothing of use").expect("written");
        let some = || Some(file.clone());
        let missing = || Some(PathBuf::from("/no/such/file.pem"));
        let none = Identity::default;
        for (identity, expected) in [
            (Identity { nkey: missing(), ..none() }, "nkey /no/such/file.pem"),
            (Identity { nkey: some(), ..none() }, "no seed of a user"),
            (Identity { credentials: missing(), ..none() }, "credentials /no/such/file.pem"),
            (Identity { credentials: some(), nkey: some(), ..none() }, "two identities"),
            (Identity { root_certificates: missing(), ..none() }, "root certificates /no/such/file.pem"),
            (Identity { root_certificates: some(), ..none() }, "no certificate in the form PEM"),
            (Identity { client_certificate: missing(), ..none() }, "client certificate /no/such/file.pem"),
            (Identity { client_key: some(), ..none() }, "without its certificate"),
        ] {
            let refused = identity.apply(ConnectOptions::new()).await;
            let said = refused.map(drop).expect_err(expected);
            assert!(said.contains(expected), "{said}");
        }
        std::fs::remove_file(file).expect("removed");
    }
}
