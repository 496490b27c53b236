//! A sidecar's address as typed: `http://host:port`, `https://host:port` or `unix:/path`.
//!
//! INVARIANT: what parses is something that tonic can connect to in the way
//! that it reads. Used by `client`.

use std::{fmt, str::FromStr};

use anyhow::bail;
use tonic::transport::Uri;

/// Where a sidecar listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl(String);

impl ServerUrl {
    /// Whether TLS is spoken there.
    pub(crate) fn is_tls(&self) -> bool {
        self.0.starts_with("https:")
    }

    /// Whether it is plain text over a network.
    pub(crate) fn is_plain(&self) -> bool {
        self.0.starts_with("http:")
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServerUrl {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<ServerUrl> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                bail!("the socket's path is missing: write `unix:/path`");
            }
            return Ok(ServerUrl(format!("unix:{path}")));
        }
        let scheme = match text.split_once("://") {
            Some((scheme @ ("http" | "https"), _)) => scheme,
            _ => bail!("write `http://host:port`, `https://host:port` or `unix:/path`"),
        };
        let Ok(uri) = text.parse::<Uri>() else {
            bail!("this is not a URL; write `{scheme}://host:port`");
        };
        let beyond = uri.path_and_query().is_some_and(|beyond| beyond != "/");
        let host = uri.authority().map_or("", |authority| authority.as_str());
        if beyond || host.contains('@') {
            bail!("only host and port can be given: `{scheme}://host:port`");
        }
        Ok(ServerUrl(format!("{scheme}://{host}")))
    }
}
