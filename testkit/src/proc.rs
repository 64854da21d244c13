//! Processes as Linux knows them: what they have in use, for measures over time, and signals.

use std::process::Command;
use std::time::{Duration, Instant};

/// The memory that it occupies, in bytes.
pub fn rss(process: u32) -> u64 {
    status(process, "VmRSS:") * 1024
}

/// The most that it has ever occupied.
pub fn rss_peak(process: u32) -> u64 {
    status(process, "VmHWM:") * 1024
}

/// How many files, sockets and pipes it has open.
pub fn file_descriptors(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}

/// How many threads it has.
pub fn threads(process: u32) -> u64 {
    status(process, "Threads:")
}

/// How much processor time it has used, in user and in kernel mode, in steps of 10 ms.
pub fn cpu_time(process: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let (_, fields) = text.rsplit_once(')').expect("a name in brackets");
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// A number of `/proc/…/status`.
fn status(process: u32, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("the system knows it");
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Sends a signal, named as `kill` names it.
pub fn signal(process: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
}

/// Waits until a process that was sent SIGSTOP has stopped, all of its threads: until then it answers.
pub fn wait_until_frozen(process: u32) {
    let since = Instant::now();
    let stopped = |stat: String| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with(['T', 't']));
    let all = || {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return true };
        threads.flatten().all(|thread| std::fs::read_to_string(thread.path().join("stat")).is_ok_and(stopped))
    };
    while !all() {
        assert!(since.elapsed() < crate::LIMIT, "the process does not stop");
        std::thread::yield_now();
    }
}
