//! What is said of a file that is not as it was.

use super::DatabaseFile;

use crate::hints::hints;

impl DatabaseFile {
    pub(super) fn gone(&self) -> String {
        let file = self.said.display();
        format!(
            "the database {file} was deleted or moved away while it is in use: nothing is taken until it is back. Put \
             it there again, or a copy that is not older; to begin with another one, restart this process"
        )
    }

    pub(crate) fn beside(&self) -> String {
        let file = self.said.display();
        format!(
            "{file}-wal or {file}-shm was deleted or replaced while the database is in use: nothing is taken until that \
             is put right, which this process tries repeatedly"
        )
    }

    pub(crate) fn another(&self) -> String {
        self.replaced("another file was put in its place")
    }

    pub(crate) fn old_log(&self) -> String {
        let file = self.said.display();
        format!(
            "the database {file} was replaced while it is in use, and the log of the former file still lies beside it \
             ({file}-wal): together they are damaged. Nothing is taken until the former file is back, or {file}-wal and \
             {file}-shm are removed and the new one is a copy that is not older"
        )
    }

    pub(crate) fn overwritten(&self, how: &str) -> String {
        let file = self.said.display();
        format!(
            "the database {file} is not the file that was opened: it was overwritten by another program while it is in use \
             ({how}), and the log beside it ({file}-wal) does not belong to it. Nothing is taken until the former file is back; to accept what is there, \
             or another copy, stop this process and remove {file}-wal and {file}-shm before it starts again"
        )
    }

    pub(crate) fn damaged_log(&self, how: &str) -> String {
        let file = self.said.display();
        format!(
            "the log of the database, {file}-wal, was overwritten or truncated by another program while it is in use ({how}): what \
             was acknowledged since it was last moved into the database may be lost. Nothing is taken until the former \
             content of {file}-wal is back. Without it, stop this process, keep copies of {file} and {file}-wal, remove \
             {file}-wal and {file}-shm, restore a backup of {file} and start again"
        )
    }

    pub(crate) fn older(&self) -> String {
        self.replaced(
            "what is there now lacks operations that this process has written: an older copy, or one from which they were \
             deleted",
        )
    }

    /// Rows were removed from the right file.
    pub(crate) fn edited(&self) -> String {
        format!(
            "rows that this process has written to the database {} are missing there: another program has changed its tables. \
             This process goes on with what is there; an operation whose row in the ledger is gone takes effect again if it \
             comes again",
            self.said.display()
        )
    }

    /// The right file was given another id.
    pub(crate) fn renamed(&self) -> String {
        format!(
            "the database_id in the database {} was changed or deleted while it is in use: every client would take it for \
             another database. Nothing is taken until the former id is back; to accept the new one, restart this process",
            self.said.display()
        )
    }

    /// The file is shorter, and reading all of it takes too long.
    pub(crate) fn unchecked(&self) -> String {
        format!(
            "the database {} was made shorter by another program, usually by VACUUM, and it takes too long to read all of it \
             now. This process goes on with it; {} checks it",
            self.said.display(),
            hints().verify
        )
    }

    pub(crate) fn foreign(&self) -> String {
        self.replaced("what is there now is another database, with another id")
    }

    pub(crate) fn unreadable(&self, why: &dyn std::fmt::Display) -> String {
        self.replaced(&format!("what is there now cannot be read as this database ({why})"))
    }

    pub(super) fn replaced(&self, how: &str) -> String {
        format!(
            "the database {} is not the file that was opened: {how}. Nothing is taken until the right one is back; to \
             accept what is there, restart this process",
            self.said.display()
        )
    }
}
