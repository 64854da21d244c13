//! What is served to whom: the page for a browser, whole without a script, under a policy that allows nothing inline.

use super::serve;
use crate::support::*;

async fn html(url: &str) -> (reqwest::StatusCode, reqwest::header::HeaderMap, String) {
    let asked = reqwest::Client::new().get(url).header("accept", "text/html,*/*;q=0.8");
    let answer = asked.send().await.unwrap();
    (answer.status(), answer.headers().clone(), answer.text().await.unwrap())
}

#[tokio::test]
async fn the_page_is_whole_without_a_script_and_nothing_of_it_is_inline() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let (_process, address) = serve(&server, &file).await;
    let well = || async { html(&address).await.2.contains("All is well") };
    assert!(holds_within(LIMIT, well).await);
    let (code, headers, page) = html(&address).await;
    assert_eq!(code, 200);
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    for inline in [" style=", "<style", " onclick=", "javascript:", "<script>"] {
        assert!(!page.contains(inline), "{inline}: {page}");
    }
    assert!(page.contains(r#"<noscript><meta http-equiv="refresh""#), "{page}");
    for name in ["Operations", "Latency", "Commit", "Dead letters", "Database file"] {
        assert!(page.contains(name), "{name}: {page}");
    }
    let (_, headers, plain) = {
        let answer = reqwest::get(&address).await.unwrap();
        (answer.status(), answer.headers().clone(), answer.text().await.unwrap())
    };
    assert!(headers["content-type"].to_str().unwrap().starts_with("text/plain") && plain.contains("/readyz"));
}

#[tokio::test]
async fn everything_the_page_names_is_served_with_its_type() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let (_process, address) = serve(&server, &file).await;
    let (_, _, page) = html(&address).await;
    let named = page.split(['"']).filter(|word| word.starts_with('/') && word.contains('.'));
    let named: std::collections::BTreeSet<&str> = named.collect();
    assert!(named.len() >= 4, "{named:?}");
    for path in named {
        let (code, headers, _) = html(&format!("{address}{path}")).await;
        assert_eq!(code, 200, "{path}");
        let kind = headers["content-type"].to_str().unwrap();
        let expected = match path.rsplit('.').next().unwrap() {
            "css" => "text/css",
            "js" => "text/javascript",
            "svg" => "image/svg+xml",
            _ => "application/json",
        };
        assert!(kind.starts_with(expected), "{path}: {kind}");
    }
}

#[tokio::test]
async fn many_pages_that_are_open_keep_nobody_from_an_answer() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let (_process, address) = serve(&server, &file).await;
    let client = reqwest::Client::new();
    let mut open = Vec::new();
    let mut refused = 0;
    for _ in 0..40 {
        let live = client.get(format!("{address}/live")).send().await.unwrap();
        if live.status() == 503 {
            refused += 1;
        }
        open.push(live);
    }
    assert!(refused >= 30, "no more than a few are kept up to date: {refused} of 40 were refused");
    let alive =
        tokio::time::timeout(LIMIT, reqwest::get(format!("{address}/livez"))).await.expect("an answer");
    assert_eq!(alive.unwrap().status(), 200);
    // A stream ends by itself, and has said something before.
    let live = open.remove(0);
    assert_eq!(live.headers()["content-type"], "text/event-stream");
    let said = tokio::time::timeout(LIMIT, live.text()).await.expect("it ends").unwrap();
    assert!(said.contains("retry: 300") && said.contains("\"verdict\""), "{said}");
}
