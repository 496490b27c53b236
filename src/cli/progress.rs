//! How far long work is: one line on standard error, gone when the work ends.
//!
//! INVARIANT: nothing is written unless standard error is a terminal, so that
//! logs and pipes stay clean. Standard output, and so `--output json`, is never
//! touched. Used by the commands that move many keys or bytes.

use std::{
    io::{self, IsTerminal as _},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work that is done sooner shows nothing: a line that only flashes up disturbs.
const PATIENCE: Duration = Duration::from_millis(400);
/// How often the line is drawn anew, at most, a second.
const DRAWS: u8 = 5;
/// How often it is drawn while nothing moves, so that the time goes on.
const TICK: Duration = Duration::from_millis(500);

/// The line. It is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    /// Counted here as well: a bar that is finished says that all is done.
    done: AtomicU64,
    terminal: bool,
}

impl Progress {
    /// Counts things such as keys; `total` where it is known. `doing` is a word
    /// or two of ours, such as `importing keys`.
    pub(crate) fn items(doing: &'static str, total: Option<u64>) -> Progress {
        let style = match total {
            Some(_) => "{msg} [{bar:32}] {human_pos} of {human_len}, {elapsed}, {eta} left",
            None => "{msg}: {human_pos}, {elapsed}",
        };
        Progress::new(doing, total, style)
    }

    /// Counts bytes; `total` where it is known.
    pub(crate) fn bytes(doing: &'static str, total: Option<u64>) -> Progress {
        let style = match total {
            Some(_) => {
                "{msg} [{bar:32}] {binary_bytes} of {binary_total_bytes}, \
                 {binary_bytes_per_sec}, {eta} left"
            }
            None => "{msg}: {binary_bytes}, {binary_bytes_per_sec}, {elapsed}",
        };
        Progress::new(doing, total, style)
    }

    fn new(doing: &'static str, total: Option<u64>, style: &str) -> Progress {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        // A template that cannot be read leaves the plain line.
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(doing);
        Progress { bar, done: AtomicU64::new(0), terminal: io::stderr().is_terminal() }
    }

    /// This much more is done.
    pub(crate) fn moved(&self, by: u64) {
        self.done.fetch_add(by, Ordering::Relaxed);
        self.bar.inc(by);
        let due = self.bar.is_hidden() && !self.bar.is_finished();
        if self.terminal && due && self.bar.elapsed() > PATIENCE {
            self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(DRAWS));
            self.bar.enable_steady_tick(TICK);
        }
    }

    /// So much is done, of `total` as it is known now.
    pub(crate) fn show(&self, done: u64, total: u64) {
        self.bar.set_length(total.max(done));
        self.moved(done.saturating_sub(self.done()));
    }

    /// How much is done.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Takes the line away: to be called before anything else is printed.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::Progress;

    #[test]
    fn it_counts_and_a_fresh_line_is_hidden() {
        let progress = Progress::items("importing keys", Some(9));
        progress.moved(2);
        progress.moved(1);
        assert_eq!(progress.done(), 3);
        assert!(progress.bar.is_hidden(), "too soon to show");
        progress.finish();
        assert_eq!(progress.done(), 3, "the count stays");
    }
}
