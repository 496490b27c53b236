//! Metrics and probes, after secrets were put into every place that a client can name something in.

use std::fs;

use tempfile::TempDir;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::{
    Headers, LOG_LEVEL, PEPPER, Target,
    canary::{Leaks, World},
};
use crate::{
    authzen::client::Client,
    held::Connection,
    ops::get,
    raw,
    sidecar::{Sidecar, connect},
};

const OPENMETRICS: (&str, &str) = ("accept", "application/openmetrics-text");

/// Asks the HTTP listener at `address` with `secret` in every place. Gives what was answered.
async fn ask_over_http(address: &str, secret: &str) -> Vec<String> {
    let mut said = Vec::new();
    let headers = ["authorization", "x-api-key", "x-request-id", "accept", "user-agent", "cookie"];
    for path in ["/", "/readyz", "/metrics", "/access/v1/evaluation"] {
        let paths = [path.to_owned(), format!("{path}?key={secret}"), format!("{path}/{secret}")];
        for path in paths {
            for name in headers.into_iter().filter(|name| *name != "x-request-id") {
                let answer = Client::at(address).ask("GET", &path, &[(name, secret)], secret);
                said.push(format!("{answer:?}"));
            }
            // Said back to who said it, and nowhere else.
            Client::at(address).ask("GET", &path, &[("x-request-id", secret)], secret);
        }
    }
    // As a method, a name of a header, and what is no HTTP.
    for wrong in [
        format!("{secret} / HTTP/1.1\r\nconnection: close\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{secret}: a\r\nconnection: close\r\n\r\n"),
        format!("{secret}\r\n\r\n"),
    ] {
        let mut client = Client::at(address);
        client.send(wrong);
        said.push(String::from_utf8_lossy(&client.rest()).into_owned());
    }
    let mut connection = Connection::to(address).await;
    for path in [format!("/{secret}"), format!("/metrics?{secret}")] {
        let held = connection.begin_http(&path, &[("authorization", secret)]).await;
        let answer = held.finish_http(secret.to_owned()).await;
        said.push(format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body)));
    }
    said
}

/// The same over gRPC, where any name may be asked for.
async fn ask_over_grpc(address: &str, secret: &str) -> Vec<String> {
    let channel = connect(address).await;
    let headers = Headers::bearer(secret).with("x-request-id", secret);
    let mut health = HealthClient::with_interceptor(channel.clone(), headers);
    let of = || HealthCheckRequest { service: secret.into() };
    let mut said = vec![format!("{:?}", health.check(of()).await)];
    said.push(format!("{:?}", health.watch(of()).await.map(drop)));
    for path in [format!("/{secret}"), format!("/{secret}/{secret}"), format!("{}/x", raw::BATCH)] {
        said.push(format!("{:?}", raw::unary(&channel, &path, secret, secret.into()).await));
    }
    said
}

#[tokio::test]
async fn secrets_are_in_no_metric_no_probe_and_no_log_whatever_a_client_named_with_them() {
    let temporary = TempDir::new().unwrap();
    let pepper = temporary.path().join("pepper");
    fs::write(&pepper, PEPPER).unwrap();
    let pepper = pepper.to_str().unwrap();
    let args = ["--log-level", LOG_LEVEL, "--pepper-file", pepper, "--authzen-listen"];
    let args = [&args[..], &["127.0.0.1:0", "--max-failed-sign-ins", "100000"]].concat();
    let sidecar = Sidecar::start_on(&temporary.path().join("data"), &args);
    let target = Target::of(&sidecar);
    let world = World::of(&target, sidecar.operator_token()).await;
    let canaries = &world.canaries;
    let mut leaks = Leaks::default();
    world.use_rightly(&target).await;
    world.use_wrongly(&target, str::to_owned).await;
    world.use_wrongly(&target, |secret| format!("a {secret} b")).await;
    let secrets = [&world.keys[0], &world.keys[1], &world.foreign[0], &world.operator];
    for secret in secrets.into_iter().map(String::as_str).chain([PEPPER]) {
        let mut said = ask_over_http(&sidecar.ops_listen, secret).await;
        said.extend(ask_over_http(&sidecar.authzen_listen, secret).await);
        for address in [&sidecar.ops_listen, &sidecar.listen, &sidecar.admin_listen] {
            said.extend(ask_over_grpc(address, secret).await);
        }
        for answer in said {
            let found = canaries.found_in(answer.as_bytes());
            leaks.look(&format!("an answer: {answer}"), found);
        }
    }
    let classic = get(&sidecar.ops_listen, "/metrics");
    let openmetrics = Client::at(&sidecar.ops_listen).ask("GET", "/metrics", &[OPENMETRICS], "");
    for answer in [&classic, &openmetrics] {
        assert!(answer.text().contains("reason=\"SERVICE_MISMATCH\""), "{}", answer.text());
        leaks.look("the metrics", canaries.found_in(answer.text().as_bytes()));
    }
    assert_ne!(classic.text().ends_with("# EOF\n"), openmetrics.text().ends_with("# EOF\n"));
    let log = sidecar.finish().await;
    assert!(log.contains("\"TRACE\""), "nothing was logged that could hold a secret");
    leaks.look_at_log(canaries, &log);
    leaks.assert_none();
}
