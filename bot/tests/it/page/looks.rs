//! What the page looks like to a browser of any width, light and dark.

use std::io::Write;
use std::process::Stdio;

use serde_json::json;

use super::{bury, token};
use crate::support::browser::Browser;
use crate::support::program::{Running, rosey};
use crate::support::*;

pub(super) const WIDTHS: [u64; 3] = [360, 768, 1280];
pub(super) const SCHEMES: [&str; 2] = ["light", "dark"];

/// Makes the window as wide as this, for somebody who prefers this scheme.
pub(super) async fn as_seen(browser: &Browser, scheme: &str, width: u64) {
    let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
    browser.command("Emulation.setEmulatedMedia", media).await;
    let size = json!({"width": width, "height": 700, "deviceScaleFactor": 1, "mobile": false});
    browser.command("Emulation.setDeviceMetricsOverride", size).await;
}

pub(super) async fn fits(browser: &Browser, name: &str) {
    let wide = "return document.documentElement.scrollWidth - window.innerWidth";
    let beside = browser.run(wide).await;
    assert!(beside.as_i64() <= Some(0), "{name}: {beside} pixels lie beside the page");
}

/// Texts whose contrast to what is behind them is less than WCAG (AA) asks for, each with its contrast.
const PALE: &str = "
    const context = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    const over = (behind, color) => {
        context.globalAlpha = 1;
        context.fillStyle = behind; context.fillRect(0, 0, 1, 1);
        context.fillStyle = color; context.fillRect(0, 0, 1, 1);
        return `rgb(${[...context.getImageData(0, 0, 1, 1).data.slice(0, 3)]})`;
    };
    const light = (color) => {
        const [r, g, b] = color.match(/[0-9]+/g).map((part) => part / 255).map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => element === null ? 'rgb(255, 255, 255)' : over(behind(element.parentElement), getComputedStyle(element).backgroundColor);
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const pale = [];
    let seen = 0;
    while (texts.nextNode()) {
        const element = texts.currentNode.parentElement, text = texts.currentNode.data.trim();
        const style = getComputedStyle(element), box = element.getBoundingClientRect();
        if (!text || style.visibility === 'hidden' || box.width < 2 || element.closest('script, noscript, [aria-hidden=true]')) continue;
        seen += 1;
        const ground = behind(element), [one, other] = [light(ground), light(over(ground, style.color))];
        const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        if (contrast < 4.5) pale.push(`${text}: ${contrast.toFixed(2)}`);
    }
    return seen < 5 ? ['hardly a text was seen'] : pale;
";

/// Looks at the page as it is now.
async fn looked_at(browser: &Browser, state: &str) {
    for scheme in SCHEMES {
        for width in WIDTHS {
            as_seen(browser, scheme, width).await;
            let name = format!("{state}, {scheme}, {width} wide");
            fits(browser, &name).await;
            assert_eq!(browser.run(PALE).await, json!([]), "{name}: texts that are hard to read");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_every_width_light_and_dark_the_page_fits_and_can_be_read_well_or_not() {
    let Some(browser) = Browser::open().await else { return };
    let (dir, store, file) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), DbFile::new());
    let mut server = NatsServer::with_jetstream(store.path()).await;
    let (nats, url, token) = (server.url(), file.url(), token(dir.path()).display().to_string());
    let mut command = rosey(dir.path());
    command.args(["up", "--chat", "jsonl:-?speed=max", "--nats-url", &nats, "--database-url", &url]);
    command.args(["--listen", "127.0.0.1:0", "--listen-token-file", &token, "--name", "rosey"]);
    let mut up = Running::start(command.stdin(Stdio::piped()));
    let address = super::address(&up).await;
    let mut input = up.input();
    for n in 0..20 {
        writeln!(input, "{}", json!({"event": "message", "user": "alice", "content": format!("line {n}")}))
            .unwrap();
    }
    browser.go(&address).await;
    browser.shows("#verdict h1", "All is well").await;
    browser.shows("#last", "message_log").await;
    looked_at(&browser, "well").await;
    server.kill();
    browser.shows("#verdict h1", "the database serves").await;
    browser.shows("#problems", "What to do").await;
    looked_at(&browser, "an outage").await;
    server.restart().await;
    browser.shows("#lately", "NATS serves, after").await;
    bury(&server, 3, &file).await;
    browser.shows("#aside", "retry").await;
    looked_at(&browser, "after it").await;
    browser.click("#aside .acts a:nth-of-type(2)").await;
    browser.shows("h1", "Remove these letters?").await;
    looked_at(&browser, "an act that is to be confirmed").await;
}
