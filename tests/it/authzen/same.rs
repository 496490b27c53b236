//! The same decisions as over gRPC: every role, every action, every attribute that matters.

use octavia_authz::pb::v1::{
    AuthorizeRequest, AuthorizeResponse, BatchAuthorizeRequest, CreateApiKeyRequest, KeyStatus,
    Resource,
};
use serde_json::{Value, json};

use super::{EVALUATIONS, client::Client, start};
use crate::{golden, sidecar::Sidecar};

/// Keys of every role, and texts that are no key's, or no good one's.
async fn texts(sidecar: &Sidecar) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    for role in golden::ROLES {
        let (key, text) = sidecar.create(role).await;
        texts.push((key.id, text));
    }
    let new = CreateApiKeyRequest {
        name: "off".into(),
        role: "super_admin".into(),
        subject: "somebody".into(),
        status: KeyStatus::Inactive.into(),
        ..Default::default()
    };
    let off = sidecar.keys().await.create_api_key(new).await.unwrap().into_inner();
    texts.push((off.api_key.unwrap().id, off.key));
    let (id, text) = texts[0].clone();
    texts.push((id, format!("{text}x")));
    texts
}

/// `request` as an evaluation.
fn evaluation(request: &AuthorizeRequest) -> Value {
    let resource = request.resource.clone().unwrap();
    json!({
        "subject": { "type": "api_key", "id": request.key },
        "action": { "name": request.action },
        "resource": {
            "type": "thing",
            "id": resource.id,
            "properties": { "owner": resource.owner, "state": resource.state },
        },
        "context": { "service": request.service },
    })
}

/// `response` as an answer to an evaluation.
fn answer(response: &AuthorizeResponse) -> Value {
    let reason = response.reason().as_str_name().strip_prefix("DECISION_REASON_").unwrap();
    let mut context = json!({ "reason": reason, "revision": response.revision });
    for (name, value) in
        [("key_id", &response.key_id), ("team", &response.team), ("role", &response.role)]
    {
        if !value.is_empty() {
            context[name] = json!(value);
        }
    }
    if !response.conditions.is_empty() {
        let conditions = response.conditions.iter().map(|condition| {
            let attribute = condition.attribute.replace("resource.", "resource.properties.");
            let (alternative, value) = (condition.alternative, &condition.value);
            json!({ "alternative": alternative, "attribute": attribute, "value": value })
        });
        context["conditions"] = conditions.collect();
    }
    json!({ "decision": response.allowed, "context": context })
}

#[tokio::test]
async fn evaluations_are_decided_as_authorize_is() {
    let sidecar = start();
    let mut requests = Vec::new();
    for (id, key) in texts(&sidecar).await {
        for action in golden::actions().iter().map(|action| action.name).chain(["no.such"]) {
            for owner in ["", &id, "somebody else"] {
                for state in ["", "draft", "published"] {
                    let (owner, state) = (owner.to_owned(), state.to_owned());
                    let resource = Resource { owner, state, ..Default::default() };
                    requests.push(AuthorizeRequest {
                        key: key.clone(),
                        action: action.to_owned(),
                        resource: Some(resource),
                        ..Default::default()
                    });
                }
            }
        }
    }
    let elsewhere = requests.iter().step_by(97).cloned();
    let elsewhere = elsewhere.map(|one| AuthorizeRequest { service: "shop".into(), ..one });
    requests.extend(elsewhere.collect::<Vec<_>>());
    let mut grpc = sidecar.authorization().await;
    let mut client = Client::of(&sidecar);
    let (mut compared, mut allowed) = (0, 0);
    for some in requests.chunks(1000) {
        let batch = BatchAuthorizeRequest { requests: some.to_vec() };
        let expected = grpc.batch_authorize(batch).await.unwrap().into_inner().responses;
        let asked: Vec<Value> = some.iter().map(evaluation).collect();
        let said = client.evaluate(EVALUATIONS, &json!({ "evaluations": asked }));
        let said = said["evaluations"].as_array().unwrap();
        assert_eq!(said.len(), expected.len());
        for ((said, expected), request) in said.iter().zip(&expected).zip(some) {
            assert_eq!(said, &answer(expected), "{} {:?}", request.action, request.resource);
            compared += 1;
            allowed += usize::from(said["decision"] == true);
        }
    }
    assert_eq!(compared, 9 * 84 * 9 + (9 * 84 * 9_usize).div_ceil(97));
    assert!(allowed > 1000, "{allowed}");
    sidecar.finish().await;
}
