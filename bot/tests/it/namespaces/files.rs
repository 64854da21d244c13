//! The files of a folder: which of them are namespaces, and who serves them.

use eitherway::Via;
use rosey::op::{GetChannelStats, UserJoined};

use super::client;
use super::folder::Folder;
use crate::support::program::write;
use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_namespaces_follows_its_files_and_creates_only_what_it_may() {
    let server = NatsServer::start().await;
    let outside = DbFile::new();
    let folder = Folder::serve(&server, &["lounge", "Upper"], &[]).await;
    let link = folder.path("link");
    std::os::unix::fs::symlink(outside.path(), &link).unwrap();
    folder.process.says("link.db is no namespace: it is no ordinary file").await;
    folder.process.says("Upper.db is no namespace").await;
    let clients =
        [client(&server, "link").await, client(&server, "missing").await, client(&server, "late").await];
    // One that comes later, and goes.
    write(&folder.path("late"), "");
    tokio::time::timeout(LIMIT, clients[2].recognised()).await.unwrap();
    let reply = nats_only(&clients[2]).call(UserJoined { username: "ann".into() }).await.unwrap();
    assert_eq!(reply.via, Via::NATS);
    for client in &clients[..2] {
        assert!(client.status().borrow().database().is_none());
    }
    assert!(!folder.path("missing").exists() && !outside.path().exists());
    std::fs::rename(folder.path("late"), folder.dir.path().join("gone")).unwrap();
    folder.process.says("the namespace is gone; no longer served").await;
    let mut status = clients[2].status();
    let absent = status.wait_for(|status| status.database().is_none());
    drop(tokio::time::timeout(LIMIT, absent).await.unwrap().unwrap());
    folder.process.terminate_and_log().await;
    // They would create what they ask for.
    drop(clients);

    let create = ["--namespaces-create", "--namespaces-most", "3"];
    let folder = Folder::serve(&server, &["UPPER"], &create).await;
    let twin = client(&server, "upper").await;
    wait_until("a twin is refused", || async {
        folder.said("upper", "differs in upper and lower case alone") > 0
    })
    .await;
    for name in ["new", "irc.den"] {
        let nats = client(&server, name).await;
        tokio::time::timeout(LIMIT, nats.recognised()).await.expect(name);
        assert!(folder.path(name).exists());
    }
    let _more = client(&server, "more").await;
    folder.process.says("3 namespaces are served, as many as may be").await;
    assert!(!folder.path("more").exists() && !folder.path("upper").exists());
    drop(twin);
    folder.process.terminate_and_log().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_serve_one_folder_and_either_may_end() {
    let server = NatsServer::start().await;
    let idle = ["--namespaces-idle-ms", "500"];
    let mut one = Folder::serve(&server, &["lounge"], &idle).await;
    let path = one.dir.path().display().to_string();
    let url = server.url();
    let mut arguments = vec!["serve", "--nats-url", &url, "--namespaces-dir", &path];
    arguments.extend(idle);
    let mut other = ServeProcess::begin(&arguments);
    other.serves().await;
    let nats = client(&server, "lounge").await;
    tokio::time::timeout(LIMIT, nats.recognised()).await.unwrap();
    let mut load = Load::start(&nats_only(&nats), 4);
    load.served_by_nats(50).await;
    wait_until("both have opened it", || async {
        let opened =
            |log: String| log.lines().any(|line| line.contains("serving url") && line.ends_with("=lounge"));
        opened(one.process.log()) && opened(other.log())
    })
    .await;
    assert_eq!((*one.process).terminate().await, Some(0));
    load.served_by_nats(50).await;
    one.process.begin_again();
    one.process.serves().await;
    load.served_by_nats(50).await;
    let sent = load.finish().await;
    // Where a client found no service for a moment, it has not sent, or does not know.
    let (acknowledged, applied) = (load.tally.by_nats(), one.applied("lounge").await as u64);
    assert!((acknowledged..=sent).contains(&applied), "{acknowledged} {applied} {sent}");
    for process in [one.process, other] {
        assert_eq!(process.terminate().await, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_leaves_a_namespace_to_another_one_that_serves_it_from_another_file_and_refuses_nothing() {
    for own in [&[][..], &["lounge"]] {
        let server = NatsServer::start().await;
        let serving = Folder::serve(&server, &["lounge"], &[]).await;
        let nats = client(&server, "lounge").await;
        tokio::time::timeout(LIMIT, nats.recognised()).await.unwrap();
        let creating = Folder::serve(&server, own, &["--namespaces-create"]).await;
        let (db, mut refused) = (nats_only(&nats), Vec::new());
        for n in 0..1_000 {
            let answered = if n % 2 == 0 {
                db.call(UserJoined { username: format!("user{n}") }).await.map(drop)
            } else {
                db.call(GetChannelStats {}).await.map(drop)
            };
            refused.extend(answered.err().map(|error| format!("{n}: {error}")));
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert!(refused.is_empty(), "{} of 1000: {:?}", refused.len(), refused.first());
        assert_eq!(creating.said("lounge", "another process serves this namespace"), 1);
        assert_eq!(serving.applied("lounge").await, 500, "each once");
        assert_eq!(creating.path("lounge").exists(), !own.is_empty(), "nothing is created");
        // As soon as that one has ended, this one serves.
        drop(nats);
        serving.process.terminate_and_log().await;
        let nats = client(&server, "lounge").await;
        tokio::time::timeout(LIMIT, nats.recognised()).await.unwrap();
        nats_only(&nats).call(GetChannelStats {}).await.unwrap();
        assert!(creating.path("lounge").exists());
        creating.process.terminate_and_log().await;
    }
}
