//! CAs of tests, and what they issue.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

/// A CA.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
pub struct Issued {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// For a server on this machine.
    pub fn server(&self) -> Issued {
        self.issue("server", &["localhost", "127.0.0.1"], 4000, ExtendedKeyUsagePurpose::ServerAuth)
    }

    pub fn server_for(&self, name: &str) -> Issued {
        self.issue("server", &[name], 4000, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// For a server on this machine, until a year begins.
    pub fn server_until(&self, year: i32) -> Issued {
        self.issue("server", &["localhost", "127.0.0.1"], year, ExtendedKeyUsagePurpose::ServerAuth)
    }

    pub fn client(&self, name: &str) -> Issued {
        self.issue(name, &[], 4000, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// For a client, until a year begins.
    pub fn client_until(&self, name: &str, year: i32) -> Issued {
        self.issue(name, &[], year, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(
        &self,
        name: &str,
        for_names: &[&str],
        until: i32,
        usage: ExtendedKeyUsagePurpose,
    ) -> Issued {
        let for_names: Vec<String> = for_names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(for_names).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_after = date_time_ymd(until, 1, 1);
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        Issued { cert: cert.pem(), key: key.serialize_pem() }
    }
}
