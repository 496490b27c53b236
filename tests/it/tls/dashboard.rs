//! The dashboard over TLS: its cookie is for TLS alone, and what a certificate says is text.

use std::sync::Arc;

use octavia_authz::pb::v1::api_key_service_client::ApiKeyServiceClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::rustls::version::{TLS12, TLS13};

use super::{Authority, Files, Issued, channel, client_config, finish, handshake};
use crate::{
    dashboard_security::{
        browser::{Answer, HOST, encoded},
        html,
    },
    sidecar::{Bearer, Sidecar},
};

const COOKIE: &str = "__Host-octavia-session8480";

/// Asks on a connection of its own.
async fn ask(
    sidecar: &Sidecar,
    ca: &str,
    client: Option<&Issued>,
    (method, path, cookie, body): (&str, &str, &str, &str),
) -> Answer {
    let mut config = client_config(ca, client, &[&TLS12, &TLS13]);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let address = sidecar.dashboard.strip_prefix("https://").unwrap();
    let mut stream = handshake(address, &Arc::new(config)).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {HOST}\r\ncookie: {cookie}\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await.unwrap();
    let answer = Answer::read(&said);
    answer.is_guarded();
    answer
}

/// The session of the operator, who signs in.
async fn sign_in(sidecar: &Sidecar, ca: &str, client: Option<&Issued>) -> String {
    let form = encoded(&[("credential", sidecar.operator_token())]);
    let answer = ask(sidecar, ca, client, ("POST", "/sign-in", "", &form)).await;
    assert_eq!(answer.location(), "/keys", "{answer:?}");
    let (cookie, attributes) = answer.header("set-cookie").unwrap().split_once("; ").unwrap();
    let mut attributes: Vec<_> = attributes.split("; ").collect();
    attributes.sort_unstable();
    assert_eq!(attributes, ["HttpOnly", "Path=/", "SameSite=Strict", "Secure"]);
    let (name, session) = cookie.split_once('=').unwrap();
    assert_eq!(name, COOKIE);
    session.to_owned()
}

#[tokio::test]
async fn the_cookie_of_the_dashboard_is_for_tls_and_its_host_alone() {
    let ca = Authority::new("servers");
    let files = Files::new(&ca.server(), None);
    let sidecar = files.start();
    let session = sign_in(&sidecar, &ca.pem(), None).await;
    let good = format!("{COOKIE}={session}");
    let page = ask(&sidecar, &ca.pem(), None, ("GET", "/keys", &good, "")).await;
    assert_eq!(page.status, 200, "{page:?}");
    // Under a name that a neighbour, or a plain page, could have set it is none.
    for name in ["octavia-session8480", "octavia-session", "__Secure-octavia-session8480"] {
        let cookie = format!("{name}={session}");
        let answer = ask(&sidecar, &ca.pem(), None, ("GET", "/keys", &cookie, "")).await;
        assert!(answer.asks_to_sign_in(), "{name}: {answer:?}");
    }
    let token = html::field(&page.body, "form_token").unwrap();
    let form = encoded(&[("form_token", token)]);
    let out = ask(&sidecar, &ca.pem(), None, ("POST", "/sign-out", &good, &form)).await;
    let taken = out.header("set-cookie").unwrap();
    assert!(taken.starts_with(&format!("{COOKIE}=;")) && taken.contains("Max-Age=0"), "{taken}");
    finish(sidecar).await;
}

#[tokio::test]
async fn what_a_clients_certificate_calls_it_stands_on_a_page_as_text() {
    const NAME: &str = "\"><script>alert(1)</script>' onload='";
    let ca = Authority::new("all");
    let files = Files::new(&ca.server(), Some(&ca.pem()));
    let sidecar = files.start();
    let client = ca.client(NAME);
    let admin = channel(&sidecar.admin_listen, &ca.pem(), Some(&client)).await;
    let bearer = Bearer::new(&sidecar.operator_token());
    let mut keys = ApiKeyServiceClient::with_interceptor(admin, bearer);
    let new = octavia_authz::pb::v1::CreateApiKeyRequest {
        name: "x".into(),
        role: "writer".into(),
        ..Default::default()
    };
    keys.create_api_key(new).await.unwrap();
    let session = sign_in(&sidecar, &ca.pem(), Some(&client)).await;
    let cookie = format!("{COOKIE}={session}");
    let page = ask(&sidecar, &ca.pem(), Some(&client), ("GET", "/audit", &cookie, "")).await;
    assert!(html::words(&page.body).contains("alert(1)"), "{}", page.body);
    assert!(!page.body.contains("<script>alert"), "{}", page.body);
    finish(sidecar).await;
}
