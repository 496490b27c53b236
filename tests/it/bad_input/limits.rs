//! Fields that are empty, too long or too many, alone, in batches and in streams.

use octavia_authz::pb::v1::{
    AuthorizeRequest, BatchAuthorizeRequest, DecisionReason as Reason, IntrospectRequest, Resource,
};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::sidecar::Sidecar;

/// A question that a writer's key is allowed.
fn good(key: &str) -> AuthorizeRequest {
    AuthorizeRequest { key: key.into(), action: "articles.create".into(), ..Default::default() }
}

fn about(key: &str, resource: Resource) -> AuthorizeRequest {
    AuthorizeRequest { resource: Some(resource), ..good(key) }
}

fn attributes(count: usize, name: usize, value: usize) -> Resource {
    let attributes = (0..count).map(|n| (format!("{n:0name$}"), "v".repeat(value))).collect();
    Resource { attributes, ..Default::default() }
}

/// Requests just within every limit.
fn within(key: &str) -> Vec<AuthorizeRequest> {
    let full = "x".repeat(256);
    vec![
        good(key),
        AuthorizeRequest { correlation_id: full.clone(), ..good(key) },
        about(key, Resource { id: full.clone(), ..Default::default() }),
        about(key, Resource { owner: full.clone(), ..Default::default() }),
        about(key, Resource { state: full, ..Default::default() }),
        about(key, attributes(64, 256, 256)),
    ]
}

/// Requests just beyond one limit, and the field that is to blame.
fn beyond(key: &str) -> Vec<(&'static str, AuthorizeRequest)> {
    let (long_name, long) = ("x".repeat(129), "x".repeat(257));
    vec![
        ("action", AuthorizeRequest { action: String::new(), ..good(key) }),
        ("action", AuthorizeRequest { action: long_name.clone(), ..good(key) }),
        ("action", AuthorizeRequest { action: "x".repeat(500_000), ..good(key) }),
        ("service", AuthorizeRequest { service: long_name, ..good(key) }),
        ("correlation_id", AuthorizeRequest { correlation_id: long.clone(), ..good(key) }),
        ("resource.id", about(key, Resource { id: long.clone(), ..Default::default() })),
        ("resource.owner", about(key, Resource { owner: long.clone(), ..Default::default() })),
        ("resource.state", about(key, Resource { state: long, ..Default::default() })),
        ("resource.attributes", about(key, attributes(65, 2, 1))),
        ("resource.attributes", about(key, attributes(1, 257, 1))),
        ("resource.attributes", about(key, attributes(1, 1, 257))),
    ]
}

#[tokio::test]
async fn what_is_not_the_text_of_a_key_is_malformed() {
    let sidecar = Sidecar::start();
    let (_, text) = sidecar.create("super_admin").await;
    let mut client = sidecar.authorization().await;
    let mut wrong_sum = text.clone();
    let last = if wrong_sum.pop() == Some('0') { '1' } else { '0' };
    wrong_sum.push(last);
    let malformed = [
        String::new(),
        " ".into(),
        "octv_".into(),
        wrong_sum,
        text[..53].into(),
        format!("{text}0"),
        format!(" {text}"),
        format!("{text}\n"),
        text.to_uppercase(),
        text.replace('_', "-"),
        text.replace("octv_", "octo_"),
        "é".repeat(27),
        "\0".repeat(54),
        "x".repeat((1 << 20) - 64),
        sidecar.operator_token(),
    ];
    for key in malformed {
        let shown = &key[..key.len().min(60)];
        let answer = client.authorize(good(&key)).await.unwrap().into_inner();
        assert_eq!(answer.reason(), Reason::KeyMalformed, "{shown:?}");
        assert!(!answer.allowed && answer.key_id.is_empty() && answer.role.is_empty());
        let request = IntrospectRequest { key, ..Default::default() };
        let answer = client.introspect(request).await.unwrap().into_inner();
        assert_eq!((answer.reason(), answer.key), (Reason::KeyMalformed, None));
    }
    assert!(sidecar.authorize(&text, "articles.publish").await.allowed);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_field_beyond_its_limit_is_named() {
    let sidecar = Sidecar::start();
    let (_, text) = sidecar.create("writer").await;
    let mut client = sidecar.authorization().await;
    for request in within(&text) {
        let answer = client.authorize(request.clone()).await.unwrap().into_inner();
        assert!(answer.allowed, "{answer:?}");
        assert_eq!(answer.correlation_id, request.correlation_id);
    }
    for (field, request) in beyond(&text) {
        let status = client.authorize(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{field}");
        let details = status.get_error_details();
        let violations = &details.bad_request().unwrap().field_violations;
        assert_eq!((violations.len(), violations[0].field.as_str()), (1, field));
        // A request is refused for its shape before its key is looked at.
        assert!(!status.message().contains(&text), "{status}");
    }
    let long = IntrospectRequest { key: text, service: "x".repeat(129) };
    assert_eq!(client.introspect(long).await.unwrap_err().code(), Code::InvalidArgument);
    sidecar.finish().await;
}

#[tokio::test]
async fn names_that_are_not_in_the_policy_are_denied() {
    let sidecar = Sidecar::start();
    let (_, text) = sidecar.create("super_admin").await;
    let mut client = sidecar.authorization().await;
    for action in ["articles", "articles.*", "*", ".", "Articles.read", " articles.read", "\0"] {
        let request = AuthorizeRequest { action: action.into(), ..good(&text) };
        let answer = client.authorize(request).await.unwrap().into_inner();
        assert_eq!(answer.reason(), Reason::ActionUnknown, "{action:?}");
    }
    let longest = AuthorizeRequest { action: "é".repeat(64), ..good(&text) };
    let answer = client.authorize(longest).await.unwrap().into_inner();
    assert_eq!(answer.reason(), Reason::ActionUnknown);
    for service in ["ai-cm", "AI-CMS", " ai-cms", "billing", &"x".repeat(128)] {
        let request = AuthorizeRequest { service: service.into(), ..good(&text) };
        let answer = client.authorize(request).await.unwrap().into_inner();
        assert_eq!(answer.reason(), Reason::ServiceMismatch, "{service:?}");
        let request = IntrospectRequest { key: text.clone(), service: service.into() };
        let answer = client.introspect(request).await.unwrap().into_inner();
        assert_eq!(answer.reason(), Reason::ServiceMismatch, "{service:?}");
        assert_eq!(answer.allowed_actions, Vec::<String>::new());
    }
    let named = AuthorizeRequest { service: "ai-cms".into(), ..good(&text) };
    assert!(client.authorize(named).await.unwrap().into_inner().allowed);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_batch_of_1000_is_answered_and_one_more_is_not() {
    let sidecar = Sidecar::start();
    let (_, text) = sidecar.create("writer").await;
    let mut client = sidecar.authorization().await;
    let numbered = |count| {
        let numbered = |n: usize| AuthorizeRequest { correlation_id: n.to_string(), ..good(&text) };
        BatchAuthorizeRequest { requests: (0..count).map(numbered).collect() }
    };
    for count in [0, 1, 1000] {
        let responses = client.batch_authorize(numbered(count)).await.unwrap().into_inner();
        assert_eq!(responses.responses.len(), count);
        for (n, response) in responses.responses.iter().enumerate() {
            assert!(response.allowed && response.correlation_id == n.to_string());
        }
    }
    for count in [1001, 10_000] {
        let status = client.batch_authorize(numbered(count)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{count}");
        assert!(status.message().contains(&count.to_string()), "{status}");
    }
    sidecar.finish().await;
}

/// Good and bad requests in turn, numbered where that is not what is bad.
fn mixed(text: &str) -> Vec<(Reason, AuthorizeRequest)> {
    let numbered = |n: usize, request: AuthorizeRequest| match request.correlation_id.is_empty() {
        true => AuthorizeRequest { correlation_id: n.to_string(), ..request },
        false => request,
    };
    let bad = beyond(text).into_iter().map(|(_, request)| (Reason::RequestInvalid, request));
    let malformed = (Reason::KeyMalformed, good(""));
    let in_turn = bad.chain([malformed]).flat_map(|bad| [bad, (Reason::Allowed, good(text))]);
    in_turn.enumerate().map(|(n, (reason, request))| (reason, numbered(n, request))).collect()
}

fn assert_answers(
    asked: &[(Reason, AuthorizeRequest)],
    answers: &[octavia_authz::pb::v1::AuthorizeResponse],
) {
    assert_eq!(answers.len(), asked.len());
    for (answer, (reason, request)) in answers.iter().zip(asked) {
        assert_eq!(answer.reason(), *reason, "{}", request.correlation_id);
        assert_eq!(answer.allowed, *reason == Reason::Allowed);
        // An id that is too long itself is not sent back.
        let id = if request.correlation_id.len() > 256 { "" } else { &request.correlation_id };
        assert_eq!(answer.correlation_id, id);
    }
}

#[tokio::test]
async fn a_bad_entry_is_answered_in_its_place_and_stops_nothing() {
    let sidecar = Sidecar::start();
    let (_, text) = sidecar.create("writer").await;
    let mut client = sidecar.authorization().await;
    let asked = mixed(&text);
    let requests: Vec<_> = asked.iter().map(|(_, request)| request.clone()).collect();

    let batch = BatchAuthorizeRequest { requests: requests.clone() };
    let batch = client.batch_authorize(batch).await.unwrap().into_inner();
    assert_answers(&asked, &batch.responses);

    let stream = client.stream_authorize(tokio_stream::iter(requests)).await.unwrap();
    let mut stream = stream.into_inner();
    let mut answers = Vec::new();
    while let Some(answer) = stream.message().await.unwrap() {
        answers.push(answer);
    }
    assert_answers(&asked, &answers);
    sidecar.finish().await;
}
