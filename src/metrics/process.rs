//! The process as the kernel sees it, by the names that Prometheus' own clients use.
//!
//! INVARIANT: what cannot be read is left out: a metric is never made up. Read at scrape.

use std::{fmt, fs};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, registry::Unit};

use super::scrape::Scrape;

/// Reads `/proc/self`.
#[derive(Debug)]
pub(super) struct Process;

/// What `/proc/self/stat` says.
struct Stat {
    cpu_ticks: u64,
    start_ticks: u64,
    resident_pages: u64,
}

impl Stat {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// proc_pid_stat(5). The second field is the name in parentheses, and can hold anything.
    fn parse(stat: &str) -> Option<Self> {
        let (_, rest) = stat.rsplit_once(") ")?;
        let fields: Vec<_> = rest.split(' ').collect();
        // The manual counts from 1, and these begin with its third.
        let field = |number: usize| fields.get(number.checked_sub(3)?)?.trim().parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)?.checked_add(field(15)?)?,
            start_ticks: field(22)?,
            resident_pages: field(24)?,
        })
    }
}

/// When the machine was started, in seconds since 1970.
fn boot_time() -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[expect(clippy::cast_precision_loss, reason = "hundredths of seconds since 1970 fit 53 bits")]
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

impl Collector for Process {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut scrape = Scrape(encoder);
        if let Some(stat) = Stat::read() {
            let (cpu, unit) = (seconds(stat.cpu_ticks), Some(&Unit::Seconds));
            scrape.counter("process_cpu", "User and system time spent", unit, cpu)?;
            if let Some(boot) = boot_time() {
                let boot = boot.saturating_mul(rustix::param::clock_ticks_per_second());
                let start = seconds(stat.start_ticks.saturating_add(boot));
                let help = "When the process was started, since the Unix epoch";
                scrape.gauge("process_start_time", help, unit, start)?;
            }
            let memory = stat.resident_pages.saturating_mul(rustix::param::page_size() as u64);
            let unit = Some(&Unit::Bytes);
            scrape.gauge("process_resident_memory", "Memory that is resident", unit, memory)?;
        }
        if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
            // The one that reads them is among them.
            let open = descriptors.count().saturating_sub(1) as u64;
            scrape.gauge("process_open_fds", "File descriptors that are open", None, open)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_moves_no_field() {
        let stat = "7 (a) R) S 1 7 7 0 -1 4194560 90 0 0 0 11 22 0 0 20 0 9 0 333 4444 55 1844";
        let stat = Stat::parse(stat).unwrap();
        assert_eq!((stat.cpu_ticks, stat.start_ticks, stat.resident_pages), (33, 333, 55));
        assert!(Stat::parse("7 (short) R 1").is_none());
    }

    #[test]
    fn this_process_has_started_and_uses_memory() {
        let stat = Stat::read().unwrap();
        assert!(stat.resident_pages > 100);
        assert!(boot_time().unwrap() > 1_000_000_000);
    }
}
