//! An accepted connection, TCP, TLS or Unix, on the runtime that serves it.
//!
//! INVARIANT: it ends, whatever its client does: one that is silent, slow to send or slow to read
//! is closed by [`pace`].

mod pace;

use std::{
    io,
    net::TcpStream as StdTcp,
    os::unix::net::UnixStream as StdUnix,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::server::TlsStream;

pub(super) use self::pace::{Pace, Pacing};
use crate::{grpc::Credentials, tls::Reloader};

/// An accepted socket that no runtime has yet.
pub enum Socket {
    /// TCP, and from where.
    Tcp(StdTcp, std::net::SocketAddr),
    /// TCP on which TLS is to be spoken, with these certificates.
    Tls(StdTcp, std::net::SocketAddr, Reloader),
    /// A Unix socket.
    Unix(StdUnix),
}

/// The bytes of a connection.
pub(super) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

/// A connection on the runtime that serves it.
pub(super) struct Connection {
    stream: Stream,
    pace: Pace,
}

/// What the kernel knows of the process at the other end.
pub(super) fn credentials(stream: &UnixStream) -> Option<Credentials> {
    stream.peer_cred().ok().map(|of| Credentials {
        uid: of.uid(),
        gid: of.gid(),
        pid: of.pid().filter(|pid| *pid != 0),
    })
}

impl Connection {
    /// `stream`, whose client has to keep `pace`.
    pub(super) fn new(stream: Stream, pace: Pace) -> Self {
        Self { stream, pace }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let read = match &mut this.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        let new = buf.filled().get(before..).unwrap_or_default();
        this.pace.read(read, new, cx)
    }
}

/// Not vectored: h2 then copies messages of up to 1 KiB into one buffer and writes those of many
/// calls at once; else each of more than 256 bytes, as Envoy's are, would be a write of its own.
impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = match &mut this.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        };
        this.pace.written(written, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let flushed = match &mut this.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(cx),
        };
        this.pace.written(flushed, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let shut = match &mut this.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        };
        this.pace.written(shut, cx)
    }
}
