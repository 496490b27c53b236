//! One event for each denial, in one shape whatever API was asked, and for allows as many as were
//! asked for.

use std::collections::BTreeSet;

use octavia_authz::pb::v1::{
    AuthorizeRequest, BatchAuthorizeRequest, IntrospectRequest, Resource, RevokeApiKeyRequest,
};
use serde_json::Value;
use tokio_stream::StreamExt as _;
use tonic::Request;

use super::{DECISION, events};
use crate::{
    authzen,
    ext_authz::{self, Asked},
    sidecar::Sidecar,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn traced<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    request.metadata_mut().insert("traceparent", parent.parse().unwrap());
    request.metadata_mut().insert("x-request-id", "the-request".parse().unwrap());
    request
}

fn request(key: &str, action: &str, name: &str) -> AuthorizeRequest {
    AuthorizeRequest {
        key: key.to_owned(),
        action: action.to_owned(),
        resource: Some(Resource { id: "article-7".to_owned(), ..Default::default() }),
        correlation_id: name.to_owned(),
        ..Default::default()
    }
}

fn start(more: &[&str]) -> Sidecar {
    Sidecar::start_with(&[&["--authzen-listen", "127.0.0.1:0"], more].concat())
}

#[tokio::test]
async fn every_api_logs_a_denial_once_and_in_the_same_shape() {
    let sidecar = start(&[]);
    let (key, text) = sidecar.create("read_only").await;
    let mut client = sidecar.authorization().await;
    let denied = |name| request(&text, "articles.create", name);
    let allowed = || request(&text, "tags.read", "allowed");
    client.authorize(traced(denied("one"))).await.unwrap();
    client.authorize(traced(allowed())).await.unwrap();
    let requests = vec![allowed(), denied("two"), denied("three")];
    client.batch_authorize(traced(BatchAuthorizeRequest { requests })).await.unwrap();
    let stream = tokio_stream::iter([denied("four"), allowed()]);
    let mut answers = client.stream_authorize(traced(stream)).await.unwrap().into_inner();
    while answers.next().await.is_some() {}
    let asked = Asked::new("POST", "/cms/tags/create?secret=x", &text).json("{}");
    let asked = asked.header("x-request-id", "five");
    let asked = asked.header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"));
    assert_eq!(asked.ask(&ext_authz::client(&sidecar).await).await.status, 403);
    let mut http = authzen::client::Client::of(&sidecar);
    let question = authzen::question(&text, "articles.create");
    assert_eq!(http.evaluate(authzen::EVALUATION, &question)["decision"], false);
    let revoke = RevokeApiKeyRequest { id: key.id.clone(), ..Default::default() };
    sidecar.keys().await.revoke_api_key(revoke).await.unwrap();
    let introspect = IntrospectRequest { key: text.clone(), ..Default::default() };
    client.introspect(traced(introspect)).await.unwrap();

    let log = sidecar.finish().await;
    let lines = events(&log, DECISION);
    let said = |name: &str| -> Vec<&str> {
        lines.iter().map(|line| line[name].as_str().unwrap()).collect()
    };
    assert_eq!(
        said("api"),
        [
            "authorize",
            "batch_authorize",
            "batch_authorize",
            "stream_authorize",
            "check",
            "authzen",
            "introspect"
        ]
    );
    assert_eq!(said("correlation_id"), ["one", "two", "three", "four", "", "", ""]);
    let names = |line: &Value| -> BTreeSet<String> {
        let names = line.as_object().unwrap().keys().cloned();
        names.filter(|name| !["method", "path", "status"].contains(&&**name)).collect()
    };
    for line in &lines {
        assert_eq!(names(line), names(&lines[0]), "{line}");
        assert_eq!((&line["level"], &line["message"]), (&"INFO".into(), &"denied".into()));
        assert_eq!(line["policy"].as_str().unwrap().len(), 16);
    }
    for line in &lines[..6] {
        let who = ["key_id", "team", "role", "service", "reason"].map(|name| line[name].clone());
        assert_eq!(who, [&*key.id, "default", "read_only", "ai-cms", "ACTION_DENIED"], "{line}");
        assert_eq!(line["revision"], 1);
    }
    assert_eq!(said("resource_id")[..4], ["article-7"; 4]);
    assert_eq!(lines[4]["action"], "tags.create");
    assert_eq!((&lines[6]["reason"], &lines[6]["key_id"]), (&"KEY_UNKNOWN".into(), &"".into()));
    let traces = [TRACE, TRACE, TRACE, TRACE, TRACE, "", TRACE];
    assert_eq!(said("trace_id"), traces);
    let ids = said("request_id");
    assert_eq!((ids[0], ids[4], ids[6]), ("the-request", "five", "the-request"));
    assert!(lines[0]["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    let http = ["method", "path", "status"].map(|name| lines[4][name].clone());
    assert_eq!(http, ["POST".into(), "/cms/tags/create".into(), Value::from(403)]);
    assert!(!log.contains(&text) && !log.contains("secret=x"), "{log}");
}

#[tokio::test]
async fn allows_are_logged_by_the_ratio_and_a_filter_switches_all_off() {
    for (args, expected) in [
        (&["--log-allows", "1"][..], 11),
        (&["--log-allows", "0"], 1),
        (&["--log-allows", "1", "--log-level", "info,octavia_authz::decision=off"], 0),
    ] {
        let sidecar = start(args);
        let (_, text) = sidecar.create("read_only").await;
        for _ in 0..10 {
            assert!(sidecar.authorize(&text, "tags.read").await.allowed);
        }
        sidecar.authorize(&text, "comments.create").await;
        let log = sidecar.finish().await;
        let lines = events(&log, DECISION);
        assert_eq!(lines.len(), expected, "{args:?} {log}");
        for line in lines.iter().filter(|line| line["message"] == "allowed") {
            assert_eq!((&line["sampled"], &line["reason"]), (&1.0.into(), &"ALLOWED".into()));
        }
        assert!(!log.contains(&text));
    }
}

#[tokio::test]
async fn a_key_that_stands_where_another_text_belongs_is_not_logged() {
    let sidecar = start(&["--log-allows", "1"]);
    let (_, text) = sidecar.create("read_only").await;
    let mut asked = request(&text, &text, &text);
    asked.service = text.clone();
    asked.resource = Some(Resource { id: text.clone(), ..Default::default() });
    let mut call = Request::new(asked);
    call.metadata_mut().insert("x-request-id", text.parse().unwrap());
    call.metadata_mut().insert("traceparent", text.parse().unwrap());
    sidecar.authorization().await.authorize(call).await.unwrap();
    let asked = Asked::new("POST", &format!("/{text}"), &text).header("x-request-id", text.clone());
    asked.ask(&ext_authz::client(&sidecar).await).await;
    let log = sidecar.finish().await;
    assert_eq!(events(&log, DECISION).len(), 2);
    assert!(!log.contains(&text), "{log}");
}
