//! Collectors that are not there, or accept and never answer.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use octavia_authz::pb::v1::{AuthorizeRequest, BatchAuthorizeRequest};

use super::wait_for;
use crate::{
    ops,
    sidecar::{Sidecar, wait_until},
};

const TROUBLE: &str = "the collector does not take spans";
/// Flushing takes two seconds at most.
const PROMPT: Duration = Duration::from_secs(8);

async fn lives_with(endpoint: &str) {
    let sidecar = Sidecar::start_with(&["--otlp-endpoint", endpoint, "--otlp-ratio", "1"]);
    let (_, text) = sidecar.create("read_only").await;
    let mut client = sidecar.authorization().await;
    // More than wait at once, so that some are dropped at the door.
    for _ in 0..4000 {
        let (key, action) = (text.clone(), "tags.read".to_owned());
        let request = AuthorizeRequest { key, action, ..Default::default() };
        assert!(client.authorize(request).await.unwrap().into_inner().allowed);
    }
    wait_for(&sidecar, TROUBLE);
    let requests = vec![AuthorizeRequest::default(); 10];
    client.batch_authorize(BatchAuthorizeRequest { requests }).await.unwrap();
    let log = sidecar.log();
    let line = log.lines().find(|line| line.contains(TROUBLE)).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert!(line["dropped"].as_u64().unwrap() > 0, "{line}");
    // What was given up, and what found no room behind it.
    wait_until("spans to be dropped", || {
        ops::value(&sidecar.ops_listen, "octavia_authz_traces_dropped_total") >= Some(1000.0)
    });
    drop(client);
    let asked = Instant::now();
    sidecar.terminate();
    let log = sidecar.finish_after_stop().await;
    assert!(asked.elapsed() < PROMPT, "{:?}", asked.elapsed());
    assert_eq!(log.matches(TROUBLE).count(), 1, "one line a minute: {log}");
    assert!(!log.contains(&text));
}

#[tokio::test]
async fn a_collector_that_is_not_there_costs_spans_and_nothing_else() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    lives_with(&format!("http://{nobody}")).await;
}

#[tokio::test]
async fn a_collector_that_never_answers_costs_spans_and_nothing_else() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    lives_with(&format!("http://{}", silent.local_addr().unwrap())).await;
}
