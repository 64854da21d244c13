//! Finds the IRC servers of the tests, or fetches them.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::debian::Tool;
use crate::failure::Failure;
use crate::paths::Paths;

const SERVERS: [Tool; 2] = [
    Tool { variable: "NGIRCD_BIN", program: "ngircd", folder: "usr/sbin", packages: &["ngircd", "libident"] },
    Tool { variable: "INSPIRCD_BIN", program: "inspircd", folder: "usr/sbin", packages: &["inspircd"] },
];

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
    let found = |server: &Tool| match server.find_or_fetch(paths) {
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
