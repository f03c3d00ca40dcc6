//! What a process has cost, as the kernel counts it.

use std::fs;

/// CPU and context switches for a number of operations.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) cpu_ns: u64,
    pub(crate) switches: u64,
    pub(crate) operations: usize,
}

impl Cost {
    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu_ns as f64 / 1000.0 / self.operations as f64
    }

    pub(crate) fn switches(&self) -> f64 {
        self.switches as f64 / self.operations as f64
    }
}

/// Nanoseconds on a CPU and context switches of all threads of a process, and of those that it has started, so far.
pub(crate) fn spent(pid: u32) -> (u64, u64) {
    let mut total = (0, 0);
    for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten() {
        let schedstat = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        total.0 += schedstat
            .split(' ')
            .next()
            .and_then(|n| n.parse::<u64>().ok())
            .unwrap_or(0);
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let switches = status
            .lines()
            .filter_map(|line| line.split_once("_ctxt_switches:"));
        total.1 += switches
            .map(|(_, n)| n.trim().parse::<u64>().unwrap_or(0))
            .sum::<u64>();
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace().flat_map(str::parse) {
            let (cpu_ns, switches) = spent(child);
            total = (total.0 + cpu_ns, total.1 + switches);
        }
    }
    total
}

/// Resident memory of a process in KiB.
pub(crate) fn resident_kib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
