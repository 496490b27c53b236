//! What `serve` runs on, validated: flags and environment are turned into this
//! once, before any port is bound or file touched.

use std::{fmt, net::ToSocketAddrs as _, path::PathBuf, str::FromStr, time::Duration};

use crate::gateway::KeyHeaders;

/// A sidecar's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where journal, state and generated secrets lie.
    pub data_dir: PathBuf,
    /// Where the authorization API listens. Not empty.
    pub listen: Vec<Address>,
    /// Where the admin API listens; empty is nowhere.
    pub admin_listen: Vec<Address>,
    /// Where the AuthZEN API listens; empty is nowhere.
    pub authzen_listen: Vec<Address>,
    /// The operator token's file; `None` is `operator.token` in the data
    /// directory, made when it is missing.
    pub operator_token_file: Option<PathBuf>,
    /// The key of digests; `None` is none.
    pub pepper_file: Option<PathBuf>,
    /// The key of digests before; its digests are accepted too.
    pub previous_pepper_file: Option<PathBuf>,
    /// A policy file on top of the built-in policy.
    pub policy: Option<PathBuf>,
    /// The headers in which keys of HTTP requests are looked for.
    pub key_headers: KeyHeaders,
    /// Threads of the authorization path, at least 1.
    pub workers: usize,
    /// Resolved keys that the cache holds.
    pub cache_capacity: u64,
    /// How often last-used times and counts are written.
    pub usage_flush_interval: Duration,
    /// How long calls in flight may take after SIGTERM.
    pub drain_timeout: Duration,
    /// How long the audit log is kept; `None` is for ever.
    pub audit_retention: Option<Duration>,
}

/// Where to listen, or to connect: `host:port` or `unix:/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A TCP address; the host may be a name.
    Tcp(String),
    /// A Unix socket.
    Unix(PathBuf),
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
    /// The host has no address.
    #[error("the host of `{0}` is neither an IP address nor a name that resolves")]
    Host(String),
}

/// What the kernel has room for in a socket's address, without the final zero.
const MAX_SOCKET_PATH: usize = 107;

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let given = || text.to_owned();
        if let Some(path) = text.strip_prefix("unix:") {
            // `unix:///path` is what gRPC clients write for the same.
            let path = path.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(path);
            if !path.starts_with('/') || path.len() > MAX_SOCKET_PATH {
                return Err(InvalidAddress::Path(given()));
            }
            return Ok(Self::Unix(PathBuf::from(path)));
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

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
