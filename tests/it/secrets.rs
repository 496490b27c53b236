//! Canaries: secrets that are known to be there are looked for everywhere that they
//! must not be, after they were used rightly and put into every wrong place.

mod canary;
mod commands;
mod ops;
mod places;
mod quoted;
mod spans;
mod texts;
mod walk;

use std::{
    fs,
    path::{Path, PathBuf},
};

use octavia_authz::{
    digest::{Digester, Pepper},
    pb::v1::{
        api_key_service_client::ApiKeyServiceClient, audit_service_client::AuditServiceClient,
        authorization_service_client::AuthorizationServiceClient,
        maintenance_service_client::MaintenanceServiceClient,
        role_service_client::RoleServiceClient,
    },
};
use sha2::Digest as _;
use tonic::{
    Request, Status,
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

use crate::sidecar::{Sidecar, connect};

/// All that we say, and what others say but for sled: its own tracing of its
/// threads' ends can abort the process.
const LOG_LEVEL: &str = "trace,h2=trace,sled=info";

const PEPPER: &str = "canary-pepper-Xq7vT2mZ9sLw4KdR8nBy";

type Client = InterceptedService<Channel, Headers>;

/// Where a sidecar listens.
struct Target {
    listen: String,
    admin_listen: String,
}

/// Headers on every call.
#[derive(Clone, Default)]
struct Headers(Vec<(&'static str, String)>);

impl Headers {
    fn bearer(credential: &str) -> Self {
        Self(vec![("authorization", format!("Bearer {credential}"))])
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.0.push((name, value.to_owned()));
        self
    }
}

impl Interceptor for Headers {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        for (name, value) in &self.0 {
            request.metadata_mut().insert(*name, value.parse().unwrap());
        }
        Ok(request)
    }
}

impl Target {
    fn of(sidecar: &Sidecar) -> Self {
        Self { listen: sidecar.listen.clone(), admin_listen: sidecar.admin_listen.clone() }
    }

    async fn authorization(&self, headers: &Headers) -> AuthorizationServiceClient<Client> {
        let channel = connect(&self.listen).await;
        AuthorizationServiceClient::with_interceptor(channel, headers.clone())
    }

    async fn keys(&self, headers: &Headers) -> ApiKeyServiceClient<Client> {
        ApiKeyServiceClient::with_interceptor(connect(&self.admin_listen).await, headers.clone())
    }

    async fn roles(&self, headers: &Headers) -> RoleServiceClient<Client> {
        RoleServiceClient::with_interceptor(connect(&self.admin_listen).await, headers.clone())
    }

    async fn audit(&self, headers: &Headers) -> AuditServiceClient<Client> {
        AuditServiceClient::with_interceptor(connect(&self.admin_listen).await, headers.clone())
    }

    async fn maintenance(&self, headers: &Headers) -> MaintenanceServiceClient<Client> {
        let channel = connect(&self.admin_listen).await;
        MaintenanceServiceClient::with_interceptor(channel, headers.clone())
    }
}

/// Bytes that are looked for.
#[derive(Clone)]
struct Canary {
    what: String,
    bytes: Vec<u8>,
}

/// What must not be found: texts nowhere, digests in the store only.
#[derive(Clone, Default)]
struct Canaries {
    texts: Vec<Canary>,
    digests: Vec<Canary>,
}

impl Canaries {
    /// A text, as it is and as the list of numbers that `Debug` makes of bytes.
    fn text(&mut self, what: &str, text: &str) {
        self.texts.push(Canary { what: what.to_owned(), bytes: text.into() });
        let list = format!("{:?}", text.as_bytes());
        let bytes = list.trim_matches(['[', ']']).into();
        self.texts.push(Canary { what: format!("{what}, as a list of numbers"), bytes });
    }

    fn digest(&mut self, what: &str, digest: &[u8]) {
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        // Hex stands not even in the store.
        self.text(&format!("{what}, in hex"), &hex);
        self.text(&format!("{what}, in capital hex"), &hex.to_uppercase());
        self.digests.push(Canary { what: what.to_owned(), bytes: digest.into() });
    }

    /// A key of ours: its text, parts of its secret, its digests.
    fn key(&mut self, what: &str, text: &str) {
        assert_eq!(text.len(), 54);
        // Whatever cuts it off or puts something before it leaves these whole.
        self.text(&format!("the secret of {what}, its beginning"), &text[16..28]);
        self.text(&format!("the secret of {what}, its end"), &text[36..48]);
        let pepper = Pepper::new(PEPPER.as_bytes());
        let (_, digest) = Digester::new(Some(pepper), None).digest(text.as_bytes());
        self.digest(&format!("the digest of {what}"), digest.as_bytes());
        // Of no use to anybody, so it must not be anywhere.
        let plain = blake3::hash(text.as_bytes());
        self.texts
            .push(Canary { what: format!("{what} as BLAKE3"), bytes: plain.as_bytes().into() });
        self.text(&format!("{what} as BLAKE3, in hex"), plain.to_hex().as_str());
    }

    /// A key of somebody else's.
    fn foreign(&mut self, what: &str, text: &str) {
        self.text(what, text);
        let digest = sha2::Sha256::digest(text.as_bytes());
        self.digest(&format!("the SHA-256 of {what}"), &digest);
        let pepper = Pepper::new(PEPPER.as_bytes());
        let (_, digest) = Digester::new(Some(pepper), None).digest(text.as_bytes());
        self.digest(&format!("the digest of {what}"), digest.as_bytes());
    }

    /// Names the canaries that stand in `bytes`, which are no part of the store.
    fn found_in(&self, bytes: &[u8]) -> Vec<String> {
        found(self.texts.iter().chain(&self.digests), bytes)
    }

    /// The same of a file of the store.
    fn texts_in(&self, bytes: &[u8]) -> Vec<String> {
        found(self.texts.iter(), bytes)
    }

    /// The canaries of digests that stand in `bytes`.
    fn digests_in(&self, bytes: &[u8]) -> Vec<String> {
        found(self.digests.iter(), bytes)
    }
}

fn found<'a>(canaries: impl Iterator<Item = &'a Canary>, bytes: &[u8]) -> Vec<String> {
    let is_there = |canary: &&Canary| holds(bytes, &canary.bytes);
    canaries.filter(is_there).map(|canary| canary.what.clone()).collect()
}

/// Whether `needle` stands in `bytes`. Of texts the library's search, which is
/// optimised in a test, too.
fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    match (str::from_utf8(bytes), str::from_utf8(needle)) {
        (Ok(text), Ok(needle)) => text.contains(needle),
        // A text holds no bytes that are none.
        (Ok(_), Err(_)) => false,
        (Err(_), _) => bytes.windows(needle.len()).any(|window| window == needle),
    }
}

/// Every file below `dir`.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
