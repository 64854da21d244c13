//! Finds the IRC servers of the tests, or fetches them.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::failure::Failure;
use crate::paths::Paths;
use crate::server::{fetch, in_path};

/// A server: the variable that names it for xtask and for the tests, its program, and Debian's packages of it. What else it
/// needs is on every machine that has apt-get.
struct Server {
    variable: &'static str,
    program: &'static str,
    packages: &'static [&'static str],
}

const SERVERS: [Server; 2] = [
    Server { variable: "NGIRCD_BIN", program: "ngircd", packages: &["ngircd", "libident"] },
    Server { variable: "INSPIRCD_BIN", program: "inspircd", packages: &["inspircd"] },
];

/// Where Debian installs them, which is not in everybody's `PATH`.
const DEBIAN: &str = "/usr/sbin";

/// `cargo xtask irc`: prints the paths.
pub(crate) fn print(paths: &Paths, args: &[String]) -> Result<ExitCode, Failure> {
    let fetched = match args {
        [] => false,
        [word] if word == "--fetch" => true,
        [.., arg] => return Err(Failure::usage(format!("`irc` takes --fetch and nothing else, not {arg}"))),
    };
    for server in &SERVERS {
        let path = if fetched { server.fetched(paths) } else { server.find_or_fetch(paths) };
        println!("{}", path.map_err(Failure::new)?.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// The variables for the tests. The tests of a server that cannot be had fail, and say so.
pub(crate) fn for_tests(paths: &Paths) -> Vec<(&'static str, PathBuf)> {
    let found = |server: &Server| match server.find_or_fetch(paths) {
        Ok(path) => Some((server.variable, path)),
        Err(reason) => {
            eprintln!("xtask: {reason}");
            None
        }
    };
    SERVERS.iter().filter_map(found).collect()
}

/// The variable that names ngircd, for the demo.
pub(crate) fn ngircd(paths: &Paths) -> Result<(&'static str, PathBuf), Failure> {
    let [ngircd, _] = &SERVERS;
    Ok((ngircd.variable, ngircd.find_or_fetch(paths).map_err(Failure::new)?))
}

impl Server {
    /// The one that the variable names, else the one in `PATH`, else the one in the target directory, which is fetched once.
    fn find_or_fetch(&self, paths: &Paths) -> Result<PathBuf, String> {
        if let Some(named) = std::env::var_os(self.variable).filter(|name| !name.is_empty()) {
            let named = PathBuf::from(named);
            let advice = "which is not a file; set it to the server's path, or unset it";
            let is_there = named.is_file();
            return is_there.then_some(named.clone()).ok_or(format!(
                "{} names {}, {advice}",
                self.variable,
                named.display()
            ));
        }
        let mut search = std::env::var_os("PATH").unwrap_or_default();
        search.push(":");
        search.push(DEBIAN);
        match in_path(&search, OsStr::new(self.program)).into_iter().next() {
            Some(path) => Ok(path),
            None => self.fetched(paths),
        }
    }

    /// Debian's packages, unpacked into the target directory and not installed. They stay whole: an inspircd finds its modules,
    /// and the tests the libraries, beside the program.
    fn fetched(&self, paths: &Paths) -> Result<PathBuf, String> {
        let place = paths.tools().join(self.program);
        let program = place.join("unpacked/usr/sbin").join(self.program);
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
