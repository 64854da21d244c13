//! A terminal: one shell, whose variables and background processes live as long as it does.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// What stands before an exit code; no program prints it.
const MARK: char = '\u{1e}';

pub(crate) struct Session {
    shell: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    limit: Duration,
}

impl Session {
    /// A shell with directory and environment of `command`, which runs `sh` with both outputs as one; nothing may keep it waiting
    /// for longer than `limit` without a word.
    pub(crate) fn start(command: &mut Command, limit: Duration) -> Result<Self, String> {
        command
            .args(["-c", "exec sh 2>&1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        let mut shell = command.spawn().map_err(|e| format!("no shell: {e}"))?;
        let (input, output) = (shell.stdin.take(), shell.stdout.take());
        let (said, lines) = channel();
        std::thread::spawn(move || {
            let lines = output.into_iter().flat_map(|output| BufReader::new(output).lines());
            for line in lines.map_while(Result::ok) {
                if said.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { shell, input, lines, limit })
    }

    /// Types a command, and waits until it has ended: its exit code, and what it has said.
    pub(crate) fn run(&mut self, command: &str) -> Result<(i32, String), String> {
        let typed = format!("{{ {command}\n}} < /dev/null\nprintf '\\n{MARK}%s\\n' $?\n");
        let failed = |e: std::io::Error| format!("the shell has ended before `{command}`: {e}");
        self.input.as_mut().map_or(Ok(()), |input| input.write_all(typed.as_bytes())).map_err(failed)?;
        let mut output = String::new();
        // A loop that waits for something says a word each time.
        let ends = Instant::now() + 5 * self.limit;
        loop {
            let left = ends.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(self.limit.min(left));
            let line = line.map_err(|why| format!("`{command}` does not end ({why}):\n{output}"))?;
            match line.strip_prefix(MARK) {
                Some(code) => return Ok((code.parse().unwrap_or(-1), output)),
                None => output = output + &line + "\n",
            }
        }
    }
}

impl Drop for Session {
    /// Ends the shell, and all that it has left in the background.
    fn drop(&mut self) {
        let group = format!("-{}", self.shell.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.shell.wait();
    }
}
