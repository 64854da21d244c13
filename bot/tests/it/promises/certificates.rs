//! TLS and nkeys towards the NATS server: what is encrypted, who is let in, and that what is wrong with a certificate is said as
//! such, by a client, a service and `rosey doctor`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

use super::permissions::{deployed, server};
use crate::support::program::{finished, rosey, write};
use crate::support::*;

/// Certificates of an authority of their own, as files.
struct Authority {
    dir: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

/// When a certificate is valid: from one year to another.
const NOW: (i32, i32) = (2020, 4000);
const PAST: (i32, i32) = (2001, 2002);
const FUTURE: (i32, i32) = (3000, 4000);

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

    /// Makes `FILE.pem` and `FILE.key`, for a host or a client of this name.
    fn sign(&self, file: &str, name: &str, (from, to): (i32, i32)) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.file(&format!("{file}.pem")), certificate.pem()).unwrap();
        fs::write(self.file(&format!("{file}.key")), key.serialize_pem()).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn path(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }

    /// The TLS of deploy/nats with these files.
    fn tls(&self) -> String {
        deployed("tls.conf").replace("/etc/nats/tls", &self.dir.path().display().to_string())
    }

    /// The options of a client that trusts this authority and shows this certificate of it.
    fn options(&self, certificate: &str) -> Vec<String> {
        let file = |ending: &str| self.path(&format!("{certificate}.{ending}"));
        ["--nats-ca", &self.path("ca.pem"), "--nats-certificate", &file("pem"), "--nats-key", &file("key")]
            .map(str::to_owned)
            .to_vec()
    }
}

/// The address of a server for a user, by this host name.
fn url(server: &NatsServer, user: &str, host: &str) -> String {
    As(user, server).url().replace("127.0.0.1", host)
}

async fn send(url: &str, options: &[String]) -> Ran {
    let mut words = vec!["send", "--nats-url", url];
    words.extend(options.iter().map(String::as_str));
    words.extend(["user_joined", r#"{"username":"alice"}"#]);
    run(&words).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn service_and_bot_reach_a_server_that_wants_certificates_and_a_renewed_one_needs_no_restart() {
    let (store, file, authority) = (tempfile::tempdir().unwrap(), DbFile::new(), Authority::new("ours"));
    for name in ["server", "service", "bot"] {
        authority.sign(name, if name == "server" { "localhost" } else { name }, NOW);
    }
    let mut nats = server(store.path(), None, &authority.tls()).await;
    let (at, database, own) = (url(&nats, "service", "localhost"), file.url(), authority.options("service"));
    let mut words = vec!["serve", "--nats-url", &at, "--database-url", &database];
    words.extend(["--nats-inbox-prefix", "_INBOX.service"]);
    words.extend(own.iter().map(String::as_str));
    let service = ServeProcess::begin(&words);
    service.says(" serving").await;
    let as_bot = || {
        let mut options = authority.options("bot");
        options.extend(["--nats-inbox-prefix", "_INBOX.bot"].map(str::to_owned));
        options
    };
    let at_bot = url(&nats, "bot", "localhost");
    let sent = send(&at_bot, &as_bot()).await;
    assert!(sent.out.contains("via=nats ack=stored"), "{sent:?}");
    // A new authority: of server and of clients.
    let renewed = Authority::new("renewed");
    for name in ["server", "service", "bot"] {
        renewed.sign(name, if name == "server" { "localhost" } else { name }, NOW);
    }
    for name in ["ca.pem", "server.pem", "server.key", "service.pem", "service.key", "bot.pem", "bot.key"] {
        fs::copy(renewed.file(name), authority.file(name)).unwrap();
    }
    nats.restart().await;
    service.says("connected").await;
    wait_until("the service shows its new certificate", || async {
        send(&at_bot, &as_bot()).await.out.contains("via=nats ack=stored")
    })
    .await;
    assert_eq!(service.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_certificate_is_said_as_such() {
    let (ours, stranger) = (Authority::new("ours"), Authority::new("a stranger"));
    ours.sign("bot", "bot", NOW);
    ours.sign("late", "bot", PAST);
    stranger.sign("bot", "bot", NOW);
    let mut servers = Vec::new();
    for valid in [NOW, PAST, FUTURE] {
        ours.sign("server", "localhost", valid);
        // It reads them as it starts.
        servers.push(NatsServer::with_config(&ours.tls()).await);
    }
    let [good, late, early] = &servers[..] else { panic!("three") };
    let plain = NatsServer::start().await;
    let mut strange = ours.options("bot");
    strange[3..].clone_from_slice(&[
        stranger.path("bot.pem"),
        "--nats-key".to_owned(),
        stranger.path("bot.key"),
    ]);
    let right = ours.options("bot");
    let ca = |authority: &Authority| vec!["--nats-ca".to_owned(), authority.path("ca.pem")];
    for (server, host, options, expected) in [
        (good, "localhost", &vec![], "signed by no CA that is trusted here: name one with --nats-ca"),
        (good, "localhost", &ca(&stranger), "signed by no CA that is trusted here: name one with --nats-ca"),
        (good, "127.0.0.1", &right, "certificate is for another host name than 127.0.0.1"),
        (late, "localhost", &right, "the server's certificate has expired"),
        (early, "localhost", &right, "the server's certificate is not valid yet"),
        (good, "localhost", &ca(&ours), "wants a client certificate: name one with --nats-certificate"),
        (good, "localhost", &strange, "does not accept the client certificate"),
        (good, "localhost", &ours.options("late"), "does not accept the client certificate"),
        (&plain, "localhost", &right, "the server offers none"),
    ] {
        let at = url(server, "", host);
        let expected = |said: &str| said.contains("no encrypted connection") && said.contains(expected);
        let sent = send(&at, options).await;
        assert!(sent.code == Some(4) && expected(&sent.err), "{host} {options:?}: {sent:?}");
        let words: Vec<&str> = options.iter().map(String::as_str).collect();
        let mut doctor = rosey(ours.dir.path());
        let looked = finished(doctor.args(["doctor", "--nats-url", &at]).args(&words)).await;
        assert!(looked.code == Some(1) && expected(&looked.out), "{host} {options:?}: {looked:?}");
        let file = DbFile::new();
        let fixed = ["serve", "--nats-url", &at, "--database-url", &file.url()];
        let mut service = ServeProcess::begin(&[&fixed[..], &words].concat());
        service.says("retrying indefinitely").await;
        assert!(expected(&service.log()), "{host} {options:?}: {}", service.log());
        service.kill();
    }
    assert_eq!(send(&url(good, "", "localhost"), &right).await.code, Some(4), "no service is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_nkey_lets_in_who_has_its_seed_and_no_seed_is_shown() {
    let (ours, other) = (nkeys::KeyPair::new_user(), nkeys::KeyPair::new_user());
    let config = format!("authorization {{ users: [ {{ nkey: {} }} ] }}", ours.public_key());
    let (server, dir) = (NatsServer::with_config(&config).await, tempfile::tempdir().unwrap());
    let seed = |name: &str, key: &nkeys::KeyPair| {
        let file = dir.path().join(name);
        write(&file, &format!("# {name}\n{}\n", key.seed().unwrap()));
        vec!["--nats-nkey".to_owned(), file.display().to_string()]
    };
    let (right, wrong) = (seed("right", &ours), seed("wrong", &other));
    let (file, at) = (DbFile::new(), server.url());
    let database = file.url();
    let mut words = vec!["serve", "--nats-url", &at, "--database-url", &database];
    words.extend(right.iter().map(String::as_str));
    let service = ServeProcess::begin(&words);
    service.says(" serving").await;
    let sent = send(&at, &right).await;
    assert!(sent.out.contains("via=nats"), "{sent:?}");
    let mode = |mode| fs::set_permissions(&right[1], fs::Permissions::from_mode(mode)).unwrap();
    for (bits, state) in [(0o644, "warning"), (0o600, "ok")] {
        mode(bits);
        let mut doctor = rosey(dir.path());
        let looked = finished(doctor.args(["doctor", "--json", "--nats-url", &at]).args(&right)).await;
        let found: serde_json::Value = serde_json::from_str(looked.out.lines().next().unwrap()).unwrap();
        let all = found["findings"].as_array().unwrap();
        let of_key = all.iter().find(|finding| finding["name"] == "key mode");
        assert_eq!(of_key.unwrap()["state"], state, "{found:#}");
    }
    let sent = send(&at, &wrong).await;
    assert!(sent.err.contains("refuses our user, password or key"), "{sent:?}");
    // The seed in place of its file.
    let itself = vec!["--nats-nkey".to_owned(), ours.seed().unwrap()];
    for ran in [send(&at, &itself).await, config_of(&dir, &itself).await] {
        assert!(!ran.all().contains(&ours.seed().unwrap()), "{ran:?}");
    }
    assert_eq!(service.terminate().await, Some(0));
}

async fn config_of(dir: &tempfile::TempDir, options: &[String]) -> Ran {
    let mut command: Command = rosey(dir.path());
    finished(command.args(["config", "send"]).args(options)).await
}
