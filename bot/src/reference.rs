//! The pages of docs/ that are made of code.

use std::path::Path;

/// The text of a page.
pub(crate) fn read(page: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// Fails if the page is not what is made now. `DOCS=write` writes it.
pub(crate) fn assert_made(page: &str, made: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    if std::env::var("DOCS").is_ok_and(|mode| mode == "write") {
        std::fs::write(&file, made).expect("the page is written");
    }
    assert!(
        read(page) == made,
        "docs/{page} is not what the code makes; `DOCS=write cargo test -p rosey-bot --lib is_made_of` writes it anew"
    );
}
