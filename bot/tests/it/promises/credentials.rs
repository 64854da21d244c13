//! Files of credentials, as a server in operator mode wants them: a JWT that its account has signed, and the seed to it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

use crate::support::*;

/// A JWT of this kind about a subject, signed by its issuer.
fn signed(issuer: &KeyPair, about: &KeyPair, kind: &str, expires: Option<i64>, claims: Value) -> String {
    let mut nats = claims;
    nats["type"] = kind.into();
    nats["version"] = 2.into();
    let mut body = json!({
        "jti": about.public_key(), "iat": 1_700_000_000, "iss": issuer.public_key(), "sub": about.public_key(),
        "name": kind, "nats": nats,
    });
    if let Some(expires) = expires {
        body["exp"] = expires.into();
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(&json!({"typ": "JWT", "alg": "ed25519-nkey"})), part(&body));
    let signature = issuer.sign(text.as_bytes()).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A service with this option.
fn served(nats: &str, database: &str, option: &[&str; 2]) -> ServeProcess {
    let words = ["serve", "--nats-url", nats, "--database-url", database];
    ServeProcess::begin(&[&words[..], option].concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_credentials_lets_in_whom_the_account_has_signed_and_the_permissions_are_those_of_the_jwt()
{
    let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
    let limits =
        json!({"subs": -1, "data": -1, "payload": -1, "conn": -1, "leaf": -1, "imports": -1, "exports": -1});
    let of_account = signed(&operator, &account, "account", None, json!({"limits": limits}));
    let server = NatsServer::with_config(&format!(
        "operator: {}\nresolver: MEMORY\nresolver_preload: {{ {}: {of_account} }}\n",
        signed(&operator, &operator, "operator", None, json!({})),
        account.public_key(),
    ))
    .await;
    let dir = tempfile::tempdir().unwrap();
    let credentials = |name: &str, issuer: &KeyPair, expires: Option<i64>, permissions: Value| {
        let user = KeyPair::new_user();
        let mut claims = json!({"subs": -1, "data": -1, "payload": -1});
        claims.as_object_mut().unwrap().extend(permissions.as_object().unwrap().clone());
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            signed(issuer, &user, "user", expires, claims),
            user.seed().unwrap(),
        );
        let file = dir.path().join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        file.display().to_string()
    };
    let everything = credentials("service.creds", &account, None, json!({}));
    let narrow = json!({"pub": {"allow": ["rosey.db.>"]}, "sub": {"allow": ["_INBOX.bot.>"]}});
    let bot = credentials("bot.creds", &account, None, narrow);
    let stranger = credentials("stranger.creds", &KeyPair::new_account(), None, json!({}));
    let expired = credentials("expired.creds", &account, Some(1_700_000_001), json!({}));

    let (url, file) = (server.url(), DbFile::new());
    let database = file.url();
    let service = served(&url, &database, &["--nats-credentials", &everything]);
    service.says(" serving").await;
    let send = async |credentials: &str, prefix: &str| {
        run(&[
            "send",
            "--nats-url",
            &url,
            "--nats-credentials",
            credentials,
            "--nats-inbox-prefix",
            prefix,
            "user_joined",
            r#"{"username":"alice"}"#,
        ])
        .await
    };
    let sent = send(&bot, "_INBOX.bot").await;
    assert!(sent.out.contains("via=nats"), "{sent:?}");
    // Its JWT allows no other inbox.
    let denied = send(&bot, "_INBOX.other").await;
    assert!(
        !denied.out.contains("via=nats") && denied.err.contains("denies us the reply inbox"),
        "{denied:?}"
    );
    for refused in [&stranger, &expired] {
        let sent = send(refused, "_INBOX.bot").await;
        assert_eq!(sent.code, Some(4), "{sent:?}");
        assert!(sent.err.contains("refuses our user, password or key"), "{sent:?}");
        let text = fs::read_to_string(refused).unwrap();
        let seed = text.lines().find(|line| line.starts_with("SU")).unwrap();
        assert!(!sent.err.contains(seed), "the seed is shown");
    }
    assert_eq!(service.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_others_can_read_is_told_when_a_program_starts_that_runs_for_long() {
    let (server, file, dir) = (NatsServer::start().await, DbFile::new(), tempfile::tempdir().unwrap());
    let (seed, url, database) = (dir.path().join("service.nk"), server.url(), file.url());
    fs::write(&seed, KeyPair::new_user().seed().unwrap()).unwrap();
    fs::set_permissions(&seed, fs::Permissions::from_mode(0o644)).unwrap();
    let shown = seed.display().to_string();
    let service = served(&url, &database, &["--nats-nkey", &shown]);
    service
        .says(&format!("{shown}: 0644, and a user who can read it can pass for this one: chmod 0600"))
        .await;
    service.says(" serving").await;
    assert_eq!(service.terminate().await, Some(0));
}
