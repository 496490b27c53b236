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

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType, date_time_ymd};

    use super::*;

    fn certificate(names: &[(DnType, &str)], alternatives: Vec<SanType>) -> Certificate {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, name) in names {
            params.distinguished_name.push(kind.clone(), *name);
        }
        params.subject_alt_names = alternatives;
        params.serial_number = Some(vec![0x0a, 0xff].into());
        (params.not_before, params.not_after) =
            (date_time_ymd(2020, 1, 1), date_time_ymd(2060, 1, 1));
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Certificate::read(made.der()).unwrap()
    }

    #[test]
    fn it_has_a_subject_a_serial_number_and_times() {
        let names = [(DnType::OrganizationName, "Octavia"), (DnType::CommonName, "web, 1")];
        let read = certificate(&names, Vec::new());
        assert_eq!((&*read.subject, &*read.serial), (r"CN=web\, 1,O=Octavia", "0A:FF"));
        let times = (read.begins.to_string(), read.expires.to_string());
        assert_eq!(times, ("2020-01-01T00:00:00Z".into(), "2060-01-01T00:00:00Z".into()));
    }

    #[test]
    fn without_a_subject_it_is_named_by_its_first_alternative() {
        let spiffe = SanType::URI("spiffe://cluster/ns/web".try_into().unwrap());
        let ip = SanType::IpAddress([127, 0, 0, 1].into());
        assert_eq!(certificate(&[], vec![ip, spiffe]).subject, "spiffe://cluster/ns/web");
        assert_eq!(certificate(&[], Vec::new()).subject, "");
    }

    #[test]
    fn a_name_neither_hides_anything_nor_fills_the_log() {
        let name = format!("a\u{202e}\n{}", "x".repeat(1000));
        let subject = certificate(&[(DnType::CommonName, &name)], Vec::new()).subject;
        assert!(!subject.chars().any(is_unprintable), "{subject}");
        assert_eq!(subject.chars().count(), MAX_NAME);
    }

    #[test]
    fn what_is_no_certificate_has_no_name() {
        assert_eq!(name_of(b""), None);
        assert_eq!(name_of(&[0x30, 0x03, 0x02, 0x01, 0x00]), None);
    }
}
