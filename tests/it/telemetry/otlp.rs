//! Spans, as a collector gets them.

use octavia_authz::pb::v1::{AuthorizeRequest, BatchAuthorizeRequest, CreateApiKeyRequest};
use serde_json::json;
use tonic::Request;

use super::Collector;
use crate::{
    authzen,
    ext_authz::{self, Asked},
    sidecar::Sidecar,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const UNSAMPLED: &str = "5bf92f3577b34da6a3ce929d0e0e4736";

fn within<T>(trace: &str, flags: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let parent = format!("00-{trace}-{PARENT}-{flags}");
    request.metadata_mut().insert("traceparent", parent.parse().unwrap());
    request.metadata_mut().insert("tracestate", "vendor=one,other=two".parse().unwrap());
    request
}

fn ask(key: &str, action: &str) -> AuthorizeRequest {
    AuthorizeRequest { key: key.to_owned(), action: action.to_owned(), ..Default::default() }
}

#[tokio::test]
#[ignore = "needs Python with grpcio and opentelemetry-proto: see .ci/run"]
async fn a_collector_gets_the_spans_of_sampled_calls_with_what_was_decided() {
    let collector = Collector::start();
    let sidecar = Sidecar::start_with(&[
        "--authzen-listen",
        "127.0.0.1:0",
        "--otlp-endpoint",
        &collector.endpoint,
        "--otlp-ratio",
        "0",
    ]);
    let (key, text) = sidecar.create("read_only").await;
    let mut client = sidecar.authorization().await;
    client.authorize(ask(&text, "tags.read")).await.unwrap();
    client.authorize(within(UNSAMPLED, "00", ask(&text, "tags.read"))).await.unwrap();
    client.authorize(within(TRACE, "01", ask(&text, "comments.create"))).await.unwrap();
    let requests = vec![ask(&text, "tags.read"), ask(&text, "x.y"), ask("no key", "x.y")];
    let batch = BatchAuthorizeRequest { requests };
    client.batch_authorize(within(TRACE, "01", batch)).await.unwrap();
    // The text of a key in every wrong place.
    let mut wrong = ask(&text, &text);
    (wrong.service, wrong.correlation_id) = (text.clone(), text.clone());
    client.authorize(within(TRACE, "01", wrong)).await.unwrap();
    // Methods that only a client knows.
    for method in [&*text, "Invented"] {
        let path = format!("/octavia.authz.v1.AuthorizationService/{method}");
        let raw = within(TRACE, "01", Vec::new());
        crate::raw::call(&sidecar.channel().await, &path, raw).await.unwrap_err();
    }
    let mut http = authzen::client::Client::of(&sidecar);
    let question = authzen::question(&text, "tags.read").to_string();
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         traceparent: 00-{TRACE}-{PARENT}-01\r\n\r\n",
        authzen::EVALUATION,
        question.len()
    );
    http.send(head + &question);
    assert_eq!(http.receive().json()["decision"], true);
    // The same on the dashboard, where whoever is not signed in is led away.
    let mut page = authzen::client::Client::at(sidecar.dashboard.strip_prefix("http://").unwrap());
    for path in [format!("/keys/{text}"), "/roles".to_owned(), format!("/{text}")] {
        page.send(format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\ntraceparent: 00-{TRACE}-{PARENT}-01\r\n\r\n"
        ));
        assert_eq!(page.receive().status, 303);
    }
    let create = CreateApiKeyRequest { name: "x".to_owned(), ..Default::default() };
    sidecar.keys().await.create_api_key(within(TRACE, "01", create)).await.unwrap_err();
    drop((client, http, page));
    let log = sidecar.finish().await;

    let one = |name: &str| match &collector.spans(name)[..] {
        [span] => span.clone(),
        other => panic!("{name}: {other:?} of {:?}", collector.all()),
    };
    let service = "octavia.authz.v1.AuthorizationService";
    let [denied, wrong] = &collector.spans(&format!("{service}/Authorize"))[..] else {
        panic!("{:?}", collector.all());
    };
    assert_eq!(denied["kind"], 2, "a server's");
    for span in [denied, wrong] {
        let context = ["trace", "parent", "state"].map(|name| span[name].clone());
        assert_eq!(context, [TRACE, PARENT, "vendor=one,other=two"], "{span}");
        assert!(span["took"].as_u64().unwrap() > 0);
    }
    let mut attributes = denied["attributes"].clone();
    let peer = attributes.as_object_mut().unwrap();
    assert_eq!(peer.remove("network.peer.address").unwrap(), "127.0.0.1");
    assert!(peer.remove("network.peer.port").is_some());
    let expected = json!({
        "rpc.system": "grpc", "rpc.service": service, "rpc.method": "Authorize",
        "rpc.grpc.status_code": 0, "octavia.allowed": false, "octavia.reason": "ACTION_DENIED",
        "octavia.service": "ai-cms", "octavia.action": "comments.create",
        "octavia.role": "read_only", "octavia.key_id": key.id,
    });
    assert_eq!(attributes, expected);
    let resource = &denied["resource"];
    assert_eq!(resource["service.name"], "octavia-authz");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(resource["service.instance.id"].as_str().unwrap().len(), 36);
    let batch = one(&format!("{service}/BatchAuthorize"));
    assert_eq!(batch["attributes"]["octavia.decisions"], 3);
    assert_eq!(batch["attributes"]["octavia.denials"], 2);
    assert_eq!(batch["attributes"]["octavia.reason"], "ACTION_UNKNOWN");
    assert_eq!(batch["attributes"]["octavia.service"], "ai-cms");
    assert_eq!(batch["attributes"]["octavia.action"], "other", "what only the client knows");
    for name in ["octavia.service", "octavia.action"] {
        assert_eq!(wrong["attributes"][name], "other");
    }
    let http = one("POST /access/v1/evaluation");
    assert_eq!(http["attributes"]["http.response.status_code"], 200);
    assert_eq!(http["attributes"]["octavia.allowed"], true);
    let page = one("GET /keys/{id}");
    assert_eq!(page["attributes"]["http.response.status_code"], 303);
    assert_eq!(page["attributes"]["http.route"], "/keys/{id}");
    assert_eq!(page["attributes"].get("url.path"), None, "what a client wrote");
    assert_eq!(one("GET /roles")["attributes"]["url.path"], "/roles");
    assert_eq!(one("GET")["attributes"].get("http.route"), None);
    let unknown = collector.spans("unknown");
    assert_eq!(unknown.len(), 2, "{unknown:?}");
    for span in unknown {
        assert_eq!(span["attributes"]["rpc.grpc.status_code"], 12);
        assert_eq!(span["attributes"].get("rpc.method"), None);
        assert_eq!(span["status"], 2);
    }
    let admin = one("octavia.authz.v1.ApiKeyService/CreateApiKey");
    assert_eq!(admin["attributes"]["rpc.grpc.status_code"], 3);
    assert_eq!(collector.all().len(), 10, "and no others");
    let all = format!("{:?}", collector.all());
    assert!(!all.contains(&text) && !all.contains(UNSAMPLED), "{all}");
    assert!(!all.contains("Invented") && !all.contains("x.y"), "{all}");
    assert!(!log.contains(&text));
}

#[tokio::test]
#[ignore = "needs Python with grpcio and opentelemetry-proto: see .ci/run"]
async fn a_share_of_the_calls_without_a_context_is_traced_and_says_so_in_the_log() {
    let collector = Collector::start();
    let sidecar =
        Sidecar::start_with(&["--otlp-endpoint", &collector.endpoint, "--otlp-ratio", "1"]);
    let (_, text) = sidecar.create("read_only").await;
    let asked = Asked::new("POST", "/cms/tags/create", &text).json("{}");
    asked.ask(&ext_authz::client(&sidecar).await).await;
    let log = sidecar.finish().await;
    let spans = collector.spans("envoy.service.auth.v3.Authorization/Check");
    let [span] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(
        (&span["parent"], &span["attributes"]["octavia.action"]),
        (&"".into(), &"tags.create".into())
    );
    let events = super::events(&log, super::DECISION);
    assert_eq!(events[0]["trace_id"], span["trace"]);
    assert!(!spans.is_empty() && !format!("{spans:?}").contains(&text));
}
