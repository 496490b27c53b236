//! Gives up on a client that is slow.
//!
//! INVARIANT: a client begins to speak HTTP in time, and any write ends in time. With HTTP/1.1 a
//! read ends in time, too, but while a call is in flight, which has a time-out of its own; HTTP/2
//! has pings for that.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Sleep, sleep};

use crate::server::connections::Activity;

/// How HTTP/2 begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a client may take.
#[derive(Copy, Clone, Debug)]
pub(in crate::server) struct Pacing {
    /// For the preface of HTTP/2, and for the head of a request of HTTP/1.1.
    pub(in crate::server) head: Duration,
    /// From an answer to the next request of HTTP/1.1.
    pub(in crate::server) idle: Duration,
    /// For taking anything of an answer.
    pub(in crate::server) write: Duration,
}

/// A client's pace.
pub(in crate::server) struct Pace {
    activity: Arc<Activity>,
    pacing: Pacing,
    speaks: Speaks,
    /// The turn that the field below and `read` are about.
    turn: u64,
    /// Whether the head of a request has begun to arrive.
    begun: bool,
    read: Option<Timer>,
    write: Option<Timer>,
}

#[derive(Copy, Clone)]
enum Speaks {
    /// So many bytes of the preface of HTTP/2 were there.
    Maybe2(usize),
    Http2,
    Http1,
}

type Timer = Pin<Box<Sleep>>;

/// Whether `timer`, which begins now if it has not, is over.
fn is_over(timer: &mut Option<Timer>, after: Duration, cx: &mut Context<'_>) -> bool {
    timer.get_or_insert_with(|| Box::pin(sleep(after))).as_mut().poll(cx).is_ready()
}

impl Pace {
    /// Of the client whose calls are told to `activity`.
    pub(in crate::server) fn new(activity: Arc<Activity>, pacing: Pacing) -> Self {
        let speaks = Speaks::Maybe2(0);
        Self { activity, pacing, speaks, turn: 0, begun: false, read: None, write: None }
    }

    /// Takes note of a read of `new`, and ends one that has waited long enough.
    pub(super) fn read(
        &mut self,
        read: Poll<io::Result<()>>,
        new: &[u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let after = match self.speaks {
            Speaks::Http2 => return read,
            Speaks::Maybe2(seen) if !new.is_empty() => {
                self.begin(seen, new);
                return read;
            }
            Speaks::Maybe2(_) => self.pacing.head,
            Speaks::Http1 => self.next(new),
        };
        while read.is_pending() && is_over(&mut self.read, after, cx) {
            if !self.activity.is_busy() {
                // A read of nothing is the end.
                return Poll::Ready(Ok(()));
            }
            // A call has its own time-out. Nobody says when it ends: it is looked at anew.
            self.read = None;
        }
        read
    }

    /// The first bytes say what is spoken.
    fn begin(&mut self, seen: usize, new: &[u8]) {
        let rest = PREFACE.get(seen..).unwrap_or_default();
        let len = rest.len().min(new.len());
        self.speaks = if rest.get(..len) != new.get(..len) {
            self.begun = true;
            Speaks::Http1
        } else if len < rest.len() {
            return self.speaks = Speaks::Maybe2(seen + len);
        } else {
            self.read = None;
            Speaks::Http2
        };
        self.activity.greet();
    }

    /// How long a read of HTTP/1.1 may take.
    fn next(&mut self, new: &[u8]) -> Duration {
        let turn = self.activity.turn();
        if self.turn != turn {
            (self.turn, self.begun, self.read) = (turn, false, None);
        }
        if !new.is_empty() && !self.begun && !self.activity.is_busy() {
            (self.begun, self.read) = (true, None);
        }
        if self.begun { self.pacing.head } else { self.pacing.idle }
    }

    /// Ends a write that has waited long enough.
    pub(super) fn written<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.write = None;
        } else if is_over(&mut self.write, self.pacing.write, cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        written
    }
}
