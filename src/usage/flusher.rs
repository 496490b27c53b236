//! The thread that makes the usage durable, at an interval and at the end.
//!
//! INVARIANT: it survives every error: the totals stay in memory, and are written
//! with the next flush that succeeds. It says so once, and once when that is over.

use std::{
    io,
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{Usage, UsageError};

/// The thread's handle. Dropping it ends the thread, too, after a last flush.
#[derive(Debug)]
pub struct Flusher {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<Result<(), UsageError>>>,
}

impl Flusher {
    pub(super) fn start(usage: Usage, interval: Duration) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let run = move || {
            let mut failing = false;
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                match usage.flush() {
                    Ok(()) if failing => tracing::info!("the usage of keys is written again"),
                    Err(error) if !failing => tracing::warn!(
                        %error,
                        "the usage of keys cannot be written; it is kept in memory, and tried again"
                    ),
                    _ => continue,
                }
                failing = !failing;
            }
            usage.flush()
        };
        let thread = thread::Builder::new().name("usage".to_owned()).spawn(run)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }

    /// Flushes once more, and ends the thread.
    ///
    /// # Errors
    /// Those of [`Usage::flush`]: what was used since the last flush is lost with
    /// the process.
    pub fn close(mut self) -> Result<(), UsageError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), UsageError> {
        self.stop = None;
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().unwrap_or(Err(UsageError::Panicked))
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(%error, "the last usage of keys could not be written");
        }
    }
}
