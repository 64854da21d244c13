//! Runs a program under valgrind or strace, and reads what they say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use eitherway_testkit::proc;

use super::callgrind::{self, Counted};

/// Under which tool a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    None,
    Callgrind,
    Strace,
}

/// What a tool has said of a process.
#[derive(Debug)]
pub(crate) enum Said {
    Nothing,
    Instructions(Counted),
    Calls(BTreeMap<String, f64>),
}

impl Tool {
    /// Whether it is installed.
    pub(crate) fn is_there(self) -> bool {
        let program = if self == Self::Callgrind { "valgrind" } else { "strace" };
        Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success())
    }
}

/// A process under a tool.
pub(crate) struct Watched {
    child: Child,
    tool: Tool,
    out: PathBuf,
}

impl Watched {
    pub(crate) fn start(tool: Tool, program: &Path, args: &[&str], dir: &Path) -> Self {
        let out = dir.join("tool.out");
        let _ = std::fs::remove_file(&out);
        let mut command = match tool {
            Tool::None => Command::new(program),
            Tool::Callgrind => {
                let mut command = Command::new("valgrind");
                command.args(["--tool=callgrind", "--quiet"]);
                command.arg(format!("--callgrind-out-file={}", out.display())).arg(program);
                command
            }
            Tool::Strace => {
                let mut command = Command::new("strace");
                command.args(["-f", "-c", "-o"]).arg(&out).arg(program);
                command
            }
        };
        // The program would begin itself again without it, and leave the tool.
        command.args(args).env("MALLOC_MMAP_THRESHOLD_", "262144");
        let child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        Self { child, tool, out }
    }

    /// The child, to talk with it.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The process that is watched: that of the tool itself, but strace's is its child.
    pub(crate) fn pid(&self) -> u32 {
        let own = self.child.id();
        if self.tool != Tool::Strace {
            return own;
        }
        let begun = Instant::now();
        loop {
            let children = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap();
            if let Some(pid) = children.split(' ').find_map(|pid| pid.parse().ok()) {
                return pid;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "strace starts nothing");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it with SIGTERM.
    pub(crate) fn stop(self) -> Said {
        proc::signal(self.pid(), "-TERM");
        self.ended()
    }

    /// Waits for its end.
    pub(crate) fn ended(mut self) -> Said {
        self.child.wait().unwrap();
        let text = || std::fs::read_to_string(&self.out).unwrap();
        match self.tool {
            Tool::None => Said::Nothing,
            Tool::Callgrind => Said::Instructions(callgrind::read(&text())),
            Tool::Strace => Said::Calls(calls(&text())),
        }
    }
}

/// How often each system call was made, of the table of `strace -c`.
fn calls(table: &str) -> BTreeMap<String, f64> {
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        // "% time, seconds, usecs/call, calls, errors, syscall"; the errors are left out where there are none.
        let (calls, name) = (words.get(3)?.parse().ok()?, *words.last()?);
        (name != "total" && words[0].parse::<f64>().is_ok()).then(|| (name.to_owned(), calls))
    };
    table.lines().filter_map(row).collect()
}

impl Said {
    /// What each of so many operations has cost that only the longer of two runs has done.
    pub(crate) fn each(self, shorter: &Self, operations: f64) -> Self {
        match (self, shorter) {
            (Self::Instructions(all), Self::Instructions(less)) => {
                Self::Instructions(all.each(less, operations))
            }
            (Self::Calls(all), Self::Calls(less)) => {
                let of = |(name, calls): (String, f64)| {
                    let each = (calls - less.get(&name).unwrap_or(&0.0)) / operations;
                    (each > 0.02).then_some((name, each))
                };
                Self::Calls(all.into_iter().filter_map(of).collect())
            }
            _ => Self::Nothing,
        }
    }
}
