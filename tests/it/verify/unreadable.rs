//! Files that cannot be verified.

use eitherway::sql::{OpenError, verify};

use super::*;

async fn error(file: &DbFile) -> OpenError {
    verify::<Op>(&file.options(), |_| {}).await.unwrap_err()
}

#[tokio::test]
async fn a_file_that_was_never_migrated_is_left_as_it_is() {
    // the Python bot's, in the mode in which it keeps it; and an empty one
    for sql in
        ["PRAGMA journal_mode = DELETE; CREATE TABLE user_stats (username TEXT)", "PRAGMA user_version"]
    {
        let file = DbFile::new();
        std::fs::write(file.path(), "").unwrap();
        file.execute(sql).await;
        let before = std::fs::read(file.path()).unwrap();
        let error = error(&file).await;
        assert!(matches!(error, OpenError::Older { .. }), "{sql}: {error:?}");
        assert!(error.to_string().contains("`SqlService::open` brings it there"), "{error}");
        assert_eq!(std::fs::read(file.path()).unwrap(), before);
    }
}

#[tokio::test]
async fn a_file_in_the_middle_of_its_migrations_is_older() {
    let file = full().await;
    file.execute("DELETE FROM _sqlx_migrations WHERE version = 13").await;
    assert!(matches!(error(&file).await, OpenError::Older { .. }));
}

#[tokio::test]
async fn a_file_that_may_only_be_read_is_verified_and_nothing_is_left_beside_it() {
    let file = full().await;
    let names = || {
        let dir = std::fs::read_dir(file.path().parent().unwrap()).unwrap();
        dir.map(|entry| entry.unwrap().file_name()).collect::<BTreeSet<_>>()
    };
    let before = names();
    file.assert_clean().await;
    assert_eq!(names(), before);
    let mut permissions = std::fs::metadata(file.path()).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(file.path(), permissions).unwrap();
    file.assert_clean().await;
}
