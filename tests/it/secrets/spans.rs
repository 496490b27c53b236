//! Spans, as a collector got them, after secrets were put into every wrong place.

use std::fs;

use tempfile::TempDir;

use super::{
    PEPPER, Target,
    canary::{Leaks, World},
};
use crate::{authzen::client::Client, sidecar::Sidecar, telemetry::Collector};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
#[ignore = "needs Python with grpcio and opentelemetry-proto: see .ci/run"]
async fn secrets_are_in_no_span_whatever_a_client_named_with_them() {
    let temporary = TempDir::new().unwrap();
    let pepper = temporary.path().join("pepper");
    fs::write(&pepper, PEPPER).unwrap();
    let collector = Collector::start();
    let sidecar = Sidecar::start_on(
        &temporary.path().join("data"),
        &[
            "--pepper-file",
            pepper.to_str().unwrap(),
            "--otlp-endpoint",
            &collector.endpoint,
            "--otlp-ratio",
            "1",
            "--authzen-listen",
            "127.0.0.1:0",
        ],
    );
    let target = Target::of(&sidecar);
    let world = World::of(&target, sidecar.operator_token()).await;
    world.use_rightly(&target).await;
    world.use_wrongly(&target, str::to_owned).await;
    world.use_wrongly(&target, |secret| format!("a {secret} b")).await;
    let dashboard = sidecar.dashboard.strip_prefix("http://").unwrap();
    for secret in [&world.keys[1], &world.operator, &PEPPER.to_owned()] {
        for address in [dashboard, &sidecar.authzen_listen] {
            for path in ["/".to_owned(), format!("/{secret}"), format!("/keys/{secret}?q={secret}")]
            {
                let headers = [
                    ("traceparent", TRACEPARENT),
                    ("user-agent", secret),
                    ("x-request-id", secret),
                    ("cookie", secret),
                ];
                Client::at(address).ask("GET", &path, &headers, secret);
            }
        }
    }
    sidecar.finish().await;
    let spans = collector.all();
    for of in
        ["AuthorizationService/Authorize", "ApiKeyService/UpdateApiKey", "AuditService", "GET"]
    {
        let named = spans.iter().filter(|span| span["name"].as_str().unwrap().contains(of));
        assert!(named.count() > 2, "no spans of {of}: {spans:?}");
    }
    let mut leaks = Leaks::default();
    for span in &spans {
        let text = span.to_string();
        leaks.look(&format!("a span: {text}"), world.canaries.found_in(text.as_bytes()));
    }
    leaks.assert_none();
}
