//! Who is at the other end of a connection, as `server` saw it and admin changes
//! record it.

use std::fmt;

/// The peer's address; stands in every request's extensions.
#[derive(Clone, Debug)]
pub enum Peer {
    /// Over TCP.
    Tcp(std::net::SocketAddr),
    /// Over a Unix socket.
    Unix,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}
