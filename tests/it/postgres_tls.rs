//! TLS and passwords, with a server that asks for them: what is encrypted and checked, and what is said when a certificate or a
//! password is not accepted.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::{LIMIT, Postgres, wait_until};
use eitherway::Db;
use eitherway::postgres::PostgresOptions;
use eitherway::sql::SqlService;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rosey::op::{Op, RoseyClient};
use sqlx::Connection;

/// Who may come, and how.
const HBA: &str = "
    host    all postgres     127.0.0.1/32 trust
    hostssl all encrypted    127.0.0.1/32 trust
    hostssl all certified    127.0.0.1/32 cert
    host    all with_a_word  127.0.0.1/32 scram-sha-256";

const ROLES: &str = "
    CREATE ROLE encrypted SUPERUSER LOGIN; CREATE ROLE certified SUPERUSER LOGIN;
    CREATE ROLE with_a_word SUPERUSER LOGIN PASSWORD 's3cret'";

/// Certificates of an authority of their own, as files.
struct Authority {
    dir: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        fs::write(dir.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { dir, issuer: Issuer::new(params, key) }
    }

    /// Makes `NAME.pem` and `NAME.key`.
    fn sign(&self, name: &str) {
        self.sign_until(name, 4000);
    }

    /// The same, valid until this year.
    fn sign_until(&self, name: &str, year: i32) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(year, 1, 1));
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.file(&format!("{name}.pem")), certificate.pem()).unwrap();
        let file = self.file(&format!("{name}.key"));
        fs::write(&file, key.serialize_pem()).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn path(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }
}

/// A server whose certificate is for `localhost`, if it can do TLS.
async fn server(authority: &Authority) -> Postgres {
    authority.sign("localhost");
    // A server without TLS takes no line about it.
    let rules: Vec<&str> =
        HBA.lines().filter(|rule| Postgres::has_tls() || !rule.trim_start().starts_with("hostssl")).collect();
    fs::write(authority.file("hba"), rules.join("\n") + "\n").unwrap();
    let settings = [
        format!("ssl={}", Postgres::has_tls()),
        format!("ssl_cert_file={}", authority.path("localhost.pem")),
        format!("ssl_key_file={}", authority.path("localhost.key")),
        format!("ssl_ca_file={}", authority.path("ca.pem")),
        format!("hba_file={}", authority.path("hba")),
    ];
    let server = Postgres::start(&settings.each_ref().map(String::as_str));
    sqlx::raw_sql(ROLES).execute(&mut server.connect("postgres").await).await.unwrap();
    server
}

/// Opens it, writes and reads; returns whether all of it was encrypted.
async fn used(url: &str) -> Result<bool, String> {
    let options = PostgresOptions::new(url).map_err(|e| e.to_string())?.retention(None);
    let since = Instant::now();
    let opened = SqlService::<Op>::open_postgres(&options).await;
    // What is refused is refused at once: nothing is repeated at the start.
    assert!(opened.is_ok() || since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
    let db = Db::new(opened.map_err(|e| e.to_string())?);
    db.message_log("alice", "hello").await.unwrap();
    db.recent_chat(10).await.unwrap();
    let mut raw = sqlx::PgConnection::connect(url).await.unwrap();
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
        WHERE application_name = 'eitherway' AND datname = current_database() HAVING count(*) >= 2";
    let encrypted = sqlx::query_scalar(encrypted).fetch_one(&mut raw).await.unwrap();
    db.stack().close().await;
    // The server knows a connection for a moment after it has ended, and the next one looks.
    let left = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'eitherway' AND datname = current_database()";
    while sqlx::query(left).fetch_optional(&mut raw).await.unwrap().is_some() {
        assert!(since.elapsed() < LIMIT, "its connections end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(encrypted)
}

/// An address as this role, by this name of the host.
fn of(url: &str, role: &str, host: &str, parameters: &str) -> String {
    format!("{}?{parameters}", url.replace("postgres@127.0.0.1", &format!("{role}@{host}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mode_of_tls_checks_what_it_promises_and_says_what_is_wrong() {
    if !Postgres::has_tls() {
        eprintln!("SKIPPED: this PostgreSQL is built without TLS");
        return;
    }
    let (authority, stranger) = (Authority::new("ours"), Authority::new("a stranger"));
    let server = server(&authority).await;
    let (url, plain) = (server.database().await, Postgres::shared().database().await);
    let ca = format!("sslrootcert={}", authority.path("ca.pem"));
    let other = format!("sslrootcert={}", stranger.path("ca.pem"));
    let (unknown, name, off) =
        ("signed by no CA that is trusted here", "another host name", "TLS turned off");
    for (mode, host, ca, expected) in [
        ("disable", "localhost", "", Ok(false)),
        ("allow", "localhost", "", Ok(true)),
        ("prefer", "localhost", "", Ok(true)),
        ("require", "localhost", "", Ok(true)),
        ("require", "localhost", &ca, Ok(true)),
        ("require", "localhost", &other, Err(unknown)),
        ("verify-ca", "127.0.0.1", &ca, Ok(true)),
        ("verify-ca", "localhost", &other, Err(unknown)),
        ("verify-full", "localhost", &ca, Ok(true)),
        ("verify-full", "127.0.0.1", &ca, Err(name)),
        ("verify-full", "localhost", &other, Err(unknown)),
        ("verify-full", "localhost", "", Err(unknown)),
    ] {
        let found = used(&of(&url, "postgres", host, &format!("sslmode={mode}&{ca}"))).await;
        match (&found, expected) {
            (Err(said), Err(expected)) => assert!(said.contains(expected), "{mode} {host} {ca}: {said}"),
            _ => assert_eq!(found.as_ref().ok(), expected.as_ref().ok(), "{mode} {host} {ca}: {found:?}"),
        }
    }
    for mode in ["require", "verify-full"] {
        let said = used(&of(&plain, "postgres", "localhost", &format!("sslmode={mode}"))).await.unwrap_err();
        assert!(said.contains(off), "{mode}: {said}");
    }
    assert_eq!(used(&of(&plain, "postgres", "localhost", "sslmode=prefer")).await, Ok(false));
    let said = used(&of(&url, "encrypted", "localhost", "sslmode=disable")).await.unwrap_err();
    assert!(said.contains("no encryption") && said.contains("such as TLS"), "{said}");
    authority.sign_until("localhost", 2002);
    sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut server.connect("postgres").await).await.unwrap();
    let full = of(&url, "postgres", "localhost", &format!("sslmode=verify-full&{ca}"));
    wait_until("an expired certificate is called that", || async {
        used(&full).await.is_err_and(|said| said.contains("certificate has expired"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_shows_its_certificate_and_is_told_when_it_is_missing_or_not_accepted() {
    if !Postgres::has_tls() {
        eprintln!("SKIPPED: this PostgreSQL is built without TLS");
        return;
    }
    let (authority, stranger) = (Authority::new("ours"), Authority::new("a stranger"));
    let server = server(&authority).await;
    let url = server.database().await;
    for authority in [&authority, &stranger] {
        authority.sign("certified");
    }
    let of = |authority: &Authority| {
        let files = format!("{}&sslkey={}", authority.path("certified.pem"), authority.path("certified.key"));
        of(&url, "certified", "localhost", &format!("sslmode=require&sslcert={files}"))
    };
    assert_eq!(used(&of(&authority)).await, Ok(true));
    let said = used(&of(&stranger)).await.unwrap_err();
    assert!(said.contains("certificate"), "{said}");
    let said = used(&url.replace("postgres@127.0.0.1", "certified@localhost")).await.unwrap_err();
    assert!(said.contains("valid client certificate"), "{said}");
    let said =
        used(&format!("{url}?sslmode=require&sslcert=/no/such.pem&sslkey=/no/such.key")).await.unwrap_err();
    assert!(said.contains("/no/such.pem"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_checked_and_a_wrong_one_is_said_at_once() {
    let authority = Authority::new("ours");
    let server = server(&authority).await;
    let url = server.database().await;
    let of = |login: &str| url.replace("postgres@", &format!("{login}@"));
    assert_eq!(used(&of("with_a_word:s3cret")).await, Ok(Postgres::has_tls()));
    for login in ["with_a_word:s3kret", "with_a_word"] {
        let said = used(&of(login)).await.unwrap_err();
        assert!(said.contains("28P01") && said.contains("PGPASSFILE") && !said.contains("s3kret"), "{said}");
    }
    let file = authority.file("word");
    fs::write(&file, "s3cret\n").unwrap();
    let options = PostgresOptions::new(&of("with_a_word")).unwrap().password_file(&file).unwrap();
    SqlService::<Op>::open_postgres(&options).await.unwrap().close().await;
}
