//! What is answered to requests that are right.

use octavia_authz::pb::v1::{CreateApiKeyRequest, GetApiKeyRequest, RevokeApiKeyRequest};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{EVALUATION, EVALUATIONS, client::Client, question, start};
use crate::sidecar::Sidecar;

#[tokio::test]
async fn an_evaluation_says_what_was_decided_of_whose_key_and_why() {
    let sidecar = start();
    let (key, text) = sidecar.create("writer").await;
    let mut client = Client::of(&sidecar);
    let context = |reason: &str| {
        json!({ "reason": reason, "key_id": key.id, "team": "default", "role": "writer",
            "revision": 1 })
    };
    let mut evaluate = |body: &Value| client.evaluate(EVALUATION, body);
    let allowed = json!({ "decision": true, "context": context("ALLOWED") });
    let denied = |reason| json!({ "decision": false, "context": context(reason) });
    assert_eq!(evaluate(&question(&text, "articles.create")), allowed);
    assert_eq!(evaluate(&question(&text, "articles.publish")), denied("ACTION_DENIED"));
    assert_eq!(evaluate(&question(&text, "no.such")), denied("ACTION_UNKNOWN"));

    let mut unmet = denied("CONDITION_UNMET");
    unmet["context"]["conditions"] = json!([
        { "alternative": 1, "attribute": "resource.properties.owner", "value": key.id },
        { "alternative": 1, "attribute": "resource.properties.state", "value": "draft" },
    ]);
    let mut update = question(&text, "articles.update");
    assert_eq!(evaluate(&update), unmet);
    // What it says is where a request has to have it.
    update["resource"]["properties"] = json!({ "owner": key.id, "state": "published" });
    assert_eq!(evaluate(&update), unmet);
    update["resource"]["properties"]["state"] = "draft".into();
    assert_eq!(evaluate(&update), allowed);

    let unproven =
        |reason| json!({ "decision": false, "context": { "reason": reason, "revision": 1 } });
    assert_eq!(evaluate(&question("no key", "articles.create")), unproven("KEY_MALFORMED"));
    assert_eq!(evaluate(&question("", "articles.create")), unproven("KEY_MALFORMED"));
    let (gone, gone_text) = sidecar.create("writer").await;
    let revoke = RevokeApiKeyRequest { id: gone.id, ..Default::default() };
    sidecar.keys().await.revoke_api_key(revoke).await.unwrap();
    let said = evaluate(&question(&gone_text, "articles.create"));
    let expected =
        json!({ "decision": false, "context": { "reason": "KEY_UNKNOWN", "revision": 3 } });
    assert_eq!(said, expected);
    sidecar.finish().await;
}

#[tokio::test]
async fn the_id_of_a_request_comes_back_and_nobody_keeps_an_answer() {
    let sidecar = start();
    let (_, text) = sidecar.create("writer").await;
    let mut client = Client::of(&sidecar);
    let body = question(&text, "articles.create").to_string();
    for (id, kind) in [
        ("bfe9eb29-ab87-4ca3-be83-a1d5d8305716", "application/json"),
        ("any: text, \"quoted\"", "Application/JSON; charset=utf-8"),
    ] {
        let headers = [("X-Request-ID", id), ("content-type", kind)];
        let answer = client.ask("POST", EVALUATION, &headers, &body);
        assert_eq!((answer.status, answer.header("x-request-id")), (200, Some(id)));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let answer = client.post(EVALUATION, &question(&text, "articles.create"));
    assert_eq!(answer.header("x-request-id"), None);
    sidecar.finish().await;
}

/// The decisions and reasons of several.
fn decisions(answer: &Value) -> Vec<(bool, &str)> {
    assert!(answer.get("decision").is_none(), "{answer}");
    let several = answer["evaluations"].as_array().unwrap().iter();
    let said = several.map(|one| (one["decision"].as_bool(), one["context"]["reason"].as_str()));
    said.map(|(decision, reason)| (decision.unwrap(), reason.unwrap())).collect()
}

#[tokio::test]
async fn several_evaluations_take_what_they_leave_out_from_the_top() {
    let sidecar = start();
    let (key, writer) = sidecar.create("writer").await;
    let (_, reader) = sidecar.create("read_only").await;
    let mut client = Client::of(&sidecar);
    let mut request = question(&writer, "articles.update");
    request["resource"]["properties"] = json!({ "owner": key.id, "state": "draft" });
    request["evaluations"] = json!([
        {},
        // Each member is taken whole: without the properties, no attributes.
        { "resource": { "type": "article", "id": "2" } },
        { "action": { "name": "articles.create" } },
        { "subject": { "type": "api_key", "id": reader } },
        { "context": { "service": "shop" } },
        { "context": {}, "subject": null },
    ]);
    let expected = [
        (true, "ALLOWED"),
        (false, "CONDITION_UNMET"),
        (true, "ALLOWED"),
        (false, "ACTION_DENIED"),
        (false, "SERVICE_MISMATCH"),
        (true, "ALLOWED"),
    ];
    let answer = client.evaluate(EVALUATIONS, &request);
    assert_eq!(decisions(&answer), expected);
    request["context"] = json!({ "service": "shop" });
    let answer = client.evaluate(EVALUATIONS, &request);
    let allowed: Vec<bool> = decisions(&answer).iter().map(|(allowed, _)| *allowed).collect();
    assert_eq!(allowed, [false, false, false, false, false, true]);

    // Whole each, with nothing at the top.
    let whole = json!({ "evaluations": [
        question(&writer, "articles.create"),
        question(&reader, "articles.create"),
    ] });
    let answer = client.evaluate(EVALUATIONS, &whole);
    assert_eq!(decisions(&answer), [(true, "ALLOWED"), (false, "ACTION_DENIED")]);
    sidecar.finish().await;
}

#[tokio::test]
async fn one_that_is_wrong_is_denied_and_the_others_are_decided() {
    let sidecar = start();
    let (_, text) = sidecar.create("writer").await;
    let mut client = Client::of(&sidecar);
    let request = json!({
        "subject": { "type": "api_key", "id": text },
        "action": { "name": "articles.create" },
        "options": { "evaluations_semantic": "execute_all", "another_option": "value" },
        "evaluations": [
            { "resource": { "type": "article", "id": "1" } },
            {},
            7,
            { "resource": { "type": "article", "id": 5 } },
            { "resource": { "type": "article", "id": "1" }, "subject": { "type": "user" } },
            { "resource": { "type": "article", "id": "1" } },
        ],
    });
    let answer = client.evaluate(EVALUATIONS, &request);
    let (allowed, invalid) = ((true, "ALLOWED"), (false, "REQUEST_INVALID"));
    assert_eq!(decisions(&answer), [allowed, invalid, invalid, invalid, invalid, allowed]);
    for (at, said) in [
        (1, "`evaluations[1].resource` is missing: give `type` and `id`"),
        (2, "`evaluations[2]` must be an object"),
        (3, "`evaluations[3].resource.id` must be a string"),
        (4, "`evaluations[4].subject.type` must be `api_key`"),
    ] {
        let error = &answer["evaluations"][at]["context"]["error"];
        assert_eq!(error["status"], 400);
        assert!(error["message"].as_str().unwrap().starts_with(said), "{error}");
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn without_evaluations_it_is_one_evaluation() {
    let sidecar = start();
    let (_, text) = sidecar.create("writer").await;
    let mut client = Client::of(&sidecar);
    for action in ["articles.create", "articles.publish"] {
        let mut request = question(&text, action);
        let expected = client.evaluate(EVALUATION, &request);
        assert_eq!(client.evaluate(EVALUATIONS, &request), expected);
        request["evaluations"] = json!([]);
        assert_eq!(client.evaluate(EVALUATIONS, &request), expected);
        // One that is there is another thing.
        request["evaluations"] = json!([{}]);
        let several = client.evaluate(EVALUATIONS, &request);
        assert_eq!(several, json!({ "evaluations": [expected] }));
        // Of one evaluation, they are an unknown member.
        assert_eq!(client.evaluate(EVALUATION, &request), expected);
    }
    let nobody = json!({ "evaluations": [] });
    let said = client.post(EVALUATIONS, &nobody).error(400);
    assert!(said.starts_with("`subject` is missing"), "{said}");
    sidecar.finish().await;
}

#[tokio::test]
async fn a_semantic_says_after_which_decision_no_more_are_made() {
    let sidecar = start();
    let (key, text) = sidecar.create("writer").await;
    let mut client = Client::of(&sidecar);
    let (allowed, denied) = ("articles.create", "articles.publish");
    let mut asked = 0;
    for (semantic, actions, made) in [
        (None, [allowed, denied, allowed], 3),
        (Some("execute_all"), [denied, allowed, denied], 3),
        (Some("deny_on_first_deny"), [allowed, denied, allowed], 2),
        (Some("deny_on_first_deny"), [denied, denied, denied], 1),
        (Some("deny_on_first_deny"), [allowed, allowed, allowed], 3),
        // An error is a denial.
        (Some("deny_on_first_deny"), [allowed, "", allowed], 2),
        (Some("permit_on_first_permit"), [denied, allowed, denied], 2),
        (Some("permit_on_first_permit"), [allowed, allowed, allowed], 1),
        (Some("permit_on_first_permit"), ["", denied, allowed], 3),
        (Some("permit_on_first_permit"), [denied, denied, denied], 3),
    ] {
        let mut request = question(&text, "to be replaced");
        let actions = actions.map(|action| json!({ "action": { "name": action } }));
        request["evaluations"] = json!(actions);
        if let Some(semantic) = semantic {
            request["options"] = json!({ "evaluations_semantic": semantic });
        }
        let answer = client.evaluate(EVALUATIONS, &request);
        let reasons: Vec<_> = decisions(&answer).into_iter().map(|(_, reason)| reason).collect();
        let expected = request["evaluations"].as_array().unwrap().iter().take(made);
        let expected = expected.map(|one| match one["action"]["name"].as_str().unwrap() {
            "" => "REQUEST_INVALID",
            "articles.create" => "ALLOWED",
            _ => "ACTION_DENIED",
        });
        let expected: Vec<_> = expected.collect();
        assert_eq!(reasons, expected, "{semantic:?}");
        asked += expected.iter().filter(|reason| **reason != "REQUEST_INVALID").count();
    }
    // What was not evaluated was no use of the key.
    let key = sidecar.keys().await.get_api_key(GetApiKeyRequest { id: key.id }).await.unwrap();
    let key = key.into_inner().api_key.unwrap();
    assert_eq!(key.allowed_count + key.denied_count, asked as u64);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_service_is_named_in_the_context() {
    const SHOP: &str = "
[services.shop]
title = 'Shop'
[services.shop.actions.orders]
read = 'read'
[services.shop.roles.clerk]
title = 'Clerk'
allow = ['orders.read']
";
    let temporary = TempDir::new().unwrap();
    let policy = temporary.path().join("policy.toml");
    std::fs::write(&policy, SHOP).unwrap();
    let policy = policy.to_str().unwrap();
    let args = ["--authzen-listen", "127.0.0.1:0", "--policy", policy];
    let sidecar = Sidecar::start_with(&args);
    let new = CreateApiKeyRequest {
        name: "a clerk".into(),
        role: "clerk".into(),
        service: "shop".into(),
        ..Default::default()
    };
    let text = sidecar.keys().await.create_api_key(new).await.unwrap().into_inner().key;
    let mut client = Client::of(&sidecar);
    for (context, reason) in [
        (json!({ "service": "shop", "time": "1985-10-26T01:22-07:00" }), "ALLOWED"),
        (json!({ "service": "ai-cms" }), "SERVICE_MISMATCH"),
        (json!({ "service": "" }), "SERVICE_MISMATCH"),
        (json!({}), "SERVICE_MISMATCH"),
        (Value::Null, "SERVICE_MISMATCH"),
    ] {
        let mut request = question(&text, "orders.read");
        request["context"] = context.clone();
        let answer = client.evaluate(EVALUATION, &request);
        assert_eq!(answer["context"]["reason"], reason, "{context}");
        assert_eq!(answer["decision"], reason == "ALLOWED", "{context}");
    }
    sidecar.finish().await;
}
