//! What the files of a room are called: its name stands in the place of the file's own, so `rosey.db` is `lounge.db`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::super::exit::Failure;
use eitherway::Namespace;
use eitherway::postgres::PostgresOptions;
use eitherway::sql::SqliteOptions;

/// The file of the room of this name, beside the one that is named for all.
pub(super) fn of_room(file: &Path, room: &Namespace) -> PathBuf {
    let mut name = OsString::from(room.as_str());
    if let Some(extension) = file.extension() {
        name.push(".");
        name.push(extension);
    }
    file.with_file_name(name)
}

/// The same of the database that an address names. A server has a schema for each room by itself.
pub(super) fn database_of_room(url: &str, room: &Namespace) -> Result<String, Failure> {
    if PostgresOptions::is_address(url) {
        return Ok(url.to_owned());
    }
    let file = of_room(SqliteOptions::new(url)?.path(), room);
    Ok(format!("sqlite:{}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_room_stands_in_the_place_of_the_files_own() {
        let room = Namespace::new("irc.den").expect("a name");
        for (file, own) in [
            ("rosey.outbox", "irc.den.outbox"),
            ("/var/lib/rosey/rosey.outbox", "/var/lib/rosey/irc.den.outbox"),
            ("./a.b/report", "./a.b/irc.den"),
        ] {
            assert_eq!(of_room(Path::new(file), &room), Path::new(own));
        }
        for (url, own) in [
            ("sqlite://rosey.db", "sqlite:irc.den.db"),
            ("rosey.db", "sqlite:irc.den.db"),
            ("sqlite:///var/lib/rosey/rosey.db", "sqlite:/var/lib/rosey/irc.den.db"),
            ("postgres://db/rosey", "postgres://db/rosey"),
        ] {
            assert_eq!(database_of_room(url, &room).expect(url), own);
        }
    }
}
