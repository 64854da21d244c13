//! docs/first-operation.md followed by an engineer who has nothing but the packed packages: its files are written, its commands typed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::failure::Failure;
use crate::page::{Session, blocks, follow, read, steps};
use crate::paths::Paths;
use crate::server;

const PAGE: &str = "docs/first-operation.md";

/// The kinds of blocks that are files, and how their first line names them.
const FILES: [(&str, &str); 2] = [("toml", "# "), ("rust,ignore", "// ")];

/// For how long a command may say nothing: it may compile everything.
const LIMIT: Duration = Duration::from_secs(600);

/// In a folder outside of the repository. `patches`: where the packages are, instead of on a registry, as Cargo's configuration has it.
pub(crate) fn followed(paths: &Paths, patches: &str) -> Result<(), Failure> {
    let folder = std::env::temp_dir().join(format!("eitherway-first-operation-{}", std::process::id()));
    let result = in_folder(paths, patches, &folder);
    let _ = std::fs::remove_dir_all(&folder);
    result
}

fn in_folder(paths: &Paths, patches: &str, folder: &Path) -> Result<(), Failure> {
    let page = read(PAGE).map_err(Failure::new)?;
    let steps = steps(&page).map_err(Failure::new)?;
    let mut written = 0;
    for (kind, comment) in FILES {
        for block in blocks(&page, kind) {
            let (name, text) = block.split_once('\n').unwrap_or_default();
            let name = name.strip_prefix(comment).ok_or_else(|| {
                Failure::new(format!("{PAGE}: a block does not begin with the name of its file: {name}"))
            })?;
            write(&folder.join(name), text)?;
            written += 1;
        }
    }
    if written < 4 || steps.len() < 8 {
        return Err(Failure::new(format!("{PAGE} has {written} files and {} commands", steps.len())));
    }
    // Instead of the registry: the packed packages, and what has been fetched for this workspace.
    let config = format!("[net]\noffline = true\n\n[patch.crates-io]\n{patches}");
    write(&folder.join(".cargo/config.toml"), &config)?;
    let lock = paths.root().join("Cargo.lock");
    std::fs::copy(&lock, folder.join("Cargo.lock")).map_err(|e| Failure::io("copy Cargo.lock", &e))?;
    let server = server::find_or_fetch(paths)?;
    let port = free_port()?;
    let mut shell = Command::new("sh");
    shell.current_dir(folder).env("PATH", path_with(&server)?).env("CARGO_TARGET_DIR", paths.target());
    shell.env("NATS_URL", format!("nats://127.0.0.1:{port}")).env(server::VARIABLE, &server);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_PKG_"))
    {
        shell.env_remove(name);
    }
    shell.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_MANIFEST_PATH");
    let mut session = Session::start(&mut shell, LIMIT).map_err(Failure::new)?;
    follow(&steps, &mut session, |text| text.replace("4222", &port.to_string())).map_err(Failure::new)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::io(format!("write {}", path.display()), &e);
    std::fs::create_dir_all(path.parent().unwrap_or(path)).map_err(failed)?;
    std::fs::write(path, text).map_err(failed)
}

/// `PATH`, with the folder of this program in front.
fn path_with(program: &Path) -> Result<std::ffi::OsString, Failure> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let folders = program.parent().map(PathBuf::from).into_iter().chain(std::env::split_paths(&search));
    std::env::join_paths(folders).map_err(|e| Failure::new(e.to_string()))
}

/// One that no program listens at now.
fn free_port() -> Result<u16, Failure> {
    let bound = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    bound.map(|address| address.port()).map_err(|e| Failure::io("find a free port", &e))
}
