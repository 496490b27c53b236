//! Metrics as a scraper gets them.

use std::process::Command;

use super::{get, value, wait_for, wait_for_readiness};
use crate::{
    authzen::client::Client,
    metrics::check,
    sidecar::{Sidecar, connect},
};

const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// As Prometheus 2.50 sends it.
const PROMETHEUS: &str = "application/openmetrics-text;version=1.0.0;q=0.5,\
                          application/openmetrics-text;version=0.0.1;q=0.4,\
                          text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

#[tokio::test]
async fn the_text_is_classic_unless_openmetrics_is_asked_for() {
    let sidecar = Sidecar::start();
    let mut client = Client::at(&sidecar.ops_listen);
    for (accept, kind) in [
        (None, CLASSIC),
        (Some("*/*"), CLASSIC),
        (Some("text/plain"), CLASSIC),
        (Some("application/json"), CLASSIC),
        (Some("\u{ff}"), CLASSIC),
        (Some(PROMETHEUS), OPENMETRICS),
        (Some("application/openmetrics-text"), OPENMETRICS),
    ] {
        let headers: Vec<_> = accept.map(|accept| ("accept", accept)).into_iter().collect();
        let answer = client.ask("GET", "/metrics", &headers, "");
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)), "{accept:?}");
        assert_eq!(answer.text().ends_with("\n# EOF\n"), kind == OPENMETRICS, "{accept:?}");
        assert!(answer.text().contains("\noctavia_authz_build_info{"));
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn connections_are_counted_for_each_listener() {
    let sidecar = Sidecar::start_with(&["--authzen-listen", "127.0.0.1:0"]);
    wait_for_readiness(&sidecar.ops_listen, 200);
    assert_eq!(value(&sidecar.ops_listen, "octavia_authz_ready"), Some(1.0));
    let connections = |name: &str| format!("octavia_authz_connections{{listener=\"{name}\"}}");
    let mut open = Vec::new();
    for (name, address, count) in [
        ("authorization", &sidecar.listen, 3),
        ("admin", &sidecar.admin_listen, 2),
        ("authzen", &sidecar.authzen_listen, 1),
        // And that of the scrape.
        ("ops", &sidecar.ops_listen, 4),
    ] {
        for _ in 0..count {
            open.push(Client::at(address));
        }
        let expected = if name == "ops" { count + 1 } else { count };
        wait_for(&sidecar, &connections(name), f64::from(expected));
    }
    drop(open);
    for (name, left) in [("authorization", 0.0), ("admin", 0.0), ("authzen", 0.0), ("ops", 1.0)] {
        wait_for(&sidecar, &connections(name), left);
    }
    sidecar.finish().await;
}

#[tokio::test]
#[ignore = "needs promtool, of Debian's package prometheus"]
async fn promtool_finds_nothing_to_complain_about_in_a_scrape() {
    let sidecar = Sidecar::start_with(&["--authzen-listen", "127.0.0.1:0"]);
    let (_, text) = sidecar.create("writer").await;
    assert!(sidecar.authorize(&text, "articles.create").await.allowed);
    assert!(!sidecar.authorize(&text, "api_keys.create").await.allowed);
    let _open = connect(&sidecar.admin_listen).await;
    wait_for(&sidecar, "octavia_authz_connections{listener=\"admin\"}", 1.0);
    let answer = get(&sidecar.ops_listen, "/metrics");
    check(Command::new("promtool").args(["check", "metrics"]), answer.text());
    sidecar.finish().await;
}
