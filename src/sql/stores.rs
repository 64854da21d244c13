//! The SQLite files of many namespaces, in a folder.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{SqlService, SqliteOptions, take_over};
use crate::namespace::Namespace;
use crate::operation::Persist;
use crate::store::Stores;

/// What follows the name of a namespace in the name of its file.
const END: &str = ".db";
/// So many entries of a folder are named that are no namespaces, at most.
const NAMED: usize = 100;
/// So many names are read of a folder, at most.
const MOST: usize = 10_000;

/// A SQLite file for each namespace.
#[derive(Clone, Debug)]
pub struct SqliteFiles(Arc<Folder>);

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    like: SqliteOptions,
    create: bool,
    /// What was said to be no namespace.
    said: Mutex<BTreeSet<PathBuf>>,
}

impl SqliteFiles {
    /// Every file `NAME.db` in this folder whose name is that of a namespace, opened with options like these, whose path does not count.
    /// With `create`, a name that is asked for becomes a new file.
    ///
    /// Nothing outside of the folder is opened: a name has no slash, and a symbolic link, or anything else that is no ordinary
    /// file, is refused. Names are of lower case; where another file has a name that differs in that alone, none is
    /// created. Other files are passed over, those that end in `.db` with a warning.
    ///
    /// # Errors
    /// When it is no folder, or cannot be read.
    pub fn folder(path: &Path, like: SqliteOptions, create: bool) -> io::Result<Self> {
        // Wherever this process goes, and whatever becomes of links on the way there.
        let path = fs::canonicalize(path)?;
        fs::read_dir(&path)?;
        Ok(Self(Arc::new(Folder { path, like, create, said: Mutex::default() })))
    }
}

impl Folder {
    fn list(&self) -> io::Result<Vec<Namespace>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)?.take(MOST) {
            let entry = entry?;
            let file = entry.file_name();
            if Path::new(&file).extension() != Some(OsStr::new(&END[1..])) {
                continue;
            }
            // Of the entry itself, and not of what it leads to.
            let ordinary = entry.file_type().is_ok_and(|kind| kind.is_file());
            match (ordinary, file.to_str().and_then(|name| name.strip_suffix(END)).map(Namespace::new)) {
                (true, Some(Ok(namespace))) => names.push(namespace),
                (false, _) => self.say(&file, "it is no ordinary file"),
                (true, Some(Err(why))) => self.say(&file, &why.to_string()),
                (true, None) => self.say(&file, "its name is not UTF-8"),
            }
        }
        Ok(names)
    }

    fn say(&self, file: &OsStr, why: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() < NAMED && said.insert(file.into()) {
            tracing::warn!("{} is no namespace: {why}", self.path.join(file).display());
        }
    }

    fn options(&self, namespace: &Namespace) -> Result<SqliteOptions, String> {
        let name = format!("{namespace}{END}");
        let path = self.path.join(&name);
        let mut options = self.like.at(&path);
        let failed = |e: io::Error| format!("{}: {e}", path.display());
        options.store.create = match fs::symlink_metadata(&path) {
            Ok(file) if file.is_file() => false,
            Ok(_) => return Err(format!("{} is no ordinary file", path.display())),
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(failed(e)),
            Err(_) if self.create => {
                for entry in fs::read_dir(&self.path).map_err(failed)? {
                    let other = entry.map_err(failed)?.file_name();
                    if other.eq_ignore_ascii_case(&name) {
                        return Err(format!(
                            "{} is not created, because {} differs in upper and lower case alone: rename that one",
                            path.display(),
                            other.display()
                        ));
                    }
                }
                true
            }
            Err(e) => return Err(failed(e)),
        };
        Ok(options)
    }
}

impl<O: Persist> Stores<O> for SqliteFiles {
    type Store = SqlService<O>;

    async fn list(&self) -> Result<Vec<Namespace>, String> {
        let folder = Arc::clone(&self.0);
        let listed = tokio::task::spawn_blocking(move || {
            folder.list().map_err(|e| format!("{}: {e}", folder.path.display()))
        });
        listed.await.unwrap_or_else(|e| Err(e.to_string()))
    }

    async fn open(&self, namespace: &Namespace) -> Result<SqlService<O>, String> {
        SqlService::open(&self.0.options(namespace)?).await.map_err(|e| e.to_string())
    }

    async fn is_to_come(&self, namespace: &Namespace) -> bool {
        match self.0.options(namespace) {
            Ok(options) => take_over::is_to_come(&options).await,
            Err(_) => false,
        }
    }

    fn creates(&self) -> bool {
        self.0.create
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(create: bool) -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().expect("a folder");
        let like = SqliteOptions::new("like.db").expect("a path");
        let files = SqliteFiles::folder(dir.path(), like, create).expect("a folder");
        (dir, Arc::try_unwrap(files.0).expect("the only reference"))
    }

    fn name(name: &str) -> Namespace {
        name.parse().expect(name)
    }

    #[test]
    fn a_namespace_is_an_ordinary_file_in_the_folder_with_a_name_of_its_form() {
        let (dir, folder) = folder(false);
        let other = tempfile::tempdir().expect("a folder");
        for file in
            ["lounge.db", "irc.my-room.db", "Den.db", "..db", ".db", "a b.db", "lounge.db-wal", "notes"]
        {
            fs::write(dir.path().join(file), "").expect(file);
        }
        fs::write(dir.path().join(format!("{}.db", "x".repeat(Namespace::LONGEST + 1))), "").expect("long");
        fs::write(other.path().join("out.db"), "").expect("out");
        fs::create_dir(dir.path().join("inner.db")).expect("inner");
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStrExt;
            std::os::unix::fs::symlink(other.path().join("out.db"), dir.path().join("out.db"))
                .expect("a link");
            fs::write(dir.path().join(OsStr::from_bytes(b"\xff.db")), "").expect("no UTF-8");
        }
        let mut listed = folder.list().expect("read");
        listed.sort();
        assert_eq!(listed, [name("irc.my-room"), name("lounge")]);
        for refused in ["inner", "out", "missing"] {
            folder.options(&name(refused)).expect_err(refused);
        }
        let said = folder.said.lock().expect("said").len();
        assert!(said >= 6, "each is named: {said}");
    }

    #[test]
    fn a_file_is_created_only_where_that_is_wanted_and_no_other_differs_in_case_alone() {
        let (dir, mut folder) = folder(true);
        let made = folder.options(&name("new")).expect("a new one");
        assert_eq!(made.path(), folder.path.join("new.db"));
        assert!(made.store.create);
        fs::write(dir.path().join("Lounge.DB"), "").expect("a file");
        let refused = folder.options(&name("lounge")).expect_err("a twin");
        assert!(refused.contains("Lounge.DB differs in upper and lower case"), "{refused}");
        fs::write(dir.path().join("old.db"), "").expect("a file");
        assert!(!folder.options(&name("old")).expect("it is there").store.create);
        folder.create = false;
        folder.options(&name("new")).expect_err("it is not there");
    }
}
