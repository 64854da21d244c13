//! Runs other programs: prints the command, and says what to do when it fails.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::paths::Paths;

/// A `cargo` command in the workspace's root, in the environment that a shell would give it.
///
/// `cargo run` sets environment variables about its package; they are removed, so that nothing is compiled
/// twice because of them.
pub(crate) fn cargo(paths: &Paths) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(paths.root());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    if std::env::var_os("CARGO_TARGET_DIR").is_some() {
        command.env("CARGO_TARGET_DIR", paths.target());
    }
    command
}

/// The command as a user would type it.
pub(crate) fn shown(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    std::iter::once(name).chain(command.get_args()).map(quoted).collect::<Vec<_>>().join(" ")
}

/// One word of a command line, quoted where a shell would need it.
fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "-_=./:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Runs a command with the terminal's output and an empty input; `advice` says what to do if it fails.
pub(crate) fn step(mut command: Command, advice: &str) -> Result<(), Failure> {
    let line = shown(&command);
    eprintln!("\n→ {line}");
    let status = command.stdin(Stdio::null()).status();
    let status = status.map_err(|e| Failure::new(format!("cannot start `{line}`: {e}; {advice}")))?;
    succeeded(status, &line, advice)
}

/// As [`step`], for a command that may wait for a network: it is killed when it takes longer than `limit`.
pub(crate) fn step_within(mut command: Command, limit: Duration, advice: &str) -> Result<(), Failure> {
    let line = shown(&command);
    eprintln!("\n→ {line}");
    let failed = |e: std::io::Error| Failure::new(format!("cannot run `{line}`: {e}; {advice}"));
    let mut child = command.stdin(Stdio::null()).spawn().map_err(failed)?;
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            return succeeded(status, &line, advice);
        }
        if began.elapsed() > limit {
            let _ = child.kill();
            let _ = child.wait();
            return Err(Failure::new(format!(
                "`{line}` took longer than {limit:?} and was killed; {advice}"
            )));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Turns an exit status into a result that names the command.
pub(crate) fn succeeded(status: ExitStatus, line: &str, advice: &str) -> Result<(), Failure> {
    if status.success() {
        return Ok(());
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0).unwrap_or(1);
    Err(Failure::new(format!("`{line}` failed ({status}); {advice}")).with_code(code))
}

/// Replaces this process by the other program, so that terminal, signals and exit code are its own.
#[cfg(unix)]
pub(crate) fn become_program(mut command: Command, advice: &str) -> Result<std::process::ExitCode, Failure> {
    use std::os::unix::process::CommandExt as _;
    let error = command.exec();
    Err(Failure::new(format!("cannot start `{}`: {error}; {advice}", shown(&command))))
}

/// Runs the other program to its end and returns its exit code.
#[cfg(not(unix))]
pub(crate) fn become_program(mut command: Command, advice: &str) -> Result<std::process::ExitCode, Failure> {
    let line = shown(&command);
    let status = command.status();
    let status = status.map_err(|e| Failure::new(format!("cannot start `{line}`: {e}; {advice}")))?;
    succeeded(status, &line, advice).map(|()| std::process::ExitCode::SUCCESS)
}

/// A list of steps that all run, even if earlier ones fail, and a summary of them.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<(String, Duration, Result<(), Failure>)>,
}

impl Steps {
    /// Runs one step under a name.
    pub(crate) fn run(&mut self, name: impl Into<String>, command: Command, advice: &str) {
        self.does(name, || step(command, advice));
    }

    /// Does one step under a name.
    pub(crate) fn does(&mut self, name: impl Into<String>, does: impl FnOnce() -> Result<(), Failure>) {
        let start = Instant::now();
        let result = does();
        if let Err(failure) = &result {
            eprintln!("xtask: {failure}");
        }
        self.done.push((name.into(), start.elapsed(), result));
    }

    /// Prints the result of every step; the error is that of the first that failed.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let width = self.done.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
        println!("\nSummary");
        for (name, took, result) in &self.done {
            let word = if result.is_ok() { "ok" } else { "FAILED" };
            println!("  {name:width$}  {word:6}  {:>6.1} s", took.as_secs_f64());
        }
        self.done.into_iter().try_for_each(|(_, _, result)| result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let mut command = Command::new("/somewhere/bin/cargo");
        command.args(["test", "--", "two words", "it's", ""]);
        assert_eq!(shown(&command), r"cargo test -- 'two words' 'it'\''s' ''");
    }

    #[test]
    fn the_first_failure_decides_and_all_steps_run() {
        let step = |name: &str, code: Option<u8>| {
            let result = code.map_or(Ok(()), |code| Err(Failure::new("no").with_code(code)));
            (name.to_owned(), Duration::ZERO, result)
        };
        let steps = Steps { done: vec![step("a", None), step("b", Some(101)), step("c", Some(3))] };
        assert_eq!(steps.finish().expect_err("two failed").code(), 101);
    }

    #[cfg(unix)]
    #[test]
    fn a_command_that_takes_too_long_is_killed_and_one_that_ends_is_not() {
        let mut sleeps = Command::new("sleep");
        sleeps.arg("600");
        let failure = step_within(sleeps, Duration::from_millis(100), "ask again").expect_err("it sleeps");
        assert!(failure.to_string().contains("`sleep 600` took longer than 100ms"), "{failure}");
        step_within(Command::new("true"), Duration::from_secs(600), "ask again").expect("it ends");
    }

    #[test]
    fn a_missing_program_is_named_with_advice() {
        let failure = step(Command::new("no-such-program-here"), "install it").expect_err("cannot start");
        let text = failure.to_string();
        assert!(text.contains("no-such-program-here") && text.ends_with("install it"), "{text}");
    }
}
