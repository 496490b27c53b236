//! CAs of tests, and what they issue.

use std::time::{SystemTime, UNIX_EPOCH};

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
        Self::with(CertificateParams::default(), name)
    }

    /// One that expires at a moment, in whole seconds.
    pub fn until(name: &str, expires: SystemTime) -> Self {
        let mut params = CertificateParams::default();
        params.not_after = date_time_ymd(1970, 1, 1) + expires.duration_since(UNIX_EPOCH).unwrap();
        Self::with(params, name)
    }

    fn with(mut params: CertificateParams, name: &str) -> Self {
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
        self.server_until(4000)
    }

    pub fn server_for(&self, name: &str) -> Issued {
        self.issue("server", &[name], 4000, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// For a server on this machine, until a year begins.
    pub fn server_until(&self, year: i32) -> Issued {
        self.issue("server", &["localhost", "127.0.0.1"], year, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// For a server on this machine, from a moment on, in whole seconds.
    pub fn server_from(&self, begins: SystemTime) -> Issued {
        let for_names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(for_names).unwrap();
        params.not_before = date_time_ymd(1970, 1, 1) + begins.duration_since(UNIX_EPOCH).unwrap();
        self.sign(params, "server", ExtendedKeyUsagePurpose::ServerAuth)
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
        params.not_after = date_time_ymd(until, 1, 1);
        self.sign(params, name, usage)
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        name: &str,
        usage: ExtendedKeyUsagePurpose,
    ) -> Issued {
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        Issued { cert: cert.pem(), key: key.serialize_pem() }
    }
}
