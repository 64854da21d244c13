//! What a process has in use, as Linux tells it: for measures over time.

/// The memory that it occupies, in bytes.
pub(crate) fn rss(process: u32) -> u64 {
    status(process, "VmRSS:") * 1024
}

/// The most that it has ever occupied.
pub(crate) fn rss_peak(process: u32) -> u64 {
    status(process, "VmHWM:") * 1024
}

/// How many files, sockets and pipes it has open.
pub(crate) fn file_descriptors(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}

/// How many threads it has.
pub(crate) fn threads(process: u32) -> u64 {
    status(process, "Threads:")
}

/// A number of `/proc/…/status`.
fn status(process: u32, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("the system knows it");
    line.split_whitespace().next().unwrap().parse().unwrap()
}
