//! A certificate for the host that the users' client asks, from an authority that was
//! made for the test.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// The only host that the client knows.
const HOST: &str = "api.octaviatech.app";

/// Files of a certificate.
pub struct Certificate {
    folder: TempDir,
}

impl Certificate {
    /// A new authority, and a certificate of its own for [`HOST`].
    pub fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let ca = ["-subj", "/CN=a test's authority", "-keyout", "ca.key", "-out", "ca.pem"];
        make(folder.path(), &ca);
        let name = format!("subjectAltName=DNS:{HOST}");
        let of_ca = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=CA:FALSE"];
        let leaf = ["-subj", "/CN=cms", "-addext", &name, "-keyout", "key.pem", "-out", "cert.pem"];
        make(folder.path(), &[of_ca.as_slice(), &leaf].concat());
        Self { folder }
    }

    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub fn chain(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }
}

/// A key and a certificate that is good for a day.
fn make(folder: &Path, args: &[&str]) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
        .args(["-nodes", "-days", "1"])
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
