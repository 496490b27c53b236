//! A sidecar's address as typed: `http://host:port` or `unix:/path`.
//!
//! INVARIANT: what parses is something that tonic can connect to in the way
//! that it reads. Used by `client`.

use std::{fmt, str::FromStr};

use anyhow::bail;
use tonic::transport::Uri;

/// Where a sidecar listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl(String);

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
        if text.starts_with("https://") {
            bail!(
                "TLS is not supported yet; use `http://…` on a network you trust, or `unix:/path`"
            );
        }
        if !text.starts_with("http://") {
            bail!("write `http://host:port` or `unix:/path`");
        }
        let Ok(uri) = text.parse::<Uri>() else {
            bail!("this is not a URL; write `http://host:port`");
        };
        let beyond = uri.path_and_query().is_some_and(|beyond| beyond != "/");
        let host = uri.authority().map_or("", |authority| authority.as_str());
        if beyond || host.contains('@') {
            bail!("only host and port can be given: `http://host:port`");
        }
        Ok(ServerUrl(format!("http://{host}")))
    }
}
