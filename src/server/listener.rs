//! A bound address, and the loop that accepts on it.

use std::{io, time::Duration};

use tokio::net::TcpListener;

use super::{
    Socket,
    socket_file::{self, SocketFile},
};
use crate::{config::Address, telemetry::OncePerSecond, tls::Reloader};

/// How long to wait when the process has no descriptor left.
const BACK_OFF: Duration = Duration::from_millis(50);
/// Connections that the kernel holds for us.
const BACKLOG: i32 = 1024;

/// A listener on one address.
pub struct Listener {
    address: Address,
    socket: ListenerSocket,
}

enum ListenerSocket {
    Tcp(TcpListener, Option<Reloader>),
    Unix(SocketFile),
}

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Not by anybody, or not by this user.
    #[error("cannot listen on `{address}`{}", hint(source))]
    Listen {
        /// Where.
        address: Address,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A socket's file cannot have the owner that was asked for.
    #[error(
        "cannot give the socket `{address}` its owner: only root may give it to another user, and \
         others only to a group of theirs"
    )]
    Owner {
        /// Where.
        address: Address,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => ": another process does; stop it, or choose another address",
        io::ErrorKind::AlreadyExists => {
            ": something that is no socket is there; move it away, or choose another path"
        }
        io::ErrorKind::AddrNotAvailable => ": no interface of this machine has that address",
        io::ErrorKind::PermissionDenied => {
            ": this user may not; choose a port above 1023 or a writable directory"
        }
        io::ErrorKind::NotFound => ": the socket's directory does not exist",
        _ => "",
    }
}

impl Listener {
    /// Binds `address`. The socket file of a process that is gone is replaced.
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`BindError`]
    pub fn bind(address: &Address) -> Result<Self, BindError> {
        let failed = |source| BindError::Listen { address: address.clone(), source };
        match address {
            Address::Tcp(host_port) => {
                let socket = bind_tcp(host_port).map_err(failed)?;
                let address = socket.local_addr().map_err(failed)?.to_string();
                let socket = ListenerSocket::Tcp(socket, None);
                Ok(Self { address: Address::Tcp(address), socket })
            }
            Address::Unix(socket) => {
                let socket = SocketFile::bind(socket, BACKLOG).map_err(|error| match error {
                    socket_file::Error::Owner(source) => {
                        BindError::Owner { address: address.clone(), source }
                    }
                    socket_file::Error::Bind(source) => failed(source),
                })?;
                Ok(Self { address: address.clone(), socket: ListenerSocket::Unix(socket) })
            }
        }
    }

    /// The same with TLS, if there are certificates and it is no Unix socket.
    #[must_use]
    pub fn with_tls(mut self, tls: Option<Reloader>) -> Self {
        if let ListenerSocket::Tcp(_, own) = &mut self.socket {
            *own = tls;
        }
        self
    }

    /// Whether TLS is spoken.
    pub(super) fn is_secure(&self) -> bool {
        matches!(self.socket, ListenerSocket::Tcp(_, Some(_)))
    }

    /// Where it listens: the real port, where 0 was asked for.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Accepts until it is dropped, and gives each connection to `dispatch`.
    pub async fn accept<F: Future<Output = ()>>(self, dispatch: impl Fn(Socket) -> F) {
        let failed = OncePerSecond::default();
        loop {
            match self.accept_one().await {
                Ok(socket) => dispatch(socket).await,
                Err(error) => {
                    if let Some(unlogged) = failed.admit() {
                        let address = &self.address;
                        tracing::warn!(%error, %address, unlogged, "a connection could not be accepted");
                    }
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    }

    async fn accept_one(&self) -> io::Result<Socket> {
        match &self.socket {
            ListenerSocket::Tcp(listener, tls) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let stream = stream.into_std()?;
                Ok(match tls {
                    Some(tls) => Socket::Tls(stream, peer, tls.clone()),
                    None => Socket::Tcp(stream, peer),
                })
            }
            ListenerSocket::Unix(file) => {
                Ok(Socket::Unix(file.listener().accept().await?.0.into_std()?))
            }
        }
    }
}

fn bind_tcp(host_port: &str) -> io::Result<TcpListener> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in std::net::ToSocketAddrs::to_socket_addrs(host_port)? {
        let socket = if address.is_ipv6() {
            tokio::net::TcpSocket::new_v6()?
        } else {
            tokio::net::TcpSocket::new_v4()?
        };
        socket.set_reuseaddr(true)?;
        match socket.bind(address).and_then(|()| socket.listen(BACKLOG.unsigned_abs())) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}
