//! Where a collector is.

use std::{str::FromStr, time::Duration};

use http::Uri;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

/// The address of a collector that speaks OTLP over gRPC.
#[derive(Clone, Debug)]
pub struct OtlpEndpoint(Box<Endpoint>);

/// The text is no such address.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOtlpEndpoint {
    /// No URL of the one or the other scheme.
    #[error("must be `http://host:port` or `https://host:port`, such as `http://127.0.0.1:4317`")]
    Url,
    /// There is more than a host.
    #[error(
        "must end with the port: OTLP over gRPC has no path, query or password (a header goes into OTEL_EXPORTER_OTLP_HEADERS)"
    )]
    More,
    /// The TLS library refuses.
    #[error("TLS cannot be set up for this host")]
    Tls,
}

impl FromStr for OtlpEndpoint {
    type Err = InvalidOtlpEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidOtlpEndpoint> {
        let uri: Uri = text.parse().map_err(|_| InvalidOtlpEndpoint::Url)?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(InvalidOtlpEndpoint::Url)?;
        let scheme = uri.scheme_str().filter(|scheme| ["http", "https"].contains(scheme));
        let secure = scheme.ok_or(InvalidOtlpEndpoint::Url)? == "https";
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if authority.contains('@') || uri.path() != "/" || uri.query().is_some() {
            return Err(InvalidOtlpEndpoint::More);
        }
        let tls =
            ClientTlsConfig::new().with_webpki_roots().domain_name(host.trim_matches(['[', ']']));
        let endpoint = Endpoint::from(uri);
        if secure {
            return endpoint
                .tls_config(tls)
                .map(|endpoint| Self(Box::new(endpoint)))
                .map_err(|_| InvalidOtlpEndpoint::Tls);
        }
        Ok(Self(Box::new(endpoint)))
    }
}

impl OtlpEndpoint {
    /// A channel that connects when it has to, and takes no longer than `timeout` for anything.
    pub(super) fn channel(&self, timeout: Duration) -> Channel {
        Endpoint::clone(&self.0).connect_timeout(timeout).timeout(timeout).connect_lazy()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_is_an_endpoint() {
        let wrong = |text: &str| text.parse::<OtlpEndpoint>().err();
        for text in ["http://127.0.0.1:4317", "https://otel.example", "http://[::1]:4317/"] {
            assert_eq!(wrong(text), None, "{text}");
        }
        for text in ["", "collector:4317", "grpc://x:1", "http://", "http://:80", "/x", "unix:/x"] {
            assert_eq!(wrong(text), Some(InvalidOtlpEndpoint::Url), "{text}");
        }
        for text in ["http://x:4318/v1/traces", "http://a:b@x:1", "http://x?y=z"] {
            assert_eq!(wrong(text), Some(InvalidOtlpEndpoint::More), "{text}");
        }
    }
}
