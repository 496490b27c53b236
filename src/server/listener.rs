//! A bound address, and the loop that accepts on it.

use std::{
    fs, io,
    os::unix::net::UnixStream as StdUnix,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::net::{TcpListener, UnixListener};

use super::Socket;
use crate::config::Address;

/// How long to wait when the process has no descriptor left.
const BACK_OFF: Duration = Duration::from_millis(50);
/// Connections that the kernel holds for us.
const BACKLOG: u32 = 1024;

/// A listener on one address.
#[derive(Debug)]
pub struct Listener {
    address: Address,
    socket: ListenerSocket,
}

#[derive(Debug)]
enum ListenerSocket {
    Tcp(TcpListener),
    Unix { listener: UnixListener, _file: SocketFile },
}

/// Removes a Unix socket's file when its listener goes.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // It may be gone already: then there is nothing to do.
        let _ = fs::remove_file(&self.0);
    }
}

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on `{address}`{}", hint(source))]
pub struct BindError {
    address: Address,
    #[source]
    source: io::Error,
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
        let failed = |source| BindError { address: address.clone(), source };
        match address {
            Address::Tcp(host_port) => {
                let socket = bind_tcp(host_port).map_err(failed)?;
                let address = socket.local_addr().map_err(failed)?.to_string();
                Ok(Self { address: Address::Tcp(address), socket: ListenerSocket::Tcp(socket) })
            }
            Address::Unix(path) => {
                remove_stale(path).map_err(failed)?;
                let listener = UnixListener::bind(path).map_err(failed)?;
                let socket = ListenerSocket::Unix { listener, _file: SocketFile(path.clone()) };
                Ok(Self { address: address.clone(), socket })
            }
        }
    }

    /// Where it listens: the real port, where 0 was asked for.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Accepts until it is dropped, and gives each connection to `dispatch`.
    pub async fn accept(self, dispatch: impl Fn(Socket)) {
        loop {
            match self.accept_one().await {
                Ok(socket) => dispatch(socket),
                Err(error) => {
                    tracing::warn!(%error, address = %self.address, "a connection could not be accepted");
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    }

    async fn accept_one(&self) -> io::Result<Socket> {
        match &self.socket {
            ListenerSocket::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Socket::Tcp(stream.into_std()?, peer))
            }
            ListenerSocket::Unix { listener, .. } => {
                Ok(Socket::Unix(listener.accept().await?.0.into_std()?))
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
        match socket.bind(address).and_then(|()| socket.listen(BACKLOG)) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Removes the socket file of a process that is gone; nothing else. What is no
/// socket is an error.
fn remove_stale(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt as _;
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => {}
        Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => return Ok(()),
    }
    match StdUnix::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Ok(()),
    }
}
