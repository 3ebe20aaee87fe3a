//! The figures of the server's process: CPU time, memory, threads and descriptors.

use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// The figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ProcessFigures {
    /// User and system time, in seconds.
    pub(crate) cpu_seconds: f64,
    pub(crate) resident_bytes: u64,
    pub(crate) virtual_bytes: u64,
    pub(crate) threads: u64,
    /// The start, in seconds since 1970.
    pub(crate) start_seconds: u64,
    /// `None` if only counting would tell: kernels before 6.2.
    pub(crate) open_descriptors: Option<u64>,
    pub(crate) max_descriptors: u64,
}

/// The figures at this moment; `None` if the system does not have them.
pub(crate) fn current() -> Option<ProcessFigures> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let booted = fs::read_to_string("/proc/stat").ok()?;
    let booted = booted.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())?;
    let figures = of(&stat, booted)?;
    // The size of this directory is the number of its entries.
    let open = fs::metadata("/proc/self/fd").ok().map(|directory| directory.size());
    Some(ProcessFigures {
        open_descriptors: open.filter(|count| *count > 0),
        max_descriptors: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
        ..figures
    })
}

/// The figures in `/proc/self/stat` (proc(5)), on a machine that was started at this time.
fn of(stat: &str, booted: u64) -> Option<ProcessFigures> {
    // The name of the program, in parentheses, may have any characters.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // The first field here is the third of the manual page.
    let number = |field: usize| fields.get(field.checked_sub(3)?)?.parse::<u64>().ok();
    let ticks = clock_ticks_per_second();
    let page = u64::try_from(page_size()).ok()?;
    let spent = number(14)?.checked_add(number(15)?)?;
    #[expect(clippy::cast_precision_loss, reason = "a CPU time beyond 2^53 ticks does not occur")]
    let cpu_seconds = spent as f64 / ticks as f64;
    Some(ProcessFigures {
        cpu_seconds,
        threads: number(20)?,
        start_seconds: booted.checked_add(number(22)?.checked_div(ticks)?)?,
        virtual_bytes: number(23)?,
        resident_bytes: number(24)?.checked_mul(page)?,
        open_descriptors: None,
        max_descriptors: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_figures_are_plausible() {
        let figures = current().unwrap();
        assert!(
            figures.resident_bytes > 100_000 && figures.virtual_bytes >= figures.resident_bytes,
            "{figures:?}"
        );
        assert!(
            figures.threads >= 1 && figures.max_descriptors >= 3 && figures.cpu_seconds >= 0.0,
            "{figures:?}"
        );
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        assert!(figures.start_seconds <= now + 2 && figures.start_seconds + 86_400 > now, "{figures:?}");
    }

    #[test]
    fn fields_are_counted_after_the_name_of_the_program() {
        let fields: Vec<String> = (3..=52).map(|field: u64| (field * 1000).to_string()).collect();
        let stat = format!("1 (a ) b) {}", fields.join(" "));
        let figures = of(&stat, 5).unwrap();
        let ticks = clock_ticks_per_second();
        assert_eq!((figures.threads, figures.virtual_bytes), (20_000, 23_000));
        assert_eq!(figures.start_seconds, 5 + 22_000 / ticks);
        assert_eq!(of("1 (cut) S 1", 5), None);
    }
}
