//! A file that cannot be written.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use crate::support::*;

/// Sets what may be done with the file, and with what SQLite keeps beside it.
fn permit(file: &DbFile, mode: u32) {
    for beside in ["", "-wal", "-shm"] {
        let path = format!("{}{beside}", file.path().display());
        if std::fs::exists(&path).unwrap() {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
    }
}

/// `rosey` without what root may do beyond others.
fn rosey(arguments: &[&str]) -> Output {
    let program = "[ \"$(id -u)\" = 0 ] || exec \"$0\" \"$@\"
        exec setpriv --bounding-set=-all --inh-caps=-all \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", program, env!("CARGO_BIN_EXE_rosey")]).args(arguments).stdin(Stdio::null());
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_file_is_refused_at_the_start_with_what_to_do_and_is_as_it_was() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let join = |name: &str| format!(r#"{{"username":"{name}"}}"#);
    let send =
        |name: &str| rosey(&["send", "--no-nats", "--database-url", &file.url(), "user_joined", &join(name)]);
    assert!(send("alice").status.success());
    let serve = ["serve", "--nats-url", &server.url(), "--database-url", &file.url()].map(str::to_owned);
    let serve: Vec<&str> = serve.iter().map(String::as_str).collect();
    permit(&file, 0o444);
    for output in [send("bob"), rosey(&serve)] {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{said}");
        assert!(said.contains("cannot write to the database") && said.contains("must be writable"), "{said}");
    }
    permit(&file, 0o644);
    assert!(send("carol").status.success());
    assert_eq!(file.applied().await, 2);
    file.assert_verified().await;
}
