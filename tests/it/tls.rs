//! TLS of both APIs, with certificates made at run time: handshakes, files that are
//! replaced, clients that are let in no more, and the command line.

mod authority;
mod command_line;
mod dashboard;
mod distrust;
mod handshake;
mod ops;
mod python;
mod reload;
mod start;
mod stop;
mod validity;

use std::{path::PathBuf, sync::Arc};

use octavia_authz::pb::v1::{
    AuthorizeRequest, AuthorizeResponse, CreateApiKeyRequest,
    api_key_service_client::ApiKeyServiceClient,
    authorization_service_client::AuthorizationServiceClient,
};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, SupportedProtocolVersion,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    },
};
use tonic::{
    Status,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use self::authority::{Authority, Issued};
use crate::sidecar::{Bearer, PATIENCE, Sidecar, step};

/// The files of a sidecar with TLS.
struct Files {
    dir: TempDir,
    asks_clients: bool,
}

impl Files {
    fn new(server: &Issued, client_ca: Option<&str>) -> Self {
        let files = Self { dir: TempDir::new().unwrap(), asks_clients: client_ca.is_some() };
        files.write("tls.crt", &server.cert);
        files.write("tls.key", &server.key);
        if let Some(ca) = client_ca {
            files.write("ca.crt", ca);
        }
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// In place, as an editor or `cp` does.
    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn args(&self) -> Vec<String> {
        let flags = [("--tls-cert", "tls.crt"), ("--tls-key", "tls.key")].into_iter();
        let ca = self.asks_clients.then_some(("--tls-client-ca", "ca.crt"));
        flags.chain(ca).flat_map(|(flag, name)| [flag.to_owned(), self.text(name)]).collect()
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn start(&self) -> Sidecar {
        self.start_with(&[])
    }

    fn start_with(&self, more: &[&str]) -> Sidecar {
        let args = self.args();
        let args: Vec<&str> = args.iter().map(String::as_str).chain(more.iter().copied()).collect();
        Sidecar::start_with(&args)
    }
}

fn tls_config(ca: &str, client: Option<&Issued>) -> ClientTlsConfig {
    let config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
    match client {
        Some(Issued { cert, key }) => config.identity(Identity::from_pem(cert, key)),
        None => config,
    }
}

fn endpoint(address: &str, ca: &str, client: Option<&Issued>) -> Endpoint {
    let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap();
    endpoint.tls_config(tls_config(ca, client)).unwrap()
}

/// A channel, which a server that asks for a certificate may still refuse.
async fn channel(address: &str, ca: &str, client: Option<&Issued>) -> Channel {
    endpoint(address, ca, client).connect().await.unwrap()
}

/// Creates a writer's key, and gives its text.
async fn create(sidecar: &Sidecar, channel: Channel) -> String {
    let bearer = Bearer::new(&sidecar.operator_token());
    let mut keys = ApiKeyServiceClient::with_interceptor(channel, bearer);
    let new = CreateApiKeyRequest { name: "x".into(), role: "writer".into(), ..Default::default() };
    keys.create_api_key(new).await.unwrap().into_inner().key
}

fn question(key: &str) -> AuthorizeRequest {
    AuthorizeRequest { key: key.into(), action: "articles.create".into(), ..Default::default() }
}

async fn ask(channel: &Channel, key: &str) -> Result<AuthorizeResponse, Status> {
    let mut client = AuthorizationServiceClient::new(channel.clone());
    client.authorize(question(key)).await.map(tonic::Response::into_inner)
}

/// A client's side of TLS, of which more can be seen than of a channel.
fn client_config(
    ca: &str,
    client: Option<&Issued>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for ca in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(ca.unwrap()).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match client {
        None => builder.with_no_client_auth(),
        Some(Issued { cert, key }) => {
            let chain = CertificateDer::pem_slice_iter(cert.as_bytes()).map(Result::unwrap);
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain.collect(), key).unwrap()
        }
    };
    config.alpn_protocols.push(b"h2".to_vec());
    config
}

async fn handshake(
    address: &str,
    config: &Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::clone(config)).connect(name, stream).await
}

/// Stops a sidecar; it must have logged no defect and no error.
async fn finish(sidecar: Sidecar) -> String {
    sidecar.terminate();
    sidecar.finish_after_stop().await
}

/// Waits until the sidecar has logged `text` `times` over.
async fn logged(sidecar: &Sidecar, text: &str, times: usize) {
    let started = std::time::Instant::now();
    while sidecar.log().matches(text).count() < times {
        assert!(started.elapsed() < PATIENCE, "no `{text}` in {}", sidecar.log());
        step().await;
    }
}

const TAKEN: &str = "took a new TLS certificate";
