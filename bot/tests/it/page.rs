//! The page of `--listen`: what a real browser shows of it, who may act there, and its pictures.

mod acts;
mod browser;
mod looks;
mod pictures;
mod served;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::program::Running;
use crate::support::*;
use eitherway_testkit::Peer;

const TOKEN: &str = "a-token-of-the-tests-0123456789";

/// A file with the token, which nobody else may read.
fn token(dir: &Path) -> PathBuf {
    let file = dir.join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}

/// The address that the endpoints of a process have.
async fn address(process: &Running) -> String {
    const SAID: &str = "endpoints at http://";
    process.says(SAID).await;
    let log = process.log();
    format!("http://{}", log.split(SAID).nth(1).unwrap().split(": /livez").next().unwrap())
}

/// `rosey serve` with a page where who knows the token may act.
async fn serve(server: &impl Url, file: &DbFile) -> (ServeProcess, String) {
    let token = token(file.dir()).display().to_string();
    let options = ["--listen", "127.0.0.1:0", "--listen-token-file", &token];
    let process = ServeProcess::start_with(server, file, &options).await;
    let address = address(&process).await;
    (process, address)
}

/// So many letters that nobody can apply.
async fn bury(server: &impl Url, letters: u64, file: &DbFile) {
    let peer = Peer::connect(server).await;
    for _ in 0..letters {
        peer.publish("rosey.db.user.joined", r#"{"username":""}"#).await;
    }
    wait_until("they are kept", || async { file.dead_letters().await == letters }).await;
}
