//! Certificates and keys out of PEM files; errors finish the sentence "the file …".
//!
//! INVARIANT: no error shows what stands in a file: it may be a key.

use tokio_rustls::rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{Error, PemObject as _},
};

/// The certificates of a PEM file, at least one.
pub(crate) fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
    match certificates.map_err(|error| in_words(&error))? {
        none if none.is_empty() => {
            Err("holds no certificate: give PEM, `-----BEGIN CERTIFICATE-----` and so on"
                .to_owned())
        }
        some => Ok(some),
    }
}

/// The private key of a PEM file.
pub(crate) fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        Error::NoItemsFound if contains(text, b"ENCRYPTED PRIVATE KEY") => {
            "is encrypted: give one that needs no password, readable for the sidecar alone"
                .to_owned()
        }
        Error::NoItemsFound => {
            "holds no private key: give PEM, `-----BEGIN PRIVATE KEY-----` and so on".to_owned()
        }
        error => in_words(&error),
    })
}

/// Without what stands in the file, which the error's own words would show.
fn in_words(error: &Error) -> String {
    match error {
        Error::MissingSectionEnd { .. } => "is cut off: an `-----END …-----` is missing",
        Error::Base64Decode(_) => "is damaged: between `BEGIN` and `END` is no base64",
        _ => "is no PEM file",
    }
    .to_owned()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
