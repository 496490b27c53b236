//! Nobody makes a key, or makes of one, what holds more than the visitor's own, lives longer, or is
//! another team's: not by the form, and not by hand.

use std::time::{Duration, SystemTime};

use octavia_authz::pb::v1::{ApiKey, CreateApiKeyRequest, UpdateApiKeyRequest};
use prost_types::FieldMask;

use super::{
    Form,
    browser::Browser,
    edit, html, keys,
    rights::{CALLERS, create, is_refused, start},
};
use crate::{
    escalation::rights::{Answer as Right, to_change, to_make},
    sidecar::Sidecar,
};

const ROLES: [(&str, &str, &[&str]); 12] = [
    ("ai-cms", "super_admin", &[]),
    ("ai-cms", "admin", &[]),
    ("ai-cms", "admin", &["api_keys.read"]),
    ("ai-cms", "admin", &["api_keys.create"]),
    ("ai-cms", "admin", &["billing.update"]),
    ("ai-cms", "publisher", &[]),
    ("ai-cms", "read_only", &[]),
    ("ai-cms", "no_such_role", &[]),
    ("shop", "owner", &[]),
    ("shop", "keeper", &[]),
    ("shop", "clerk", &[]),
    ("shop", "guest", &[]),
];

/// The key that is proposed to whoever decides.
fn proposed((service, role, grants): (&str, &str, &[&str]), team: &str) -> ApiKey {
    ApiKey {
        name: "proposed".into(),
        service: service.into(),
        role: role.into(),
        team: team.into(),
        grants: grants.iter().map(|grant| (*grant).to_owned()).collect(),
        subject: "somebody".into(),
        ..Default::default()
    }
}

/// Its form.
fn form_of(key: &ApiKey, number: usize) -> Form {
    let mut form = vec![
        ("name", key.name.clone()),
        ("service", key.service.clone()),
        ("role", key.role.clone()),
        ("team", key.team.clone()),
        ("subject", key.subject.clone()),
        ("expires", "lifetime".to_owned()),
        ("form", format!("{number:043}")),
    ];
    form.extend(key.grants.iter().map(|grant| (super::grant_field(&key.role), grant.clone())));
    form
}

fn request(key: &ApiKey) -> CreateApiKeyRequest {
    let key = key.clone();
    CreateApiKeyRequest {
        name: key.name,
        service: key.service,
        role: key.role,
        team: key.team,
        grants: key.grants,
        subject: key.subject,
        expire_time: key.expire_time,
        ..Default::default()
    }
}

#[tokio::test]
async fn a_new_key_holds_no_more_than_its_maker_and_the_form_offers_no_more() {
    let (sidecar, _policy) = start();
    let mut tally = [0; 2];
    for caller in CALLERS {
        let (caller, text) = create(&sidecar, caller).await;
        let (mut browser, mut grpc) =
            (Browser::signed_in(&sidecar, &text), sidecar.keys_as(&text).await);
        let page = browser.get("/keys/new");
        for (number, role) in ROLES.into_iter().enumerate() {
            let of_own = to_make(&caller, &proposed(role, &caller.team)) == Right::Done;
            if page.status == 200 && role.0 == caller.service && role.2.is_empty() {
                let id = format!("role-{}", role.1);
                let tags = html::tags(&page.body);
                let choice = tags.iter().find(|tag| tag.get("id") == Some(&id));
                let is_offered = choice.is_some_and(|tag| tag.get("disabled").is_none());
                assert_eq!(is_offered, of_own, "{caller:?} {role:?}");
            }
            for team in ["web", "apps"] {
                let key = proposed(role, team);
                let before = keys(&sidecar).await.len();
                let form = form_of(&key, number + if team == "web" { 0 } else { 50 });
                let answer = browser.post("/keys/new", &form);
                let made = keys(&sidecar).await.len() - before;
                let what = format!("{caller:?} {key:?}: {answer:?}");
                match to_make(&caller, &key) {
                    Right::Done => {
                        assert_eq!((answer.status, made), (200, 1), "{what}");
                        tally[0] += 1;
                        continue;
                    }
                    Right::Invalid => assert_eq!((answer.status, made), (422, 0), "{what}"),
                    _ => {
                        assert_eq!((answer.status, made), (403, 0), "{what}");
                        let status = grpc.create_api_key(request(&key)).await.unwrap_err();
                        is_refused(&answer, &status);
                    }
                }
                tally[1] += 1;
            }
        }
    }
    assert!(tally[0] > 10 && tally[1] > 100, "{tally:?}");
    sidecar.finish().await;
}

#[tokio::test]
async fn a_key_becomes_no_more_than_who_changes_it_holds() {
    let (sidecar, _policy) = start();
    let mut tally = [0; 2];
    for caller in CALLERS {
        let (caller, text) = create(&sidecar, caller).await;
        let (mut browser, mut grpc) =
            (Browser::signed_in(&sidecar, &text), sidecar.keys_as(&text).await);
        let lowest = if caller.service == "shop" { "guest" } else { "read_only" };
        let spec = (caller.service.as_str(), caller.team.as_str(), lowest, &[][..]);
        let (target, _) = create(&sidecar, spec).await;
        // Its own key is one of those that a caller may want more for.
        for before in [&target, &caller] {
            for role in ROLES.into_iter().filter(|(service, ..)| *service == caller.service) {
                let mut after = before.clone();
                after.role = role.1.into();
                after.grants = role.2.iter().map(|grant| (*grant).to_owned()).collect();
                if (&after.role, &after.grants) == (&before.role, &before.grants) {
                    continue;
                }
                let expected = to_change(&caller, before, &after);
                for reviewed in [false, true] {
                    let mut form = edit(&after);
                    form.push(("name", before.name.clone()));
                    form.retain(|(name, _)| reviewed || *name != "reviewed");
                    if reviewed && expected == Right::Done {
                        // It would change what is tried next.
                        continue;
                    }
                    let answer = browser.post(&format!("/keys/{}", before.id), &form);
                    let what = format!("{caller:?} {after:?}: {answer:?}");
                    let now = keys(&sidecar).await.into_iter().find(|key| key.id == before.id);
                    assert_eq!(now.as_ref(), Some(before), "{what}");
                    tally[usize::from(expected != Right::Done)] += 1;
                    match &expected {
                        Right::Done => {
                            assert_eq!(answer.status, 200, "{what}");
                            assert!(answer.body.contains("Review the changes"), "{what}");
                        }
                        Right::Invalid => assert_eq!(answer.status, 422, "{what}"),
                        _ => {
                            let update = UpdateApiKeyRequest {
                                id: before.id.clone(),
                                api_key: Some(after.clone()),
                                update_mask: Some(FieldMask {
                                    paths: vec!["role".into(), "grants".into()],
                                }),
                                ..Default::default()
                            };
                            is_refused(&answer, &grpc.update_api_key(update).await.unwrap_err());
                        }
                    }
                }
            }
        }
    }
    assert!(tally[0] > 10 && tally[1] > 40, "{tally:?}");
    sidecar.finish().await;
}

/// A Super Admin's key that expires in a month and a half, and a writer's for a day.
async fn mortal(sidecar: &Sidecar) -> (ApiKey, String, ApiKey) {
    let day = Duration::from_secs(24 * 60 * 60);
    let until = |days| Some(prost_types::Timestamp::from(SystemTime::now() + days * day));
    let mut made = Vec::new();
    for (role, days) in [("super_admin", 45), ("writer", 1)] {
        let key = ApiKey { expire_time: until(days), ..proposed(("ai-cms", role, &[]), "web") };
        let key = sidecar.keys().await.create_api_key(request(&key)).await.unwrap().into_inner();
        made.push((key.api_key.unwrap(), key.key));
    }
    let target = keys(sidecar).await.into_iter().find(|key| key.role == "writer").unwrap();
    let (own, text) = made.swap_remove(0);
    (own, text, target)
}

#[tokio::test]
async fn no_key_is_given_a_longer_life_than_the_visitors_own() {
    let (sidecar, _policy) = start();
    let (own, text, target) = mortal(&sidecar).await;
    let own = keys(&sidecar).await.into_iter().find(|key| key.id == own.id).unwrap();
    let mut browser = Browser::signed_in(&sidecar, &text);
    let before = keys(&sidecar).await;
    for (number, (expires, date)) in
        [("lifetime", ""), ("90d", ""), ("365d", ""), ("46d", ""), ("date", "2999-12-31")]
            .into_iter()
            .enumerate()
    {
        let mut form = form_of(&proposed(("ai-cms", "writer", &[]), "web"), number);
        form.retain(|(name, _)| *name != "expires");
        form.extend([("expires", expires.to_owned()), ("date", date.to_owned())]);
        let answer = browser.post("/keys/new", &form);
        assert_eq!(answer.status, 403, "{expires} {date}: {answer:?}");
        assert!(answer.body.contains("longer life than their own"), "{answer:?}");
        for key in [&target, &own] {
            let mut form = edit(key);
            form.retain(|(name, _)| *name != "expires");
            form.push(("name", key.name.clone()));
            form.extend([("expires", expires.to_owned()), ("date", date.to_owned())]);
            let answer = browser.post(&format!("/keys/{}", key.id), &form);
            assert_eq!(answer.status, 403, "{expires} {date}: {answer:?}");
            assert!(answer.body.contains("longer life than their own"), "{answer:?}");
        }
    }
    assert_eq!(keys(&sidecar).await, before);
    let mut form = edit(&target);
    form.retain(|(name, _)| *name != "expires");
    form.extend([("name", target.name.clone()), ("expires", "30d".to_owned())]);
    assert_eq!(browser.post(&format!("/keys/{}", target.id), &form).status, 303);
    sidecar.finish().await;
}
