//! Of several reasons to deny, the first in the contract's order is given.

use std::time::{Duration, Instant, SystemTime};

use octavia_authz::pb::v1::{
    AuthorizeRequest, BatchAuthorizeRequest, CreateApiKeyRequest, DecisionReason as Reason,
    KeyStatus, RevokeApiKeyRequest,
};

use super::{create, new_key};
use crate::sidecar::{PATIENCE, Sidecar};

/// A way to ask, and all that is wrong with it.
struct Question {
    request: AuthorizeRequest,
    wrong: Vec<Reason>,
}

/// The texts of keys in every state, and what is wrong with each.
async fn keys_in_every_state(sidecar: &Sidecar) -> Vec<(String, Vec<Reason>)> {
    let mut keys = vec![(String::new(), vec![Reason::KeyMalformed])];
    let (revoked, text) = create(sidecar, new_key("writer", "web")).await;
    let request = RevokeApiKeyRequest { id: revoked.id, ..Default::default() };
    sidecar.keys().await.revoke_api_key(request).await.unwrap();
    keys.push((text, vec![Reason::KeyUnknown]));
    for (status, inactive) in [(KeyStatus::Active, false), (KeyStatus::Inactive, true)] {
        for expired in [false, true] {
            let soon = SystemTime::now() + Duration::from_millis(500);
            let expire_time = expired.then(|| soon.into());
            let new = CreateApiKeyRequest {
                status: status.into(),
                expire_time,
                ..new_key("writer", "web")
            };
            let (_, text) = create(sidecar, new).await;
            let wrong = [(inactive, Reason::KeyInactive), (expired, Reason::KeyExpired)];
            let wrong = wrong.into_iter().filter(|(is, _)| *is).map(|(_, reason)| reason);
            keys.push((text, wrong.collect()));
        }
    }
    let expiring = keys[3].0.clone();
    let started = Instant::now();
    while sidecar.authorize(&expiring, "media.read").await.reason() != Reason::KeyExpired {
        assert!(started.elapsed() < PATIENCE, "still not expired");
    }
    keys
}

fn every_question(keys: Vec<(String, Vec<Reason>)>) -> Vec<Question> {
    let services = [("", None), ("ai-cms", None), ("shop", Some(Reason::ServiceMismatch))];
    let actions = [
        ("articles.create", None),
        ("articles.destroy", Some(Reason::ActionUnknown)),
        ("articles.publish", Some(Reason::ActionDenied)),
        ("articles.update", Some(Reason::ConditionUnmet)),
    ];
    let mut questions = Vec::new();
    for (key, wrong) in keys {
        for (service, mismatch) in services {
            for (action, denied) in actions {
                let request = AuthorizeRequest {
                    key: key.clone(),
                    action: action.into(),
                    service: service.into(),
                    ..Default::default()
                };
                let wrong = wrong.iter().copied().chain(mismatch).chain(denied).collect();
                questions.push(Question { request, wrong });
            }
        }
    }
    questions
}

#[tokio::test]
async fn the_first_reason_that_applies_is_given() {
    let sidecar = Sidecar::start();
    let questions = every_question(keys_in_every_state(&sidecar).await);
    assert_eq!(questions.len(), 6 * 3 * 4);
    let mut client = sidecar.authorization().await;
    let requests = questions.iter().map(|question| question.request.clone()).collect();
    let batch = client.batch_authorize(BatchAuthorizeRequest { requests }).await.unwrap();
    for (question, in_batch) in questions.iter().zip(batch.into_inner().responses) {
        let answer = client.authorize(question.request.clone()).await.unwrap().into_inner();
        let expected = question.wrong.first().copied().unwrap_or(Reason::Allowed);
        assert_eq!(answer.reason(), expected, "{:?}", question.wrong);
        assert_eq!(answer.allowed, question.wrong.is_empty());
        assert_eq!(answer, in_batch);
        // Who a key is, is told to nobody who has not proven it.
        let proven = ![Reason::KeyMalformed, Reason::KeyUnknown].contains(&expected);
        assert_eq!(answer.key_id.is_empty(), !proven);
        assert_eq!(answer.role.is_empty(), !proven);
        assert_eq!(answer.conditions.is_empty(), expected != Reason::ConditionUnmet);
    }
    sidecar.finish().await;
}
