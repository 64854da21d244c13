//! Who may act: whoever reaches the socket, or knows the token in a file; and only from a page of ours.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use rustls::crypto::ring;

/// The fewest characters of a token.
const SHORTEST: usize = 16;
/// The largest file of one.
const LARGEST: u64 = 4096;

/// Who may act.
#[derive(Clone, Debug)]
pub(in crate::cli::listen) enum Who {
    /// Whoever reaches the socket: its mode says who that is.
    OfSocket,
    /// Who knows the token in this file.
    WithToken(PathBuf),
    /// No act is done from here.
    Disabled,
}

/// Lets in, or not.
#[derive(Clone, Debug)]
pub(in crate::cli::listen) struct Access {
    pub(in crate::cli::listen) who: Who,
    /// Stands in every form of ours, and nobody else can know it.
    key: String,
}

impl Access {
    /// With a key that nobody can guess.
    ///
    /// # Errors
    /// When this machine has no randomness.
    pub(in crate::cli::listen) fn new(who: Who) -> Result<Self, String> {
        let mut bytes = [0_u8; 16];
        let random = ring::default_provider().secure_random;
        random.fill(&mut bytes).map_err(|_| "this machine gives no random numbers".to_owned())?;
        Ok(Self { who, key: bytes.iter().map(|byte| format!("{byte:02x}")).collect() })
    }

    /// What a form has to send back.
    pub(in crate::cli::listen) fn key(&self) -> &str {
        &self.key
    }

    /// Whether a form that was sent with these headers comes from a page of ours, and from somebody who may act.
    ///
    /// # Errors
    /// Why not, as a sentence.
    pub(in crate::cli::listen) fn check(
        &self,
        headers: &HeaderMap,
        key: &str,
        token: &str,
    ) -> Result<(), String> {
        let bearer = text(headers, AUTHORIZATION.as_str()).and_then(|said| said.strip_prefix("Bearer "));
        match &self.who {
            Who::Disabled => return Err(DISABLED.to_owned()),
            // A name that is made to lead here would make another site's page one of ours.
            Who::OfSocket if !is_here(text(headers, HOST.as_str()).unwrap_or_default()) => {
                return Err("the page was asked for by a name; ask by an address, or as localhost".to_owned());
            }
            Who::OfSocket => {}
            Who::WithToken(file) => {
                let known = read(file)?;
                let said = bearer.unwrap_or(token).trim();
                if !same(said.as_bytes(), known.as_bytes()) {
                    return Err("the token is not the one in the file of --listen-token-file".to_owned());
                }
            }
        }
        if !is_ours(headers) || (bearer.is_none() && !same(key.as_bytes(), self.key.as_bytes())) {
            return Err(
                "this form is not one of this process: it was sent from elsewhere, or before a restart. Begin anew"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

const DISABLED: &str = "nothing can be done from here: listen at a socket (--listen unix:PATH), or name the file of a \
                      token (--listen-token-file FILE)";

/// The token in a file that nobody else can read.
///
/// # Errors
/// What is wrong with it, with what to do.
pub(in crate::cli::listen) fn read(file: &Path) -> Result<String, String> {
    let shown = file.display();
    let about = fs::metadata(file).map_err(|e| format!("the token in {shown}: {e}"))?;
    let mode = about.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!(
            "the token in {shown} can be read by others (mode {mode:04o}): chmod 0600 {shown}"
        ));
    }
    if !about.is_file() || about.len() > LARGEST {
        return Err(format!("the token in {shown}: it is no small file"));
    }
    let text = fs::read_to_string(file).map_err(|e| format!("the token in {shown}: {e}"))?;
    let token = text.trim();
    if token.len() < SHORTEST || token.contains(char::is_whitespace) {
        return Err(format!(
            "the token in {shown} must be one word of {SHORTEST} characters or more: openssl rand -hex 24 > {shown}"
        ));
    }
    Ok(token.to_owned())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Whether a browser says that the form stood on another site.
fn is_ours(headers: &HeaderMap) -> bool {
    let site = text(headers, "sec-fetch-site").unwrap_or("same-origin");
    let host = text(headers, HOST.as_str()).unwrap_or_default();
    let origin = match text(headers, ORIGIN.as_str()) {
        Some(origin) => origin.split_once("://").is_some_and(|(_, of)| of == host),
        None => !headers.contains_key(ORIGIN),
    };
    origin && site == "same-origin"
}

/// Whether it is an address, or a name that nobody can make lead elsewhere.
pub(in crate::cli::listen) fn is_here(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    // `rosey` is what programs say at the socket; with a port, a network may resolve it.
    host == "rosey" || name == "localhost" || name.parse::<std::net::IpAddr>().is_ok()
}

/// Whether both are the same, in a time that does not say where they differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_name_that_a_network_may_lead_here_is_not_here() {
        for here in ["localhost", "localhost:7677", "127.0.0.1:7677", "[::1]:7677", "rosey"] {
            assert!(is_here(here), "{here}");
        }
        for elsewhere in ["rosey:7677", "evil.example", "evil.example:7677", ""] {
            assert!(!is_here(elsewhere), "{elsewhere}");
        }
    }

    fn headers(of: &[(&'static str, &'static str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        of.iter().map(header).collect()
    }

    const OURS: [(&str, &str); 3] =
        [("host", "localhost:7677"), ("origin", "http://localhost:7677"), ("sec-fetch-site", "same-origin")];

    #[test]
    fn a_form_of_another_site_is_refused_also_over_the_socket() {
        let access = Access::new(Who::OfSocket).expect("a key");
        access.check(&headers(&OURS), access.key(), "").expect("ours");
        access.check(&headers(&[("host", "rosey")]), access.key(), "").expect("no browser");
        for (headers_of, key) in [
            (&OURS[..], "guessed"),
            (&[OURS[0], ("origin", "http://evil.example")], access.key()),
            (&[OURS[0], ("origin", "null")], access.key()),
            (&[OURS[0], OURS[1], ("sec-fetch-site", "cross-site")], access.key()),
            (&[OURS[0], OURS[1], ("sec-fetch-site", "same-site")], access.key()),
            (&[("host", "evil.example:7677"), ("origin", "http://evil.example:7677")], access.key()),
        ] {
            access.check(&headers(headers_of), key, "").expect_err(&format!("{headers_of:?}"));
        }
    }

    #[test]
    fn without_a_socket_the_token_of_the_file_is_asked_for_each_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("token");
        let write = |text: &str, mode| {
            fs::write(&file, text).expect("written");
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("its mode");
        };
        let access = Access::new(Who::WithToken(file.clone())).expect("a key");
        let check = |token: &str| access.check(&headers(&OURS), access.key(), token);
        assert!(check("x").expect_err("no file").contains("No such file"));
        write("0123456789abcdef\n", 0o600);
        check("0123456789abcdef").expect("the token");
        for wrong in ["", "0123456789abcdeF", "0123456789abcde", "0123456789abcdef0"] {
            check(wrong).expect_err(wrong);
        }
        let scripted = headers(&[("host", "rosey.example"), ("authorization", "Bearer 0123456789abcdef")]);
        access.check(&scripted, "", "").expect("a script needs no form");
        write("0123456789abcdef", 0o640);
        assert!(check("0123456789abcdef").expect_err("readable").contains("chmod 0600"));
        write("short", 0o600);
        assert!(check("short").expect_err("short").contains("16 characters"));
    }

    #[test]
    fn nobody_acts_where_nothing_allows_it() {
        let access = Access::new(Who::Disabled).expect("a key");
        assert!(
            access
                .check(&headers(&OURS), access.key(), "")
                .expect_err("nobody")
                .contains("--listen-token-file")
        );
    }
}
