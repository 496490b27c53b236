//! Lines of the log on their way to standard error: queues, each with a thread that writes.
//!
//! INVARIANT: who logs never waits, whatever reads standard error or does not. A queue is bounded in
//! lines and bytes; what does not fit is dropped and counted, and takes no room from another queue:
//! what anybody can cause has one of its own, and so has what valid keys can.

use std::{
    io::{self, Write},
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use tracing::Metadata;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::MakeWriter;

/// Events of this name are denials of keys that have proven themselves.
pub(crate) const DENIAL: &str = "a denial of a valid key";
/// Events of this name can be caused by anybody, or are samples.
pub(crate) const ANYBODY: &str = "an allow, or a denial without a valid key";

/// Lines that wait in one queue at most.
const MAX_LINES: usize = 8192;
/// Bytes, the same.
const MAX_BYTES: usize = 8 << 20;
/// How long the end of the process waits for lines to be written.
const FLUSH: Duration = Duration::from_secs(2);

/// Lines that were dropped since the process began.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How many lines of the log were dropped since the process began.
pub fn lines_dropped() -> u64 {
    DROPPED.load(Relaxed)
}

/// Sorts events into their queues.
#[derive(Clone, Debug)]
pub(super) struct Queues {
    /// What the program says by itself, and changes of keys.
    events: Queue,
    denials: Queue,
    anybody: Queue,
}

/// Keeps the log going. When it is dropped, what waits is written, if it can be within a short time.
#[derive(Debug)]
#[must_use = "what waits is written when it is dropped"]
pub struct LogGuard(Vec<(WorkerGuard, Arc<Waiting>)>);

/// What was queued and is not written yet.
#[derive(Debug, Default)]
struct Waiting {
    lines: AtomicUsize,
    bytes: AtomicUsize,
}

/// The end of a queue where lines go in.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    lines: NonBlocking,
    waiting: Arc<Waiting>,
}

/// The other end: writes, on a thread of its own.
struct Drain<W> {
    inner: W,
    waiting: Arc<Waiting>,
}

impl Queues {
    /// Queues in front of standard error.
    pub(super) fn start() -> (Self, LogGuard) {
        let mut guards = Vec::new();
        let mut queue = |name: &str| {
            let (queue, guard) = Queue::start(name, io::stderr());
            guards.push((guard, Arc::clone(&queue.waiting)));
            queue
        };
        let queues =
            Self { events: queue("log"), denials: queue("log-denials"), anybody: queue("log-any") };
        (queues, LogGuard(guards))
    }
}

impl<'a> MakeWriter<'a> for Queues {
    type Writer = Queue;

    fn make_writer(&'a self) -> Queue {
        self.events.clone()
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Queue {
        match event.name() {
            DENIAL => self.denials.clone(),
            ANYBODY => self.anybody.clone(),
            _ => self.events.clone(),
        }
    }
}

impl Queue {
    fn start(name: &str, writer: impl Write + Send + 'static) -> (Self, WorkerGuard) {
        let waiting = Arc::<Waiting>::default();
        let drain = Drain { inner: writer, waiting: Arc::clone(&waiting) };
        // `waiting` is what bounds it: the channel itself is never full.
        let (lines, guard) = NonBlockingBuilder::default()
            .lossy(true)
            .buffered_lines_limit(MAX_LINES + 1)
            .thread_name(name)
            .finish(drain);
        (Self { lines, waiting }, guard)
    }
}

impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.waiting.admit(line.len()) {
            self.lines.write(line)
        } else {
            DROPPED.fetch_add(1, Relaxed);
            Ok(line.len())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Waiting {
    /// Whether a line of this many bytes may be queued; then it counts.
    fn admit(&self, len: usize) -> bool {
        let lines = self.lines.fetch_add(1, Relaxed);
        let bytes = self.bytes.fetch_add(len, Relaxed);
        let fits = lines < MAX_LINES && bytes.saturating_add(len) <= MAX_BYTES;
        if !fits {
            self.done(len);
        }
        fits
    }

    fn done(&self, len: usize) {
        self.lines.fetch_sub(1, Relaxed);
        self.bytes.fetch_sub(len, Relaxed);
    }

    fn is_empty(&self) -> bool {
        self.lines.load(Relaxed) == 0
    }
}

impl<W: Write> Write for Drain<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_all(line).map(|()| line.len())
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        let written = self.inner.write_all(line);
        if written.is_err() {
            DROPPED.fetch_add(1, Relaxed);
        }
        self.waiting.done(line.len());
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let deadline = Instant::now() + FLUSH;
        for (guard, waiting) in self.0.drain(..) {
            while !waiting.is_empty() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(1));
            }
            if !waiting.is_empty() {
                // Nobody reads. Dropping the guard would wait for its thread, and print that it
                // does not answer, perhaps into the same pipe.
                mem::forget(guard);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// Writes no line before it is let.
    struct Held(Receiver<()>, SyncSender<Vec<u8>>);

    impl Write for Held {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            self.1.send(line.to_vec()).map_err(io::Error::other)?;
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_queue_that_nobody_empties_takes_so_many_lines_and_bytes_and_drops_the_rest() {
        let (_let, held) = sync_channel(1);
        let (written, _lines) = sync_channel(1);
        let (mut queue, guard) = Queue::start("test", Held(held, written));
        let before = lines_dropped();
        for _ in 0..MAX_LINES {
            queue.write_all(b"line\n").unwrap();
        }
        assert_eq!(lines_dropped(), before);
        queue.write_all(b"line\n").unwrap();
        assert_eq!(lines_dropped(), before + 1);
        mem::forget(guard);

        let (_let, held) = sync_channel(1);
        let (written, _lines) = sync_channel(1);
        let (mut queue, guard) = Queue::start("test", Held(held, written));
        let before = lines_dropped();
        for _ in 0..9 {
            queue.write_all(&vec![b'x'; MAX_BYTES / 8]).unwrap();
        }
        assert_eq!(lines_dropped(), before + 1);
        mem::forget(guard);
    }

    #[test]
    fn what_waits_is_written_before_the_guard_is_gone() {
        let (go, held) = sync_channel(10);
        let (written, lines) = sync_channel(10);
        let (mut queue, guard) = Queue::start("test", Held(held, written));
        for _ in 0..10 {
            queue.write_all(b"line\n").unwrap();
            go.send(()).unwrap();
        }
        drop(LogGuard(vec![(guard, Arc::clone(&queue.waiting))]));
        assert_eq!(lines.try_iter().count(), 10);
    }
}
