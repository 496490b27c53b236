//! What is said of a key by its id is what the key itself is told.

use std::time::Instant;

use octavia_authz::pb::v1::{
    AuthorizeRequest, AuthorizeResponse, BatchAuthorizeRequest, CreateApiKeyRequest,
    DecisionReason as Reason, GetApiKeyRightsRequest, IntrospectRequest, Resource,
    RevokeApiKeyRequest, SimulateAuthorizeRequest,
};
use tonic::{Code, Status};

use super::{create, invalid_fields, new_key, switched_off, update};
use crate::{
    golden::{self, ROLES, Right},
    sidecar::{PATIENCE, Sidecar},
};

async fn simulate(
    sidecar: &Sidecar,
    id: &str,
    request: &AuthorizeRequest,
) -> Result<AuthorizeResponse, Status> {
    let AuthorizeRequest { action, service, resource, .. } = request.clone();
    let request = SimulateAuthorizeRequest { id: id.into(), action, service, resource };
    let answer = sidecar.keys().await.simulate_authorize(request).await?;
    Ok(answer.into_inner().decision.unwrap())
}

/// Actions of every kind: all that are conditional for anybody, and some others.
fn sample() -> Vec<&'static str> {
    let is_conditional = |right: &Right| matches!(right, Right::When(_));
    let actions = golden::actions().iter().enumerate();
    actions
        .filter(|(at, action)| at % 9 == 0 || action.rights.iter().any(is_conditional))
        .map(|(_, action)| action.name)
        .collect()
}

fn resources(subject: &str) -> Vec<Option<Resource>> {
    let mut resources = vec![None, Some(Resource { id: "7".into(), ..Default::default() })];
    for owner in ["", subject, "somebody"] {
        for state in ["", "draft", "published"] {
            let (owner, state) = (owner.to_owned(), state.to_owned());
            resources.push(Some(Resource { owner, state, ..Default::default() }));
        }
    }
    resources
}

#[tokio::test]
async fn a_simulation_decides_as_authorize_does() {
    let sidecar = Sidecar::start();
    let mut client = sidecar.authorization().await;
    let mut keys = sidecar.keys().await;
    let (mut asked, mut reasons) = (0, Vec::new());
    for role in ROLES {
        let new = CreateApiKeyRequest { subject: "ana".into(), ..new_key(role, "web") };
        let (key, text) = create(&sidecar, new).await;
        let mut requests = Vec::new();
        for action in sample().into_iter().chain(["no.such"]) {
            for resource in resources("ana") {
                let (key, action) = (text.clone(), action.to_owned());
                requests.push(AuthorizeRequest { key, action, resource, ..Default::default() });
            }
        }
        let mismatch = AuthorizeRequest { service: "shop".into(), ..requests[0].clone() };
        requests.push(mismatch);
        asked += requests.len();
        let batch = BatchAuthorizeRequest { requests: requests.clone() };
        let decided = client.batch_authorize(batch).await.unwrap().into_inner().responses;
        for (request, decided) in requests.iter().zip(decided) {
            let AuthorizeRequest { action, service, resource, .. } = request.clone();
            let question =
                SimulateAuthorizeRequest { id: key.id.clone(), action, service, resource };
            let simulated = keys.simulate_authorize(question).await.unwrap().into_inner();
            reasons.push(decided.reason());
            assert_eq!(simulated.decision, Some(decided), "{role}: {request:?}");
        }
    }
    assert!(asked > 1000, "{asked}");
    for reason in [
        Reason::Allowed,
        Reason::ActionDenied,
        Reason::ConditionUnmet,
        Reason::ActionUnknown,
        Reason::ServiceMismatch,
    ] {
        assert!(reasons.contains(&reason), "{reason:?}");
    }
    drop((client, keys));
    sidecar.finish().await;
}

#[tokio::test]
async fn a_simulation_knows_keys_that_are_off_expired_or_gone_and_questions_that_are_none() {
    let sidecar = Sidecar::start();
    let request = |key: &str| AuthorizeRequest {
        key: key.into(),
        action: "articles.create".into(),
        ..Default::default()
    };
    let (off, off_text) = create(&sidecar, new_key("writer", "")).await;
    let switch = update(&off.id, &["status"], switched_off());
    sidecar.keys().await.update_api_key(switch).await.unwrap();
    let new = CreateApiKeyRequest { expiration: "1s".into(), ..new_key("writer", "") };
    let (expired, expired_text) = create(&sidecar, new).await;
    let started = Instant::now();
    while sidecar.authorize(&expired_text, "articles.create").await.allowed {
        assert!(started.elapsed() < PATIENCE);
    }
    for (key, text, reason) in
        [(&off, &off_text, Reason::KeyInactive), (&expired, &expired_text, Reason::KeyExpired)]
    {
        let simulated = simulate(&sidecar, &key.id, &request("")).await.unwrap();
        assert_eq!(simulated.reason(), reason);
        assert_eq!(simulated, sidecar.authorize(text, "articles.create").await);
    }
    let revoke = RevokeApiKeyRequest { id: off.id.clone(), ..Default::default() };
    sidecar.keys().await.revoke_api_key(revoke).await.unwrap();
    for gone in [off.id.as_str(), "0000000000"] {
        let status = simulate(&sidecar, gone, &request("")).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
    }
    // What alone would be refused is refused, in the same words.
    let wrong = [
        AuthorizeRequest { action: String::new(), ..request(&expired_text) },
        AuthorizeRequest { service: "x".repeat(129), ..request(&expired_text) },
        AuthorizeRequest {
            resource: Some(Resource { owner: "x".repeat(257), ..Default::default() }),
            ..request(&expired_text)
        },
    ];
    for (wrong, field) in wrong.into_iter().zip(["action", "service", "resource.owner"]) {
        let simulated = simulate(&sidecar, &expired.id, &wrong).await.unwrap_err();
        let asked = sidecar.authorization().await.authorize(wrong).await.unwrap_err();
        assert_eq!(invalid_fields(&simulated), [field]);
        assert_eq!(simulated.message(), asked.message());
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn a_keys_rights_are_what_introspection_tells_the_key() {
    let sidecar = Sidecar::start();
    let mut client = sidecar.authorization().await;
    let mut keys = sidecar.keys().await;
    let roles = ROLES.into_iter().map(|role| (role, vec![])).chain([
        ("admin", vec!["billing.read"]),
        ("admin", vec!["api_keys.read", "api_keys.revoke"]),
    ]);
    for (role, grants) in roles {
        let new = CreateApiKeyRequest {
            subject: "ana".into(),
            grants: grants.iter().map(|grant| (*grant).to_owned()).collect(),
            ..new_key(role, "web")
        };
        let (key, text) = create(&sidecar, new).await;
        let introspect = IntrospectRequest { key: text.clone(), ..Default::default() };
        let told = client.introspect(introspect.clone()).await.unwrap().into_inner();
        let ask = GetApiKeyRightsRequest { id: key.id.clone() };
        let said = keys.get_api_key_rights(ask.clone()).await.unwrap().into_inner();
        assert_eq!(said.allowed_actions, told.allowed_actions, "{role}");
        assert_eq!(said.conditional_actions, told.conditional_actions, "{role}");
        assert_eq!((said.reason(), told.reason()), (Reason::Allowed, Reason::Allowed));
        let allowed = golden::actions().iter().filter(|action| {
            golden::right(role, action.name) == Right::Always || grants.contains(&action.name)
        });
        let mut allowed: Vec<_> = allowed.map(|action| action.name).collect();
        allowed.sort_unstable();
        assert_eq!(said.allowed_actions, allowed, "{role}");

        // Switched off, both say why; what it may do when it is on again stays.
        let switch = update(&key.id, &["status"], switched_off());
        keys.update_api_key(switch).await.unwrap();
        let told = client.introspect(introspect).await.unwrap().into_inner();
        let off = keys.get_api_key_rights(ask).await.unwrap().into_inner();
        assert_eq!((off.reason(), told.reason()), (Reason::KeyInactive, Reason::KeyInactive));
        assert_eq!(off.allowed_actions, said.allowed_actions);
    }
    drop((client, keys));
    sidecar.finish().await;
}
