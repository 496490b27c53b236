//! A stream that gives up on a client that is slow.
//!
//! INVARIANT: between requests a read ends in time, and so does any write. While a request is under
//! way, its own time-out counts.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use super::{Limits, exchange::Turns};

/// A stream with limits on how long its peer may take.
pub(super) struct Paced<S> {
    stream: S,
    turns: Turns,
    limits: Limits,
    /// The turn that the fields below are about.
    turn: u64,
    /// Whether the head of a request has begun to arrive.
    begun: bool,
    read: Option<Timer>,
    write: Option<Timer>,
}

type Timer = Pin<Box<Sleep>>;

/// Whether `timer`, which begins now if it has not, is over.
fn is_over(timer: &mut Option<Timer>, after: Duration, cx: &mut Context<'_>) -> bool {
    timer.get_or_insert_with(|| Box::pin(sleep(after))).as_mut().poll(cx).is_ready()
}

impl<S> Paced<S> {
    /// `stream`, on which the requests of `turns` come.
    pub(super) fn new(stream: S, turns: Turns, limits: Limits) -> Self {
        Self { stream, turns, limits, turn: 0, begun: false, read: None, write: None }
    }

    /// Ends a write that has waited long enough.
    fn written<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.write = None;
        } else if is_over(&mut self.write, self.limits.write, cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        let turn = this.turns.number();
        if this.turn != turn {
            (this.turn, this.begun, this.read) = (turn, false, None);
        }
        if Turns::is_under_way(turn) {
            return read;
        }
        let is_first = turn == 0;
        if buf.filled().len() > before && !this.begun {
            this.begun = true;
            if !is_first {
                this.read = None;
            }
        }
        let after = if this.begun || is_first { this.limits.head } else { this.limits.idle };
        // A read of nothing is the end.
        let over = read.is_pending() && is_over(&mut this.read, after, cx);
        if over { Poll::Ready(Ok(())) } else { read }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.written(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(flushed, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.written(shut, cx)
    }
}
