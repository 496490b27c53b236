//! A set: certificate, key and client CA, found to fit together, ready for handshakes.

use std::{path::PathBuf, sync::Arc};

use tokio_rustls::rustls::{
    self, InconsistentKeys, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, UnixTime},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};

use super::{Certificate, Files, files::Contents, pem};
use crate::clock::Timestamp;

/// What a listener with TLS shows and asks for.
pub struct Set {
    config: Arc<ServerConfig>,
    http_config: Arc<ServerConfig>,
    clients: Option<Clients>,
    certificate: Certificate,
    begins: Timestamp,
    expires: Timestamp,
}

/// Whether clients take a certificate for valid.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Validity {
    /// From later on.
    NotYet,
    /// Now.
    Holds,
    /// No more.
    Expired,
}

/// The CAs that vouch for clients.
struct Clients {
    verifier: Arc<dyn ClientCertVerifier>,
    ca: Vec<u8>,
    cas: Vec<Certificate>,
}

/// The files of a set cannot be used: configuration at a start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read the TLS {what} `{}`: {why}", path.display())]
    Read {
        /// Which of the three.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// A file does not hold what it should.
    #[error("the TLS {what} `{}` {why}", path.display())]
    Wrong {
        /// Which of the three.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
    /// Key and certificate are not a pair.
    #[error(
        "the TLS key `{}` is not that of the certificate `{}` ({subject}, serial {serial}): give \
         the key that the certificate was issued for",
        key.display(), cert.display()
    )]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's.
        cert: PathBuf,
        /// The certificate's subject.
        subject: String,
        /// The certificate's serial number.
        serial: String,
    },
    /// rustls takes none of it.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

impl Set {
    /// Makes one of what `files` hold.
    ///
    /// # Errors
    /// [`TlsError`]
    pub(super) fn new(files: &Files, contents: &Contents) -> Result<Self, TlsError> {
        let wrong =
            |what, path: &PathBuf, why: String| TlsError::Wrong { what, path: path.clone(), why };
        let bad_cert = |why| wrong("certificate", &files.cert, why);
        let chain = pem::certificates(&contents.cert).map_err(bad_cert)?;
        let read = |der: &CertificateDer<'_>| {
            Certificate::read(der).map_err(|_| bad_cert("holds what is no certificate".to_owned()))
        };
        let read = chain.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let (begins, expires) =
            (read.iter().map(|one| one.begins), read.iter().map(|one| one.expires));
        let (certificate, begins, expires) = match (read.first(), begins.max(), expires.min()) {
            (Some(first), Some(begins), Some(expires)) => (first.clone(), begins, expires),
            _ => return Err(bad_cert("is empty".to_owned())),
        };
        let key = pem::private_key(&contents.key).map_err(|why| wrong("key", &files.key, why))?;

        let provider = Arc::new(ring::default_provider());
        let clients = match (&files.client_ca, &contents.client_ca) {
            (Some(path), Some(ca)) => {
                Some(Clients::new(ca, &provider).map_err(|why| wrong("client CA", path, why))?)
            }
            _ => None,
        };
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| TlsError::Setup(error.to_string()))?;
        let builder = match &clients {
            Some(clients) => builder.with_client_cert_verifier(Arc::clone(&clients.verifier)),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch {
                key: files.key.clone(),
                cert: files.cert.clone(),
                subject: certificate.subject.clone(),
                serial: certificate.serial.clone(),
            },
            rustls::Error::InvalidCertificate(error) => {
                bad_cert(format!("cannot be used: {error}"))
            }
            error => wrong("key", &files.key, format!("cannot be used: {error}")),
        })?;
        config.alpn_protocols.push(b"h2".to_vec());
        let mut http_config = config.clone();
        http_config.alpn_protocols.push(b"http/1.1".to_vec());
        let (config, http_config) = (Arc::new(config), Arc::new(http_config));
        Ok(Self { config, http_config, clients, certificate, begins, expires })
    }

    /// What handshakes for HTTP/2 are made with. Its sessions are its own.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// The same, for clients that may want HTTP/1.1.
    pub(crate) fn http_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.http_config)
    }

    /// The certificate that is shown.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// From when on every certificate of the chain holds.
    pub(super) fn begins(&self) -> Timestamp {
        self.begins
    }

    /// When the first certificate of the chain expires.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// Whether the chain holds at `now`.
    pub(super) fn validity(&self, now: Timestamp) -> Validity {
        match () {
            () if self.expires <= now => Validity::Expired,
            () if self.begins > now => Validity::NotYet,
            () => Validity::Holds,
        }
    }

    /// Whether clients need a certificate.
    pub fn asks_clients(&self) -> bool {
        self.clients.is_some()
    }

    /// Whether both ask clients for the same.
    pub(crate) fn trusts_as(&self, other: &Self) -> bool {
        fn ca(set: &Set) -> Option<&[u8]> {
            set.clients.as_ref().map(|clients| clients.ca.as_slice())
        }
        ca(self) == ca(other)
    }

    /// Whether a client with this chain may come in now; it is its own first.
    pub(crate) fn admits(&self, chain: &[CertificateDer<'_>]) -> bool {
        match (&self.clients, chain) {
            (None, _) => true,
            (Some(_), []) => false,
            (Some(clients), [first, between @ ..]) => {
                clients.verifier.verify_client_cert(first, between, UnixTime::now()).is_ok()
            }
        }
    }

    /// Client CAs that have expired at `now`. rustls trusts them all the same.
    pub(super) fn expired_cas(&self, now: Timestamp) -> impl Iterator<Item = &Certificate> {
        let cas = self.clients.iter().flat_map(|clients| &clients.cas);
        cas.filter(move |ca| ca.expires <= now)
    }
}

impl Clients {
    fn new(text: &[u8], provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let (mut roots, mut cas) = (RootCertStore::empty(), Vec::new());
        for ca in pem::certificates(text)? {
            let no_ca = "holds what is no certificate of a CA";
            cas.push(Certificate::read(&ca).map_err(|_| no_ca.to_owned())?);
            roots.add(ca).map_err(|_| no_ca.to_owned())?;
        }
        let provider = Arc::clone(provider);
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| format!("cannot be used: {error}"))?;
        Ok(Self { verifier, ca: text.to_owned(), cas })
    }
}
