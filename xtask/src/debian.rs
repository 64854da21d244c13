//! Programs that are Debian's: found, or fetched.

use std::ffi::OsStr;
use std::path::PathBuf;

use crate::paths::Paths;
use crate::server::{fetch, in_path};

/// A program: the variable that names it for xtask and for the tests, its name, the folder of its package that it is in, and
/// Debian's packages of it. What else it needs is on every machine that has apt-get.
pub(crate) struct Tool {
    pub(crate) variable: &'static str,
    pub(crate) program: &'static str,
    pub(crate) folder: &'static str,
    pub(crate) packages: &'static [&'static str],
}

impl Tool {
    /// The one that the variable names, else the one in `PATH`, else the one in the target directory, which is fetched once.
    pub(crate) fn find_or_fetch(&self, paths: &Paths) -> Result<PathBuf, String> {
        if let Some(named) = std::env::var_os(self.variable).filter(|name| !name.is_empty()) {
            let named = PathBuf::from(named);
            let advice = "which is not a file; set it to the program's path, or unset it";
            let is_there = named.is_file();
            return is_there.then_some(named.clone()).ok_or(format!(
                "{} names {}, {advice}",
                self.variable,
                named.display()
            ));
        }
        let mut search = std::env::var_os("PATH").unwrap_or_default();
        // Where Debian installs it, which is not in everybody's `PATH`.
        search.push(format!(":/{}", self.folder));
        match in_path(&search, OsStr::new(self.program)).into_iter().next() {
            Some(path) => Ok(path),
            None => self.fetched(paths),
        }
    }

    /// Debian's packages, unpacked into the target directory and not installed. They stay whole: an inspircd finds its modules,
    /// and the tests the libraries, beside the program.
    pub(crate) fn fetched(&self, paths: &Paths) -> Result<PathBuf, String> {
        let place = paths.tools().join(self.program);
        let program = place.join("unpacked").join(self.folder).join(self.program);
        if program.is_file() {
            return Ok(program);
        }
        eprintln!("xtask: fetching Debian's {} (once)", self.program);
        let fetched = fetch::unpacked(&place, self.packages);
        let advice = format!("install it, or set {} to its path, and try again", self.variable);
        match fetched {
            Ok(_) if program.is_file() => Ok(program),
            Ok(_) => Err(format!("Debian's package holds no {}; {advice}", self.program)),
            Err(reason) => {
                Err(format!("there is no {}, and none could be fetched: {reason}; {advice}", self.program))
            }
        }
    }
}
