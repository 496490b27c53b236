//! Who is at the other end of a connection, as `server` saw it and admin changes
//! record it.

use std::{fmt, net::SocketAddr, sync::Arc};

use http::Extensions;

use crate::sign_ins::Source;

/// The peer's address; stands in every request's extensions.
#[derive(Clone, Debug)]
pub enum Peer {
    /// Over TCP.
    Tcp(SocketAddr),
    /// Over TLS, and whose certificate the client has shown, if it was asked for one.
    Tls(SocketAddr, Option<Arc<str>>),
    /// Over a Unix socket: what the kernel knows of the process, as it connected.
    Unix(Option<Credentials>),
}

impl Peer {
    /// Where its sign-ins come from.
    pub fn source(peer: Option<&Self>) -> Source {
        match peer {
            Some(Self::Tcp(address) | Self::Tls(address, _)) => Source::of(address.ip()),
            Some(Self::Unix(Some(process))) => Source::User(process.uid),
            Some(Self::Unix(None)) | None => Source::Unknown,
        }
    }
}

/// The peer in the extensions of a request, for who only shows it.
pub(crate) fn in_extensions(extensions: &Extensions) -> Option<&dyn fmt::Display> {
    extensions.get::<Peer>().map(|peer| peer as &dyn fmt::Display)
}

/// A process on this machine.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
    /// Its id; `None` where it lives in a namespace that we do not see.
    pub pid: Option<i32>,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Tls(address, None) => write!(f, "tls {address}"),
            Self::Tls(address, Some(subject)) => write!(f, "tls {address} {subject}"),
            Self::Unix(None) => f.write_str("unix"),
            Self::Unix(Some(Credentials { uid, gid, pid })) => {
                write!(f, "unix uid={uid} gid={gid}")?;
                pid.map_or(Ok(()), |pid| write!(f, " pid={pid}"))
            }
        }
    }
}
