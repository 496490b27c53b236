//! Where to listen: `host:port`, or `unix:/path` with the mode and owner of its file.

use std::{
    fmt,
    net::{SocketAddr, ToSocketAddrs as _},
    path::PathBuf,
    str::FromStr,
};

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A TCP address; the host may be a name.
    Tcp(String),
    /// A Unix socket.
    Unix(UnixSocket),
}

/// A Unix socket's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixSocket {
    /// Where.
    pub path: PathBuf,
    /// Who may connect: whoever may write to it.
    pub mode: u32,
    /// Its owner; `None` is the process's user.
    pub uid: Option<u32>,
    /// Its group; `None` is the process's.
    pub gid: Option<u32>,
}

/// The text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// No port, or nothing before it.
    #[error("`{0}` is neither `host:port` nor `unix:/path`")]
    Shape(String),
    /// The port is no number up to 65535.
    #[error("`{0}` has no valid port: give a number from 0 (any free port) to 65535")]
    Port(String),
    /// The path is relative, or too long for a socket.
    #[error(
        "`{0}` must be an absolute path of at most 107 bytes, as in `unix:/run/octavia/authz.sock`"
    )]
    Path(String),
    /// What stands behind the path is no mode and no owner.
    #[error(
        "`{0}` in the address of a socket is neither a mode from 0 to 0777 nor an owner in \
         numbers, as in `unix:/run/octavia/authz.sock?mode=0660&owner=1000:1000`"
    )]
    Setting(String),
    /// The host has no address.
    #[error("the host of `{0}` is neither an IP address nor a name that resolves")]
    Host(String),
}

/// What the kernel has room for in a socket's address, without the final zero.
const MAX_SOCKET_PATH: usize = 107;
/// For the process's own user.
const DEFAULT_MODE: u32 = 0o600;

impl Address {
    /// Whether everybody who can listen to it is on this machine. A name has to mean
    /// loopback in all that it resolves to.
    pub fn is_local(&self) -> bool {
        let loopback = |address: SocketAddr| address.ip().to_canonical().is_loopback();
        match self {
            Self::Unix(_) => true,
            Self::Tcp(host_port) => {
                host_port.to_socket_addrs().is_ok_and(|mut addresses| addresses.all(loopback))
            }
        }
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let given = || text.to_owned();
        if let Some(socket) = text.strip_prefix("unix:") {
            let (path, settings) = socket.split_once('?').unwrap_or((socket, ""));
            // `unix:///path` is what gRPC clients write for the same.
            let path = path.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(path);
            if !path.starts_with('/') || path.len() > MAX_SOCKET_PATH {
                return Err(InvalidAddress::Path(given()));
            }
            return UnixSocket::new(path.into(), settings).map(Self::Unix);
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| InvalidAddress::Shape(given()))?;
        if host.is_empty() || host.contains('/') || (host.contains(':') && !host.starts_with('[')) {
            return Err(InvalidAddress::Shape(given()));
        }
        port.parse::<u16>().map_err(|_| InvalidAddress::Port(given()))?;
        match text.to_socket_addrs().map(|mut addresses| addresses.next()) {
            Ok(Some(_)) => Ok(Self::Tcp(given())),
            _ => Err(InvalidAddress::Host(given())),
        }
    }
}

impl UnixSocket {
    fn new(path: PathBuf, settings: &str) -> Result<Self, InvalidAddress> {
        let mut socket = Self { path, mode: DEFAULT_MODE, uid: None, gid: None };
        for setting in settings.split('&').filter(|setting| !setting.is_empty()) {
            let wrong = || InvalidAddress::Setting(setting.to_owned());
            match setting.split_once('=').ok_or_else(wrong)? {
                ("mode", mode) => {
                    let octal = mode.bytes().all(|digit| digit.is_ascii_digit());
                    let mode = u32::from_str_radix(mode, 8).ok().filter(|_| octal);
                    socket.mode = mode.filter(|mode| *mode <= 0o777).ok_or_else(wrong)?;
                }
                ("owner", owner) => {
                    let (uid, gid) = owner.split_once(':').unwrap_or((owner, ""));
                    let number = |text: &str| match text {
                        "" => Ok(None),
                        // The last is the kernel's "leave it".
                        text => match text.parse() {
                            Ok(u32::MAX) | Err(_) => Err(wrong()),
                            Ok(number) => Ok(Some(number)),
                        },
                    };
                    (socket.uid, socket.gid) = (number(uid)?, number(gid)?);
                    if (socket.uid, socket.gid) == (None, None) {
                        return Err(wrong());
                    }
                }
                _ => return Err(wrong()),
            }
        }
        Ok(socket)
    }
}

/// As clients are given it: without mode and owner.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(socket) => write!(f, "unix:{}", socket.path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(settings: &str) -> Result<(u32, Option<u32>, Option<u32>), InvalidAddress> {
        match format!("unix:/run/a.sock{settings}").parse()? {
            Address::Unix(UnixSocket { path, mode, uid, gid }) => {
                assert_eq!(path, PathBuf::from("/run/a.sock"));
                Ok((mode, uid, gid))
            }
            Address::Tcp(address) => panic!("{address}"),
        }
    }

    #[test]
    fn a_socket_has_a_mode_and_an_owner() {
        for (settings, expected) in [
            ("", (0o600, None, None)),
            ("?", (0o600, None, None)),
            ("?mode=0660", (0o660, None, None)),
            ("?mode=666&owner=0:0", (0o666, Some(0), Some(0))),
            ("?owner=1000:2000", (0o600, Some(1000), Some(2000))),
            ("?owner=1000", (0o600, Some(1000), None)),
            ("?owner=:2000&mode=0777", (0o777, None, Some(2000))),
        ] {
            assert_eq!(socket(settings), Ok(expected), "{settings}");
        }
    }

    #[test]
    fn a_setting_that_is_none_is_named() {
        for setting in [
            "mode",
            "mode=",
            "mode=0o660",
            "mode=+660",
            "mode=0888",
            "mode=1777",
            "mode=rw",
            "owner=",
            "owner=:",
            "owner=root",
            "owner=1:2:3",
            "owner=-1",
            "owner=4294967295",
            "Mode=0600",
            "x=1",
        ] {
            assert_eq!(
                socket(&format!("?{setting}")),
                Err(InvalidAddress::Setting(setting.into()))
            );
        }
    }

    #[test]
    fn only_loopback_and_sockets_are_local() {
        for (address, local) in [
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("localhost:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("unix:/run/a.sock", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("10.0.0.1:1", false),
            ("[::ffff:10.0.0.1]:1", false),
        ] {
            assert_eq!(address.parse::<Address>().unwrap().is_local(), local, "{address}");
        }
    }
}
