//! The processor time and memory of a server's processes, from /proc.

use std::collections::{HashMap, HashSet};
use std::fs;

use crate::servers::Target;

/// The unit of processor time in /proc: Linux has shown 100 ticks per second for decades, regardless of the kernel's
/// own clock.
const TICKS_PER_SECOND: f64 = 100.0;

/// Memory of all processes of a server, in KiB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Proportional set size: pages shared between processes count once.
    pub(crate) pss: f64,
    /// Resident set size: they count for each.
    pub(crate) rss: f64,
    /// Processes.
    pub(crate) processes: usize,
}

/// Seconds of processor time that the server has used so far, its ended and reaped children included.
///
/// A child that has ended and was not reaped is still listed, so nothing is lost between.
pub(crate) fn cpu_seconds(server: &Target) -> f64 {
    let all = processes();
    let family = family_of(server, &all);
    let ticks: u64 =
        all.iter().filter(|(pid, _)| family.contains(pid)).map(|(_, process)| process.ticks).sum();
    ticks as f64 / TICKS_PER_SECOND
}

/// Seconds of processor time that this process has used so far.
pub(crate) fn own_cpu_seconds() -> f64 {
    cpu_seconds_of(std::process::id())
}

/// Seconds of processor time that one process has used so far; 0 if it has ended.
pub(crate) fn cpu_seconds_of(pid: u32) -> f64 {
    let process = fs::read_to_string(format!("/proc/{pid}/stat")).ok().and_then(|stat| Process::parse(&stat));
    process.map_or(0.0, |process| process.ticks as f64 / TICKS_PER_SECOND)
}

/// The memory that the server has now.
pub(crate) fn memory(server: &Target) -> Memory {
    let mut sum = Memory::default();
    for pid in family_of(server, &processes()) {
        let Ok(rollup) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else { continue };
        sum.pss += kib(&rollup, "Pss:");
        sum.rss += kib(&rollup, "Rss:");
        sum.processes += 1;
    }
    sum
}

#[derive(Clone, Copy, Debug)]
struct Process {
    parent: u32,
    group: u32,
    /// The ticks of the process and of its reaped children, user and system.
    ticks: u64,
}

impl Process {
    /// Parses /proc/PID/stat. The name can contain any character and ends with the last parenthesis.
    fn parse(stat: &str) -> Option<Self> {
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        let ticks = [11, 12, 13, 14].into_iter().map(number).sum::<Option<u64>>()?;
        Some(Self { parent: number(1)?.try_into().ok()?, group: number(2)?.try_into().ok()?, ticks })
    }
}

fn processes() -> HashMap<u32, Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, Process::parse(&stat)?))
        })
        .collect()
}

fn family_of(server: &Target, all: &HashMap<u32, Process>) -> HashSet<u32> {
    let helpers = all.keys().copied().filter(|pid| has_argument(*pid, &server.mark)).collect();
    family(server.pid, helpers, all)
}

fn has_argument(pid: u32, text: &str) -> bool {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&command).split('\0').any(|argument| argument.contains(text))
}

/// The server, its process group, its helpers, and all that descend from these.
fn family(server: u32, helpers: HashSet<u32>, all: &HashMap<u32, Process>) -> HashSet<u32> {
    let mut family = helpers;
    family.extend(all.iter().filter(|(pid, p)| **pid == server || p.group == server).map(|(pid, _)| *pid));
    loop {
        let more: Vec<u32> = all
            .iter()
            .filter(|(pid, process)| !family.contains(pid) && family.contains(&process.parent))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            return family;
        }
        family.extend(more);
    }
}

fn kib(rollup: &str, name: &str) -> f64 {
    let line = rollup.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_parsed_after_any_name() {
        let stat = "7 (a) b (c)) S 3 5 5 0 -1 4194560 1 2 0 0 10 20 30 40 20 0 1";
        let process = Process::parse(stat).unwrap();
        assert_eq!((process.parent, process.group, process.ticks), (3, 5, 100));
    }

    #[test]
    fn a_family_is_the_group_and_its_descendants() {
        let process = |parent, group| Process { parent, group, ticks: 1 };
        let all = HashMap::from([
            (1, process(0, 1)),
            (10, process(1, 10)),
            (11, process(10, 11)),
            (12, process(11, 11)),
            (13, process(1, 10)),
            (14, process(1, 14)),
        ]);
        assert_eq!(family(10, HashSet::new(), &all), HashSet::from([10, 11, 12, 13]));
        assert_eq!(family(14, HashSet::from([11]), &all), HashSet::from([11, 12, 14]));
    }

    #[test]
    fn own_figures_are_there() {
        assert!(fs::read_to_string("/proc/self/smaps_rollup").is_ok_and(|rollup| kib(&rollup, "Pss:") > 0.0));
        assert!(own_cpu_seconds() >= 0.0);
    }
}
