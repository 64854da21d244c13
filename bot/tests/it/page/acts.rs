//! Who may act, and what comes of it, over HTTP.

use reqwest::StatusCode;

use super::{TOKEN, bury, serve, token};
use crate::outbox::kit::refused;
use crate::support::program::{Ran, Running, rosey};
use crate::support::*;

const LETTERS: &str = "subject=rosey.db.user.joined&code=invalid&newest=1000";

/// Sends a form as it stands.
async fn post(client: &reqwest::Client, address: &str, form: String) -> (StatusCode, String) {
    let asked =
        client.post(format!("{address}/act")).header("content-type", "application/x-www-form-urlencoded");
    let answer = asked.body(form).send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

/// The key in the form of a confirmation.
async fn key(client: &reqwest::Client, address: &str) -> String {
    let page = client.get(format!("{address}/act?act=drop-letters&{LETTERS}")).send().await.unwrap();
    let page = page.text().await.unwrap();
    let after = page.split("name=\"key\" value=\"").nth(1).unwrap_or_else(|| panic!("{page}"));
    after.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn nothing_is_done_without_the_token_the_form_and_the_page_it_stood_on() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let (_process, address) = serve(&server, &file).await;
    bury(&server, 2, &file).await;
    let client = reqwest::Client::new();
    let key = key(&client, &address).await;
    for form in [
        format!("act=drop-letters&{LETTERS}"),
        format!("act=drop-letters&{LETTERS}&key={key}"),
        format!("act=drop-letters&{LETTERS}&key={key}&token=wrong"),
        format!("act=drop-letters&{LETTERS}&token={TOKEN}"),
        format!("act=drop-letters&{LETTERS}&key=0&token={TOKEN}"),
    ] {
        let (code, said) = post(&client, &address, form.clone()).await;
        assert_eq!(code, StatusCode::FORBIDDEN, "{form}: {said}");
    }
    let whole = format!("act=drop-letters&{LETTERS}&key={key}&token={TOKEN}");
    for (name, value) in [("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")] {
        let elsewhere = client.post(format!("{address}/act")).header(name, value);
        let kind = ("content-type", "application/x-www-form-urlencoded");
        let refused = elsewhere.header(kind.0, kind.1).body(whole.clone()).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{name}: {value}");
    }
    // By an address alone nothing is done, whatever it says.
    let asked = client.get(format!("{address}/act?{whole}")).send().await.unwrap();
    assert!(asked.text().await.unwrap().contains("<form"), "it only asks");
    let (code, _) = post(&client, &address, format!("act=drop-letters&subject={}", "x".repeat(10_000))).await;
    assert!(code.is_client_error(), "{code}");
    assert_eq!(file.dead_letters().await, 2, "nothing was done");
    let (code, said) = post(&client, &address, whole).await;
    assert!(code == StatusCode::OK && said.contains("2 letters were removed"), "{code}: {said}");
    assert_eq!(file.dead_letters().await, 0);
}

#[tokio::test]
async fn over_a_socket_no_token_is_asked_for_and_over_tcp_nobody_acts_without_one() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let path = file.dir().join("rosey.sock");
    let listen = format!("unix:{}", path.display());
    let process = ServeProcess::start_with(&server, &file, &["--listen", &listen]).await;
    bury(&server, 1, &file).await;
    let socket = reqwest::Client::builder().unix_socket(path).build().unwrap();
    let key = key(&socket, "http://rosey").await;
    let form = format!("act=retry-letters&{LETTERS}&key={key}");
    let (code, said) = post(&socket, "http://name-of-another-site", form.clone()).await;
    assert_eq!(code, StatusCode::MISDIRECTED_REQUEST, "{said}");
    let (code, said) = post(&socket, "http://rosey", form).await;
    assert!(
        code == StatusCode::CONFLICT && said.contains("could not be"),
        "it is as wrong as before: {said}"
    );
    process.terminate_and_log().await;

    let process = ServeProcess::start_with(&server, &file, &["--listen", "127.0.0.1:0"]).await;
    let address = super::address(&process).await;
    let (code, said) = post(&reqwest::Client::new(), &address, format!("act=drop-letters&{LETTERS}")).await;
    assert!(code == StatusCode::FORBIDDEN && said.contains("--listen-token-file"), "{said}");
    assert_eq!(file.dead_letters().await, 1);
}

#[test]
fn a_token_that_others_can_read_or_guess_ends_the_start() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let file = token(dir.path());
    let start = |file: &std::path::Path| {
        let mut command = rosey(dir.path());
        command.args(["serve", "--nats-url", NOWHERE, "--listen", "127.0.0.1:0", "--listen-token-file"]);
        Ran::of(command.arg(file))
    };
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let Ran { code, err, .. } = start(&file);
    assert!(code == Some(2) && err.contains("chmod 0600"), "{code:?}: {err}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&file, "short").unwrap();
    let Ran { code, err, .. } = start(&file);
    assert!(
        code == Some(2) && err.contains("16 characters") && !err.contains("\"short\""),
        "{code:?}: {err}"
    );
    let Ran { code, .. } = start(&dir.path().join("nothing"));
    assert_eq!(code, Some(2));
}

#[tokio::test]
async fn a_circuit_is_forced_open_and_let_alone_again() {
    let (server, file, dir) = (NatsServer::start().await, DbFile::new(), tempfile::tempdir().unwrap());
    let service = DbService::start(&server, &file).await;
    let path = dir.path().join("bot.sock");
    let (nats, listen) = (server.url(), format!("unix:{}", path.display()));
    let mut command = rosey(dir.path());
    command.args(["bot", "--chat", "jsonl:-?speed=max", "--nats-url", &nats, "--listen", &listen]);
    let _bot = Running::start(command.stdin(std::process::Stdio::piped()));
    wait_until("it listens", || async { path.exists() }).await;
    let socket = reqwest::Client::builder().unix_socket(path).build().unwrap();
    let status = || async {
        let answer = socket.get("http://rosey/status.json").send().await.unwrap();
        answer.json::<serde_json::Value>().await.unwrap()
    };
    let circuit = |state: &'static str| {
        let status = &status;
        move || async move { status().await["paths"]["health"]["requests_circuit"] == state }
    };
    wait_until("NATS serves", circuit("closed")).await;
    let key = key(&socket, "http://rosey").await;
    for (act, state) in [("open", "forced_open"), ("close", "forced_closed"), ("automatic", "closed")] {
        let (code, said) =
            post(&socket, "http://rosey", format!("act={act}&circuit=requests&key={key}")).await;
        assert_eq!(code, StatusCode::OK, "{said}");
        wait_until("it is told", circuit(state)).await;
    }
    let lately = status().await["board"]["lately"].to_string();
    assert!(lately.contains("Operator: force the circuit open"), "{lately}");
    service.stop().await;
}

#[tokio::test]
async fn what_the_outbox_has_set_aside_is_offered_again_and_applied_once() {
    const EVENTS: u64 = 6;
    let (kept, file) = (OutboxFile::new(), DbFile::new());
    let (outbox, _) = refused(&kept, EVENTS).await;
    outbox.close().await;
    let (path, place) = (kept.dir.path().join("bot.sock"), kept.path().display().to_string());
    let (listen, database) = (format!("unix:{}", path.display()), file.url());
    let mut command = rosey(kept.dir.path());
    command.args(["bot", "--chat", "jsonl:-?speed=max", "--nats-url", NOWHERE, "--database-url", &database]);
    command.args(["--outbox", &place, "--listen", &listen]);
    let mut bot = Running::start(command.stdin(std::process::Stdio::piped()));
    let input = bot.input();
    wait_until("it listens", || async { path.exists() }).await;
    let socket = reqwest::Client::builder().unix_socket(path).build().unwrap();
    let page = || async {
        let page = socket.get("http://rosey/").header("accept", "text/html").send().await.unwrap();
        page.text().await.unwrap()
    };
    wait_until("the page offers it", || async { page().await.contains("/act?act=retry%2Doutbox") }).await;
    let effects = async || {
        let [joins, lines] = ["SELECT count(*) FROM presence", "SELECT count(*) FROM recent_chat"];
        file.number(joins).await + file.number(lines).await
    };
    let key = key(&socket, "http://rosey").await;
    let (code, said) = post(&socket, "http://rosey", "act=retry-outbox&key=0".to_owned()).await;
    assert_eq!(code, StatusCode::FORBIDDEN, "{said}");
    assert_eq!(effects().await, 0, "nothing was done");
    for expected in ["6 events wait again", "0 events wait again"] {
        let (code, said) = post(&socket, "http://rosey", format!("act=retry-outbox&key={key}")).await;
        assert!(code == StatusCode::OK && said.contains(expected), "{code}: {said}");
        wait_until("all are applied", || async { effects().await == EVENTS.cast_signed() }).await;
    }
    wait_until("it is offered no more", || async { !page().await.contains("retry%2Doutbox") }).await;
    bot.says("an operator's act").await;
    drop(input);
    assert_eq!(bot.ended_by_itself().await.code(), Some(0), "{}", bot.log());
    file.assert_verified().await;
}
