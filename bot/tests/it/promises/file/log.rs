//! The log of the file is written to while it is in use, by a program that is not SQLite.

use super::*;

const DAMAGED: &str = "was overwritten or truncated by another program";

impl World {
    async fn say_some(&mut self, number: usize) {
        for _ in 0..number {
            self.say().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_log_that_is_damaged_in_place_acknowledges_nothing_and_goes_on_when_it_is_back() {
    let mut world = World::core().await;
    let wal = beside(&world.file.path(), "-wal");
    let write = |bytes: &[u8]| {
        let mut file = fs::File::options().write(true).open(&wal).unwrap();
        file.write_all(bytes).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
    };
    for (round, what) in
        ["its header", "its frames", "its last byte", "all of it", "an older one"].into_iter().enumerate()
    {
        world.say_some(5).await;
        let older = fs::read(&wal).unwrap();
        world.say_some(5).await;
        let right = fs::read(&wal).unwrap();
        let mut damaged = right.clone();
        match what {
            "its header" => damaged[..32].fill(0),
            "its frames" => damaged[32..].fill(0xa5),
            "its last byte" => damaged.truncate(right.len() - 1),
            "all of it" => damaged.clear(),
            _ => damaged = older,
        }
        write(&damaged);
        world.noticed(DAMAGED).await;
        let refused = world.say().await;
        assert!(refused.is_err_and(|code| code.is_some_and(|code| code >= 500)), "{what}: {refused:?}");
        write(&right);
        world.all_is_well().await;
        world.say_some(2).await;
        world.nothing_is_lost().await;
        let log = world.serve.log();
        let said = log.lines().filter(|line| line.contains("ERROR") && line.contains(DAMAGED)).count();
        assert_eq!(said, round + 1, "{what}: once each time\n{log}");
    }
}

#[tokio::test]
async fn a_log_that_is_damaged_is_not_moved_into_the_file() {
    let mut world = World::core().await;
    let (path, wal) = (world.file.path(), beside(&world.file.path(), "-wal"));
    world.say_some(5).await;
    let (main, log) = (fs::read(&path).unwrap(), fs::read(&wal).unwrap());
    fs::File::options().write(true).open(&wal).unwrap().write_all(&vec![0xa5; log.len()]).unwrap();
    // The very next one.
    assert!(world.say().await.is_err());
    world.noticed(DAMAGED).await;
    let World { serve, file, acknowledged, .. } = world;
    assert_eq!(serve.terminate().await, Some(0));
    assert!(fs::read(&path).unwrap() == main, "the file is as it was");
    fs::write(&wal, log).unwrap();
    fs::remove_file(beside(&path, "-shm")).unwrap();
    assert_eq!(file.number(LINES).await, acknowledged);
    file.assert_verified().await;
}

#[tokio::test]
async fn a_log_that_other_programs_move_into_the_file_and_begin_anew_goes_on() {
    let mut world = World::core().await;
    const MOVES: [&str; 4] = [
        "PRAGMA wal_checkpoint(PASSIVE)",
        "PRAGMA wal_checkpoint(FULL)",
        "PRAGMA wal_checkpoint(RESTART)",
        "PRAGMA wal_checkpoint(TRUNCATE)",
    ];
    for statement in MOVES.into_iter().cycle().take(12) {
        world.say_some(3).await;
        world.file.number(statement).await;
        world.say_some(3).await;
        world.file.assert_verified().await;
    }
    world.file.execute("VACUUM").await;
    world.say_some(3).await;
    assert_eq!(world.notices().await, "[]");
    assert!(!world.serve.log().contains("ERROR"), "{}", world.serve.log());
    world.nothing_is_lost().await;
}

#[tokio::test]
async fn a_log_that_is_lost_takes_no_table_with_it() {
    let mut world = World::core().await;
    world.say_some(2).await;
    let copy = DbFile::new();
    fs::copy(world.file.path(), copy.path()).unwrap();
    copy.assert_verified().await;
}
