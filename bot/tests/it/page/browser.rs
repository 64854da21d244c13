//! The page in a real browser.

use serde_json::json;

use super::{TOKEN, bury, serve};
use crate::support::browser::Browser;
use crate::support::*;

const TAB: char = '\u{E004}';

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_shown_with_what_to_do_and_so_is_its_end_on_the_page_that_is_open() {
    let Some(browser) = Browser::open().await else { return };
    let (mut server, file) = (NatsServer::start().await, DbFile::new());
    let (_process, address) = serve(&server, &file).await;
    browser.go(&address).await;
    browser.shows("#verdict h1", "All is well").await;
    browser.run("window.sameDocument = true").await;
    server.kill();
    browser.shows("#verdict h1", "NATS does not serve").await;
    browser.shows("#problems", "no NATS server is connected").await;
    browser.shows("#problems", "What to do").await;
    assert!(browser.run("return document.title").await.as_str().unwrap().starts_with('✗'));
    server.restart().await;
    browser.shows("#verdict h1", "All is well").await;
    browser.shows("#lately", "NATS serves, after").await;
    assert_eq!(browser.run("return window.sameDocument").await, json!(true), "nothing was loaded anew");
    assert_eq!(browser.complaints().await, Vec::<String>::new(), "the console is silent, the policy kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_whose_process_has_gone_says_so_and_finds_it_again() {
    let Some(browser) = Browser::open().await else { return };
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let port = Port::reserve();
    let listen = format!("127.0.0.1:{}", port.number);
    let mut process = ServeProcess::start_with(&server, &file, &["--listen", &listen]).await;
    browser.go(&format!("http://{listen}")).await;
    browser.shows("#verdict h1", "All is well").await;
    process.kill();
    browser.shows("#lost", "has not answered for").await;
    process.restart().await;
    let hidden =
        || async { browser.run("return document.getElementById('lost').hidden").await == json!(true) };
    assert!(holds_within(LIMIT, hidden).await, "it is heard again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_act_is_confirmed_refused_without_the_token_and_done_with_it() {
    let Some(browser) = Browser::open().await else { return };
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let (process, address) = serve(&server, &file).await;
    bury(&server, 3, &file).await;
    browser.go(&address).await;
    browser.shows("#aside", "drop user_joined").await;
    browser.click("#aside .acts a:nth-of-type(2)").await;
    browser.shows("h1", "Remove these letters?").await;
    browser.shows("main", "Nobody can bring them back").await;
    browser.write("#token", "not-the-token-at-all-12345").await;
    browser.click("button").await;
    browser.shows("[role=alert]", "the token is not the one").await;
    assert_eq!(file.dead_letters().await, 3, "nothing was done");
    process.says("an act over the endpoints was refused: Remove these letters").await;
    browser.write("#token", TOKEN).await;
    browser.click("button").await;
    browser.shows("[role=status]", "3 letters were removed").await;
    assert_eq!(file.dead_letters().await, 0);
    process.says("an operator's act over the endpoints: Remove these letters").await;
    assert!(!process.log().contains(TOKEN), "the log does not hold the token");
    browser.click("a").await;
    browser.shows("#lately", "Operator: remove these letters").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_walked_through_with_the_keyboard_and_keeps_the_focus_when_it_is_renewed() {
    let Some(browser) = Browser::open().await else { return };
    let (mut server, file) = (NatsServer::start().await, DbFile::new());
    let (_process, address) = serve(&server, &file).await;
    bury(&server, 1, &file).await;
    browser.go(&address).await;
    browser.shows("#aside", "retry user_joined").await;
    let mut walked = Vec::new();
    for _ in 0..6 {
        browser.press(TAB).await;
        let focus = browser.run("return document.activeElement.innerText.trim()").await;
        walked.push(focus.as_str().unwrap().to_owned());
    }
    let expected =
        ["To the status", "retry user_joined…", "drop user_joined…", "status.json", "readyz", "metrics"];
    assert_eq!(walked, expected);
    browser.run("document.querySelector('#aside .acts a').focus()").await;
    // The section with the link is renewed, because there are more letters.
    bury_more(&server, &file).await;
    browser.shows("#aside .count", "2").await;
    server.kill();
    browser.shows("#verdict h1", "NATS does not serve").await;
    let focus = browser.run("return document.activeElement.tagName").await;
    assert!(["A", "BODY"].contains(&focus.as_str().unwrap()), "{focus}");
}

async fn bury_more(server: &NatsServer, file: &DbFile) {
    let peer = eitherway_testkit::Peer::connect(server).await;
    peer.publish("rosey.db.user.joined", r#"{"username":"","again":1}"#).await;
    wait_until("it is kept", || async { file.dead_letters().await == 2 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_has_a_name_for_a_screen_reader() {
    let Some(browser) = Browser::open().await else { return };
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let (_process, address) = serve(&server, &file).await;
    bury(&server, 1, &file).await;
    browser.go(&address).await;
    browser.shows("#aside", "retry user_joined").await;
    for (place, is) in [("#verdict h1", "heading"), ("#verdict h1 span", "status")] {
        let (role, name) = browser.called(place).await;
        assert_eq!(role, is, "a change of a heading is read aloud: {name}");
    }
    for (id, name) in
        [("verdict", "Is it well?"), ("tiles", "Numbers"), ("routes", "Paths"), ("aside", "Set aside")]
    {
        assert_eq!(browser.called(&format!("#{id}")).await, ("region".to_owned(), name.to_owned()));
    }
    // It is renewed each second: between two questions, another one may stand there.
    let is_told = || async {
        let (role, name) = browser.called(".spark").await;
        ["image", "img"].contains(&role.as_str()) && name.starts_with("Operations in ten minutes")
    };
    wait_until("the picture is told in words", is_told).await;
    let nameless = "return [...document.querySelectorAll('a, button, input, svg, time')]
        .filter(e => !(e.innerText || e.getAttribute('aria-label') || e.textContent || '').trim()).map(e => e.outerHTML)";
    assert_eq!(browser.run(nameless).await, json!([]));
    browser.click("#aside .acts a").await;
    browser.shows("h1", "Apply these letters again?").await;
    assert_eq!(browser.called("#token").await.1, "Token, as in the file of --listen-token-file");
    assert_eq!(browser.called("button").await, ("button".to_owned(), "Apply these letters again".to_owned()));
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}
