//! Memory that was freed goes back to the system.
//!
//! glibc takes large blocks from the system one by one and gives them back when they are freed, until the first one is: then it
//! raises the size from which it does so, to 32 MiB at most, and keeps what it has. A service that is flooded with large messages
//! once would stay as large as it became, and become twice as large as what it holds. The size stays what it is when the
//! environment says it, which glibc reads at the start of a process only: so the program starts itself once more, as the same
//! process.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What glibc reads.
const NAME: &str = "MALLOC_MMAP_THRESHOLD_";
/// From this size on; no operation, and no usual batch of them, has as much.
const BYTES: &str = "262144";
/// Set beside it: glibc takes its own settings out of the environment of a program that has privileges of its own, which would
/// begin again and again without this one.
const BEGUN: &str = "_ROSEY_BEGUN_AGAIN";

/// Begins again with that setting, unless it is chosen already. Where that cannot be done, everything is as before.
pub(super) fn give_back() {
    let is_set = |name| env::var_os(name).is_some();
    if !cfg!(all(target_os = "linux", target_env = "gnu")) || is_set(NAME) || is_set(BEGUN) {
        return;
    }
    let Ok(program) = env::current_exe() else { return };
    // A loader that was called by its name: it would take the first argument for the program.
    if program.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"ld-")) {
        return;
    }
    let mut arguments = env::args_os();
    let mut again = Command::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    // Comes back only if it fails.
    let _ = again.args(arguments).env(NAME, BYTES).env(BEGUN, "1").exec();
}
