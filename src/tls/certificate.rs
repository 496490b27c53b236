//! What people want to know about a certificate: whose it is, and until when.

use x509_cert::{
    certificate::{CertificateInner, Raw},
    der::{self, Decode as _},
    ext::pkix::{SubjectAltName, name::GeneralName},
};

use crate::{clock::Timestamp, printable::is_unprintable};

/// A longer name is cut: it stands in every entry of the audit log.
const MAX_NAME: usize = 256;

/// A certificate in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Its subject as RFC 4514 writes it; where that is empty, its first URI, DNS name
    /// or e-mail address.
    pub subject: String,
    /// Its serial number, in hex.
    pub serial: String,
    /// From when on it holds.
    pub begins: Timestamp,
    /// Until when it holds.
    pub expires: Timestamp,
}

impl Certificate {
    /// Reads it from its DER.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn read(der: &[u8]) -> Result<Self, der::Error> {
        // Without the rules on serial numbers: some CAs break them.
        let certificate = CertificateInner::<Raw>::from_der(der)?;
        let inner = certificate.tbs_certificate();
        let validity = inner.validity();
        let at = |time: x509_cert::time::Time| {
            let millis = time.to_unix_duration().as_millis();
            Timestamp(i64::try_from(millis).unwrap_or(i64::MAX))
        };
        let subject = match inner.subject().to_string() {
            empty if empty.is_empty() => alternative(&certificate).unwrap_or_default(),
            subject => subject,
        };
        Ok(Self {
            subject: visible(&subject),
            serial: hex(inner.serial_number().as_bytes()),
            begins: at(validity.not_before),
            expires: at(validity.not_after),
        })
    }
}

/// Whose certificate this is, for people and logs.
pub(crate) fn name_of(der: &[u8]) -> Option<String> {
    let name = Certificate::read(der).ok()?.subject;
    (!name.is_empty()).then_some(name)
}

/// What workload certificates, such as SPIFFE's, carry in place of a subject.
fn alternative(certificate: &CertificateInner<Raw>) -> Option<String> {
    let (_, names) = certificate.tbs_certificate().get_extension::<SubjectAltName>().ok()??;
    names.0.iter().find_map(|name| match name {
        GeneralName::UniformResourceIdentifier(text)
        | GeneralName::DnsName(text)
        | GeneralName::Rfc822Name(text) => Some(text.as_str().to_owned()),
        _ => None,
    })
}

/// As openssl and browsers show it.
fn hex(serial: &[u8]) -> String {
    serial.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

/// Whoever asked for a certificate chose its name.
fn visible(name: &str) -> String {
    let seen = |c| if is_unprintable(c) { '\u{fffd}' } else { c };
    name.chars().take(MAX_NAME).map(seen).collect()
}
