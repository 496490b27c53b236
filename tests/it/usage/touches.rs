//! What is a use and what is none; and which uses are not counted.

use octavia_authz::{
    pb::v1::{
        AuthorizeRequest, BatchAuthorizeRequest, BatchRevokeApiKeysRequest, CreateApiKeyRequest,
        DecisionReason as Reason, GetApiKeyRequest, GetApiKeyRightsRequest, GetStatusRequest,
        ImportApiKeysRequest, IntrospectRequest, ListApiKeysRequest, ListAuditEventsRequest,
        ListRolesRequest, SimulateAuthorizeRequest, WatchAuditEventsRequest,
        audit_service_client::AuditServiceClient,
    },
    token::{KeyId, Token},
};
use tonic::Code;

use super::{ALLOWED, DENIED, Use, asks, counted, get, list, now, rotate, shown, tick};
use crate::sidecar::{Bearer, Sidecar, connect};

#[tokio::test]
async fn introspection_and_admin_calls_of_a_key_are_a_use_that_is_not_counted() {
    let sidecar = Sidecar::start();
    let (key, text) = sidecar.create("super_admin").await;
    let id = key.id.clone();
    let mut client = sidecar.authorization().await;
    let mut keys = sidecar.keys_as(&text).await;
    let mut audit = AuditServiceClient::with_interceptor(
        connect(&sidecar.admin_listen).await,
        Bearer::new(&text),
    );
    let mut roles = sidecar.roles_as(&text).await;
    let mut maintenance = sidecar.maintenance_as(&text).await;
    let mut before = shown(&sidecar, &id).await;
    assert_eq!(before.last, None);
    macro_rules! is_a_use {
        ($code:expr, $call:expr) => {
            let (call, started) = (stringify!($call), tick());
            let code = $call.await.err().map_or(Code::Ok, |status| status.code());
            assert_eq!(code, $code, "{call}");
            let ended = now();
            let used = shown(&sidecar, &id).await;
            let last = used.last.unwrap_or_else(|| panic!("no use: {call}"));
            assert!((started..=ended).contains(&last), "{call}: {before:?} {used:?}");
            assert_eq!((used.secret(1), used.counts()), (used.last, (0, 0)), "{call}");
            before = used;
        };
    }
    let introspect =
        |service: &str| IntrospectRequest { key: text.clone(), service: service.to_owned() };
    is_a_use!(Code::Ok, client.introspect(introspect("")));
    // It has proven itself, though it is not good for that service.
    is_a_use!(Code::Ok, client.introspect(introspect("shop")));
    is_a_use!(Code::Ok, keys.get_api_key(GetApiKeyRequest { id: id.clone() }));
    is_a_use!(Code::Ok, keys.list_api_keys(ListApiKeysRequest::default()));
    is_a_use!(Code::InvalidArgument, keys.create_api_key(CreateApiKeyRequest::default()));
    let none = BatchRevokeApiKeysRequest { ids: vec!["0000000000".into()], dry_run: true };
    is_a_use!(Code::Ok, keys.batch_revoke_api_keys(none));
    // To its end: every message proves the key.
    let mut import = async || {
        let messages = tokio_stream::iter([ImportApiKeysRequest::default()]);
        let mut answers = keys.import_api_keys(messages).await?.into_inner();
        while answers.message().await?.is_some() {}
        Ok::<_, tonic::Status>(())
    };
    is_a_use!(Code::Ok, import());
    let rights = GetApiKeyRightsRequest { id: id.clone() };
    is_a_use!(Code::Ok, keys.get_api_key_rights(rights));
    let simulate =
        SimulateAuthorizeRequest { id: id.clone(), action: ALLOWED.into(), ..Default::default() };
    is_a_use!(Code::Ok, keys.simulate_authorize(simulate));
    is_a_use!(Code::Ok, roles.list_roles(ListRolesRequest::default()));
    is_a_use!(Code::Ok, audit.list_audit_events(ListAuditEventsRequest::default()));
    // Refused, but it is who it says.
    is_a_use!(Code::PermissionDenied, maintenance.get_status(GetStatusRequest {}));
    // A watch proves its key again and again: only the first is waited for.
    let started = tick();
    let watch = audit.watch_audit_events(WatchAuditEventsRequest::default()).await.unwrap();
    assert!(Use::of(&get(&sidecar, &id).await).last.unwrap() >= started);
    drop((watch, client, keys, audit, roles, maintenance));
    assert!(sidecar.authorize(&text, ALLOWED).await.allowed);
    counted(&sidecar, &id, (1, 0)).await.assert_not_before(&before);
    sidecar.finish().await;
}

#[tokio::test]
async fn whoever_does_not_prove_to_be_a_key_is_no_use_of_it() {
    let sidecar = Sidecar::start();
    let (key, text) = sidecar.create("super_admin").await;
    let (rotated, old) = sidecar.create("super_admin").await;
    rotate(&sidecar, &rotated.id, 0).await;
    let other_secret = |id: KeyId| Token::generate(id).unwrap().reveal().to_owned();
    let texts = [
        // Well formed: the id of the key, another secret; the secret that it had; no key.
        other_secret(key.id.parse().unwrap()),
        old,
        other_secret(KeyId::generate().unwrap()),
        // Malformed.
        text[..53].to_owned(),
        format!("{text}x"),
        format!(" {text}"),
        text.to_uppercase(),
        key.id.clone(),
        String::new(),
        "x".repeat(10_000),
    ];
    let mut client = sidecar.authorization().await;
    for wrong in &texts {
        let requests = vec![asks(wrong, ALLOWED), asks(wrong, DENIED)];
        let batch = BatchAuthorizeRequest { requests: requests.clone() };
        let mut answers = client.batch_authorize(batch).await.unwrap().into_inner().responses;
        let mut stream =
            client.stream_authorize(tokio_stream::iter(requests)).await.unwrap().into_inner();
        while let Some(answer) = stream.message().await.unwrap() {
            answers.push(answer);
        }
        answers.push(client.authorize(asks(wrong, ALLOWED)).await.unwrap().into_inner());
        assert_eq!(answers.len(), 5);
        for answer in answers {
            assert!([Reason::KeyUnknown, Reason::KeyMalformed].contains(&answer.reason()));
        }
        let introspect = IntrospectRequest { key: wrong.clone(), ..Default::default() };
        let introspected = client.introspect(introspect).await.unwrap().into_inner();
        assert_eq!(introspected.key, None);
        if !wrong.starts_with(' ') {
            let mut keys = sidecar.keys_as(wrong).await;
            let status = keys.list_api_keys(ListApiKeysRequest::default()).await.unwrap_err();
            assert_eq!(status.code(), Code::Unauthenticated);
        }
    }
    // Nor is a question that is none.
    let no_questions = [
        asks(&text, ""),
        asks(&text, &"x".repeat(129)),
        AuthorizeRequest { correlation_id: "x".repeat(257), ..asks(&text, ALLOWED) },
    ];
    for request in &no_questions {
        let status = client.authorize(request.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
    }
    let batch = BatchAuthorizeRequest { requests: no_questions.to_vec() };
    for answer in client.batch_authorize(batch).await.unwrap().into_inner().responses {
        assert_eq!(answer.reason(), Reason::RequestInvalid);
    }
    for key in list(&sidecar, "").await {
        let shown = Use::of(&key);
        assert_eq!((shown.counts(), shown.last), ((0, 0), None), "{key:?}");
        assert!(shown.secrets.iter().all(|secret| secret.1.is_none()), "{key:?}");
    }
    drop(client);
    sidecar.finish().await;
}

#[tokio::test]
async fn what_is_asked_about_a_key_by_its_id_is_no_use_of_it() {
    let sidecar = Sidecar::start();
    let (key, _) = sidecar.create("writer").await;
    let mut keys = sidecar.keys().await;
    for action in [ALLOWED, DENIED, "articles.update", "no.such"] {
        let simulate = SimulateAuthorizeRequest {
            id: key.id.clone(),
            action: action.into(),
            ..Default::default()
        };
        keys.simulate_authorize(simulate).await.unwrap();
        let rights = GetApiKeyRightsRequest { id: key.id.clone() };
        keys.get_api_key_rights(rights).await.unwrap();
    }
    let shown = shown(&sidecar, &key.id).await;
    assert_eq!((shown.counts(), shown.last, shown.secret(1)), ((0, 0), None, None));
    sidecar.finish().await;
}
