//! An accepted connection, TCP, TLS or Unix, that can move to another runtime.

use std::{
    future::Future,
    io,
    net::TcpStream as StdTcp,
    os::unix::net::UnixStream as StdUnix,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    sync::oneshot,
};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::{
    grpc::{Credentials, Peer},
    tls::Reloader,
};

/// An accepted socket that no runtime has yet.
pub enum Socket {
    /// TCP, and from where.
    Tcp(StdTcp, std::net::SocketAddr),
    /// TCP on which TLS is to be spoken, with these certificates.
    Tls(StdTcp, std::net::SocketAddr, Reloader),
    /// A Unix socket.
    Unix(StdUnix),
}

/// A connection on the runtime that serves it.
pub(super) struct Connection {
    stream: Stream,
    peer: Peer,
    greeting: Option<Greeting>,
    cut: Option<oneshot::Receiver<()>>,
    _open: Open,
}

/// The first bytes of a peer that speaks HTTP/2, and how long they may take.
/// hyper would wait for them for ever, and hold up a stop.
struct Greeting {
    missing: usize,
    patience: Patience,
}

/// Ends when a peer has been silent for too long.
pub(super) type Patience = Pin<Box<dyn Future<Output = ()> + Send>>;

/// `PRI * HTTP/2.0` with its line ends.
const PREFACE_LEN: usize = 24;

enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

/// Counts a connection as long as it lives.
pub(super) struct Open(Arc<AtomicUsize>);

impl Open {
    pub(super) fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection {
    /// Registers TCP with the runtime that this is called in. It ends when
    /// `patience` does, if the peer has not begun to speak HTTP/2 by then.
    pub(super) fn tcp(
        stream: StdTcp,
        address: std::net::SocketAddr,
        open: Open,
        patience: Patience,
    ) -> io::Result<Self> {
        let stream = Stream::Tcp(TcpStream::from_std(stream)?);
        Ok(Self::new(stream, Peer::Tcp(address), open, patience))
    }

    /// The same of a Unix socket.
    pub(super) fn unix(stream: StdUnix, open: Open, patience: Patience) -> io::Result<Self> {
        let stream = UnixStream::from_std(stream)?;
        let credentials = stream.peer_cred().ok().map(|of| Credentials {
            uid: of.uid(),
            gid: of.gid(),
            pid: of.pid().filter(|pid| *pid != 0),
        });
        Ok(Self::new(Stream::Unix(stream), Peer::Unix(credentials), open, patience))
    }

    /// One on which TLS is spoken already. It breaks off when `cut` ends.
    pub(super) fn tls(
        stream: TlsStream<TcpStream>,
        peer: Peer,
        open: Open,
        patience: Patience,
        cut: oneshot::Receiver<()>,
    ) -> Self {
        let stream = Stream::Tls(Box::new(stream));
        Self { cut: Some(cut), ..Self::new(stream, peer, open, patience) }
    }

    fn new(stream: Stream, peer: Peer, open: Open, patience: Patience) -> Self {
        let greeting = Greeting { missing: PREFACE_LEN, patience };
        Self { stream, peer, greeting: Some(greeting), cut: None, _open: open }
    }

    /// Takes note of a read of `len` bytes, and ends what has waited long enough.
    fn greeted(
        &mut self,
        read: Poll<io::Result<()>>,
        len: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(greeting) = &mut self.greeting else { return read };
        greeting.missing = greeting.missing.saturating_sub(len);
        let over = read.is_pending() && greeting.patience.as_mut().poll(cx).is_ready();
        if over || greeting.missing == 0 {
            self.greeting = None;
        }
        // A read of nothing is the end.
        if over { Poll::Ready(Ok(())) } else { read }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(cut) = &mut self.cut
            && Pin::new(cut).poll(cx).is_ready()
        {
            self.cut = None;
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let before = buf.filled().len();
        let read = match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        self.greeted(read, buf.filled().len() - before, cx)
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
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
