//! TLS to a sidecar: whom to trust, what to show, and what went wrong. Used by `client`.

use std::{error::Error, fs, io, path::Path};

use tokio_rustls::rustls::{
    AlertDescription as Alert, CertificateError, Error as Tls, crypto::ring, sign::CertifiedKey,
};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use zeroize::Zeroizing;

use super::{super::bad_usage, TlsArgs};
use crate::tls::pem;

/// `endpoint` with TLS.
///
/// # Errors
/// A file cannot be used.
pub(super) fn secured(endpoint: Endpoint, args: &TlsArgs) -> anyhow::Result<Endpoint> {
    let mut config = ClientTlsConfig::new();
    config = match &args.tls_ca {
        Some(path) => config.ca_certificate(Certificate::from_pem(ca(path)?)),
        None => config.with_webpki_roots(),
    };
    match (&args.tls_cert, &args.tls_key) {
        (Some(cert), Some(key)) => config = config.identity(identity(cert, key)?),
        (None, None) => {}
        (Some(_), None) => return Err(bad_usage!("--tls-cert needs --tls-key, its private key")),
        (None, Some(_)) => return Err(bad_usage!("--tls-key needs --tls-cert, its certificate")),
    }
    if let Some(name) = &args.tls_server_name {
        config = config.domain_name(name);
    }
    endpoint.tls_config(config).map_err(|error| {
        let why = error.source().map(ToString::to_string).unwrap_or_default();
        bad_usage!("TLS cannot be set up: {why}; see --server and --tls-server-name")
    })
}

fn read(flag: &str, path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path)
        .map_err(|error| bad_usage!("cannot read `{}` of {flag}: {}", path.display(), error.kind()))
}

fn ca(path: &Path) -> anyhow::Result<Vec<u8>> {
    let text = read("--tls-ca", path)?;
    pem::certificates(&text).map_err(|why| wrong("--tls-ca", path, &why))?;
    Ok(text)
}

fn identity(cert: &Path, key: &Path) -> anyhow::Result<Identity> {
    let chain = read("--tls-cert", cert)?;
    let secret = Zeroizing::new(read("--tls-key", key)?);
    let certificates = pem::certificates(&chain).map_err(|why| wrong("--tls-cert", cert, &why))?;
    let parsed = pem::private_key(&secret).map_err(|why| wrong("--tls-key", key, &why))?;
    CertifiedKey::from_der(certificates, parsed, &ring::default_provider()).map_err(|_| {
        let (cert, key) = (cert.display(), key.display());
        bad_usage!("the key `{key}` is not that of the certificate `{cert}`")
    })?;
    Ok(Identity::from_pem(chain, secret.as_slice()))
}

fn wrong(flag: &str, path: &Path, why: &str) -> anyhow::Error {
    bad_usage!("`{}` of {flag} {why}", path.display())
}

/// What went wrong with TLS, and what to do; `None`: something else did.
pub(super) fn explained(error: &(dyn Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(this) = cause {
        let io = this.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls = match io {
            Some(inner) => inner.downcast_ref::<Tls>(),
            None => this.downcast_ref::<Tls>(),
        };
        if let Some(tls) = tls {
            return Some(in_words(tls));
        }
        if this.to_string() == "HTTP/2 was not negotiated." {
            return Some("it speaks TLS but not HTTP/2; is this the port of a sidecar?".to_owned());
        }
        cause = this.source();
    }
    // HTTP/2 keeps only the words of what broke its connection.
    let mut cause = Some(error);
    while let Some(this) = cause {
        let text = this.to_string();
        let alerts = [
            Alert::CertificateRequired,
            Alert::UnknownCA,
            Alert::CertificateExpired,
            Alert::BadCertificate,
            Alert::CertificateUnknown,
            Alert::DecryptError,
        ];
        let alert =
            alerts.into_iter().find(|alert| text.contains(&Tls::AlertReceived(*alert).to_string()));
        if let Some(alert) = alert {
            return Some(in_words(&Tls::AlertReceived(alert)));
        }
        cause = this.source();
    }
    None
}

fn in_words(error: &Tls) -> String {
    match error {
        Tls::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate is not from a CA that is trusted; pass the CA's certificate with \
             --tls-ca"
                .to_owned()
        }
        Tls::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "its certificate has expired; it needs a new one (is this machine's clock right?)"
            .to_owned(),
        Tls::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => "its certificate does not hold yet; is this machine's clock right?".to_owned(),
        Tls::InvalidCertificate(
            why @ (CertificateError::NotValidForName
            | CertificateError::NotValidForNameContext { .. }),
        ) => format!(
            "its certificate is for another name ({why}); call it by that, or say which one it \
             is with --tls-server-name"
        ),
        Tls::InvalidMessage(_) => "it does not speak TLS; try `http://…`".to_owned(),
        Tls::AlertReceived(Alert::CertificateRequired) => {
            "it lets in only clients with a certificate; pass yours with --tls-cert and --tls-key"
                .to_owned()
        }
        Tls::AlertReceived(Alert::UnknownCA) => {
            "the certificate of --tls-cert is not from a CA that it trusts".to_owned()
        }
        Tls::AlertReceived(Alert::CertificateExpired) => {
            "the certificate of --tls-cert has expired".to_owned()
        }
        Tls::AlertReceived(
            Alert::BadCertificate | Alert::CertificateUnknown | Alert::DecryptError,
        ) => "it does not accept the certificate of --tls-cert".to_owned(),
        other => format!("TLS: {other}"),
    }
}
