use std::time::SystemTime;

use super::*;

#[test]
fn every_way_to_exchange_one_of_the_three_files_is_told_from_writing_to_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let write = |name: &str, bytes: usize| fs::write(at(name), vec![0; bytes]).expect("written");
    for name in ["db", "db-wal", "db-shm"] {
        write(name, 100);
    }
    let place = DatabaseFile::new(&at("db")).expect("a place");
    place.adopt(place.look().expect("files"));
    let difference = || place.compare().map(|(difference, _)| difference);
    assert_eq!(difference(), Ok(Difference::None));
    write("db-wal", 200);
    assert_eq!(difference(), Ok(Difference::None), "it grows");
    place.adopt(place.look().expect("files"));
    write("db-wal", 50);
    assert_eq!(difference(), Ok(Difference::Cut));
    place.adopt(place.look().expect("files"));
    let exchange = |name: &str| {
        write("new", 100);
        fs::rename(at("new"), at(name)).expect("renamed");
    };
    exchange("db-shm");
    assert_eq!(difference(), Ok(Difference::Sidecars));
    place.adopt(place.look().expect("files"));
    fs::remove_file(at("db-wal")).expect("removed");
    assert_eq!(difference(), Ok(Difference::Sidecars));
    exchange("db");
    assert_eq!(difference(), Ok(Difference::Main));
    write("db-wal", 50);
    place.adopt(place.look().expect("files"));
    exchange("db");
    assert_eq!(difference(), Ok(Difference::MainBesideOldLog));
    write("db", 0);
    assert!(difference().is_err_and(|why| why.contains("emptied")));
    fs::rename(at("db"), at("elsewhere")).expect("renamed");
    assert!(difference().is_err_and(|why| why.contains("deleted or moved")));
    std::os::unix::fs::symlink(at("elsewhere"), at("db")).expect("linked");
    assert!(difference().is_err_and(|why| why.contains("symbolic link")));
}

#[test]
fn a_second_name_is_borne_for_a_moment_and_no_longer() {
    let folder = tempfile::tempdir().expect("a folder");
    let [file, link] = ["db", "link"].map(|name| folder.path().join(name));
    fs::write(&file, "x").expect("written");
    let place = DatabaseFile::new(&file).expect("a place");
    fs::hard_link(&file, &link).expect("linked");
    assert!(place.look().is_ok());
    std::thread::sleep(LINKED * 2);
    assert!(place.look().is_err_and(|why| why.contains("hard links")));
    fs::remove_file(&link).expect("removed");
    assert!(place.look().is_ok());
    fs::hard_link(&file, &link).expect("linked");
    assert!(place.look().is_ok(), "it counts from its own beginning");
    assert!(DatabaseFile::new(&file).is_err(), "nothing is begun with it");
}

/// A file system whose times are coarse, or come late, shows a checkpoint's writing only when it is over and settled.
#[tokio::test]
async fn a_checkpoint_whose_time_comes_late_is_no_overwriting() {
    use sqlx::Connection;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("db");
    let mut connection = crate::sqlite::connect::new(&path).await;
    let mut run = async |sql: &'static str| {
        sqlx::raw_sql(sql).execute(&mut connection).await.expect(sql);
    };
    run("CREATE TABLE t (n); INSERT INTO t VALUES (1); PRAGMA wal_checkpoint(PASSIVE)").await;
    let place = DatabaseFile::new(&path).expect("a place");
    let difference = || place.compare().map(|(difference, _)| difference);
    let look = || place.adopt(place.look().expect("files"));
    // What is open; then the files for looking; then the content.
    for _ in 0..3 {
        look();
    }
    let shown = |time: SystemTime| {
        fs::File::options().write(true).open(&path).expect("open").set_modified(time).expect("a time");
    };
    let before = fs::metadata(&path).expect("there").modified().expect("a time");
    run("UPDATE t SET n = 2; PRAGMA wal_checkpoint(PASSIVE)").await;
    let after = fs::metadata(&path).expect("there").modified().expect("a time");
    shown(before);
    assert_eq!(difference(), Ok(Difference::None));
    look();
    shown(after + Duration::from_secs(1));
    assert_eq!(difference(), Ok(Difference::Written));
    connection.close().await.expect("closed");
}

/// Between any two reads of a check the log may begin anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_sqlite_empties_while_it_is_checked_is_not_damaged() {
    const ROUNDS: usize = 1000;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("db");
    let mut connection = crate::sqlite::connect::new(&path).await;
    sqlx::raw_sql("CREATE TABLE t (n)").execute(&mut connection).await.expect("created");
    let done = AtomicBool::new(false);
    let work = async {
        for _ in 0..ROUNDS {
            let write =
                "INSERT INTO t VALUES (zeroblob(9000)); DELETE FROM t; PRAGMA wal_checkpoint(TRUNCATE)";
            sqlx::raw_sql(write).execute(&mut connection).await.expect("written");
        }
        done.store(true, Ordering::Release);
    };
    let checks = std::thread::scope(|scope| {
        let checks = scope.spawn(|| check_until(&path, &done));
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(work));
        checks.join().expect("no damage")
    });
    assert!(checks > ROUNDS / 10, "only {checks}");
    sqlx::Connection::close(connection).await.expect("closed");
}

fn check_until(path: &Path, done: &AtomicBool) -> usize {
    let place = DatabaseFile::new(path).expect("a place");
    let mut checks = 0;
    while !done.load(Ordering::Acquire) {
        let (difference, now) = place.compare().expect("the files");
        assert!(!matches!(difference, Difference::Log(_)), "{difference:?} at check {checks}");
        place.adopt(now);
        checks += 1;
    }
    checks
}
