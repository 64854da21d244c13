//! A file that cannot be written.

use std::os::unix::fs::PermissionsExt;

use crate::support::program::rosey_through;
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
fn unprivileged(file: &DbFile, arguments: &[&str]) -> Ran {
    let script = "[ \"$(id -u)\" = 0 ] || exec \"$0\" \"$@\"
        exec setpriv --bounding-set=-all --inh-caps=-all \"$0\" \"$@\"";
    Ran::of(rosey_through(script, file.dir()).args(arguments))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_file_is_refused_at_the_start_with_what_to_do_and_is_as_it_was() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let join = |name: &str| format!(r#"{{"username":"{name}"}}"#);
    let send = |name: &str| {
        let database = file.url();
        unprivileged(&file, &["send", "--no-nats", "--database-url", &database, "user_joined", &join(name)])
    };
    assert!(send("alice").code == Some(0));
    let serve = ["serve", "--nats-url", &server.url(), "--database-url", &file.url()].map(str::to_owned);
    let serve: Vec<&str> = serve.iter().map(String::as_str).collect();
    permit(&file, 0o444);
    for Ran { code, err: said, .. } in [send("bob"), unprivileged(&file, &serve)] {
        assert_ne!(code, Some(0), "{said}");
        assert!(said.contains("cannot write to the database") && said.contains("must be writable"), "{said}");
    }
    permit(&file, 0o644);
    assert!(send("carol").code == Some(0));
    assert_eq!(file.applied().await, 2);
    file.assert_verified().await;
}
