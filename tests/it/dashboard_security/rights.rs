//! What a key may not do is on no page of its visitor's, is refused by hand, and in the words of gRPC;
//! what it may do, it can. Who may do what is looked up in a table that knows nothing of the program.

use std::time::{Duration, Instant};

use octavia_authz::pb::v1::{
    ApiKey, CreateApiKeyRequest, KeyStatus, RevokeApiKeyRequest, RotateApiKeyRequest,
    UpdateApiKeyRequest,
};
use prost_types::FieldMask;
use tempfile::TempDir;
use tonic::{Code, Status};

use super::{
    browser::{Answer, Browser},
    edit, html, keys,
};
use crate::{
    escalation::rights::{Answer as Right, Rights, SHOP, to_lay_hands_on, to_read},
    sidecar::{Sidecar, without_usage},
};

const READ: &str = "api_keys.read";
/// The right that each takes.
const ACTIONS: [(&str, &str); 4] = [
    ("status", "api_keys.update"),
    ("edit", "api_keys.update"),
    ("rotate", "api_keys.rotate"),
    ("revoke", "api_keys.revoke"),
];

/// A sidecar with the service `shop`, too.
pub fn start() -> (Sidecar, TempDir) {
    let temporary = TempDir::new().unwrap();
    let policy = temporary.path().join("policy.toml");
    std::fs::write(&policy, SHOP).unwrap();
    (Sidecar::start_with(&["--policy", policy.to_str().unwrap()]), temporary)
}

/// A key of (service, team, role, grants), and its text.
pub async fn create(
    sidecar: &Sidecar,
    (service, team, role, grants): (&str, &str, &str, &[&str]),
) -> (ApiKey, String) {
    let request = CreateApiKeyRequest {
        name: format!("{role} of {team} in {service} ({})", grants.join(", ")),
        service: service.into(),
        team: team.into(),
        role: role.into(),
        grants: grants.iter().map(|grant| (*grant).to_owned()).collect(),
        ..Default::default()
    };
    let made = sidecar.keys().await.create_api_key(request).await.unwrap().into_inner();
    (without_usage(made.api_key.unwrap()), made.key)
}

/// Everybody who can sign in.
pub const CALLERS: [(&str, &str, &str, &[&str]); 10] = [
    ("ai-cms", "web", "super_admin", &[]),
    ("ai-cms", "apps", "super_admin", &[]),
    ("ai-cms", "web", "admin", &[READ]),
    ("ai-cms", "web", "admin", &[READ, "api_keys.create"]),
    ("ai-cms", "web", "admin", &[READ, "api_keys.update"]),
    ("ai-cms", "web", "admin", &[READ, "api_keys.rotate"]),
    ("ai-cms", "web", "admin", &[READ, "api_keys.revoke"]),
    ("ai-cms", "web", "admin", &[READ, "billing.read", "api_keys.update", "api_keys.revoke"]),
    ("shop", "web", "owner", &[]),
    ("shop", "web", "keeper", &[]),
];

/// Whom they do it to.
const TARGETS: [(&str, &str, &str, &[&str]); 11] = [
    ("ai-cms", "web", "super_admin", &[]),
    ("ai-cms", "web", "admin", &[]),
    ("ai-cms", "web", "admin", &[READ]),
    ("ai-cms", "web", "admin", &["billing.read"]),
    ("ai-cms", "web", "publisher", &[]),
    ("ai-cms", "web", "read_only", &[]),
    ("ai-cms", "apps", "super_admin", &[]),
    ("ai-cms", "apps", "read_only", &[]),
    ("shop", "web", "owner", &[]),
    ("shop", "web", "clerk", &[]),
    ("shop", "apps", "guest", &[]),
];

/// What gRPC says to the same.
async fn over_grpc(sidecar: &Sidecar, text: &str, action: &str, id: &str) -> Status {
    let (mut keys, id) = (sidecar.keys_as(text).await, id.to_owned());
    let update = |path: &str, values| UpdateApiKeyRequest {
        id: id.clone(),
        api_key: Some(values),
        update_mask: Some(FieldMask { paths: vec![path.to_owned()] }),
        ..Default::default()
    };
    let off = ApiKey { status: KeyStatus::Inactive.into(), ..Default::default() };
    let named = ApiKey { name: "changed".into(), ..Default::default() };
    match action {
        "status" => keys.update_api_key(update("status", off)).await.unwrap_err(),
        "edit" => keys.update_api_key(update("name", named)).await.unwrap_err(),
        "rotate" => {
            let rotate = RotateApiKeyRequest { id, ..Default::default() };
            keys.rotate_api_key(rotate).await.unwrap_err()
        }
        _ => {
            let revoke = RevokeApiKeyRequest { id, ..Default::default() };
            keys.revoke_api_key(revoke).await.unwrap_err()
        }
    }
}

/// Holds a refusal on a page to that of gRPC.
#[track_caller]
pub fn is_refused(answer: &Answer, status: &Status) {
    match status.code() {
        Code::NotFound => {
            assert_eq!(answer.status, 404, "{answer:?}");
            assert!(html::words(&answer.body).contains("There is no key"), "{answer:?}");
        }
        Code::PermissionDenied => {
            assert_eq!(answer.status, 403, "{answer:?}");
            // With a capital letter, and quoted as for people.
            let said = status.message()[1..].to_owned();
            let shown = html::words(&answer.body).replace(['“', '”'], "`");
            assert!(shown.contains(&said), "{said}: {answer:?}");
        }
        other => panic!("{other:?} {status}"),
    }
}

/// Sends the form of `action` by hand.
fn act(browser: &mut Browser, action: &str, key: &ApiKey) -> Answer {
    let (id, etag) = (key.id.as_str(), ("etag", key.etag.clone()));
    let form = match action {
        "status" => vec![etag, ("status", "inactive".to_owned())],
        "edit" => [edit(key), vec![("name", "changed".to_owned())]].concat(),
        "rotate" => vec![etag, ("overlap", "1d".to_owned())],
        _ => vec![etag, ("name", id.to_owned())],
    };
    let rest = if action == "edit" { String::new() } else { format!("/{action}") };
    browser.post(&format!("/keys/{id}{rest}"), &form)
}

/// Whether the page of a key offers `action`.
fn offers(page: &str, action: &str, id: &str) -> bool {
    let rest = if action == "edit" { String::new() } else { format!("/{action}") };
    let path = format!("/keys/{id}{rest}");
    let to = if ["rotate", "revoke"].contains(&action) { "href" } else { "action" };
    html::tags(page).iter().any(|tag| tag.get(to) == Some(&path))
}

/// What a caller sees that is not of one key.
async fn look_around(sidecar: &Sidecar, browser: &mut Browser, caller: &ApiKey) {
    let rights = Rights::of(caller);
    let list = browser.page("/keys");
    let tags = html::tags(&list);
    let has = |name: &str, value: &str| tags.iter().any(|tag| tag.get(name) == Some(value));
    assert_eq!(has("href", "/keys/new"), rights.hold("api_keys.create"));
    assert_eq!(has("value", "disable"), rights.hold("api_keys.update"));
    assert_eq!(has("value", "revoke"), rights.hold("api_keys.revoke"));
    let new = browser.get("/keys/new").status;
    assert_eq!(new == 200, rights.hold("api_keys.create"), "{new}");
    let reads = rights.hold("audit.read");
    assert_eq!(has("href", "/audit"), reads);
    for path in ["/audit", "/audit/news?after=0"] {
        assert_eq!(browser.get(path).status, if reads { 200 } else { 403 });
    }
    let asked = Instant::now();
    if !reads {
        // It does not take a place among those who wait.
        assert_eq!(browser.get("/audit/news?after=1000000").status, 403);
        assert!(asked.elapsed() < Duration::from_secs(5));
    }
    assert!(!browser.get("/audit").body.contains("/audit/verify"));
    let verify = browser.post("/audit/verify", &[("", ""); 0]);
    assert_eq!(verify.status, 403, "{verify:?}");
    for key in keys(sidecar).await {
        let seen = to_read(caller, &key) == Right::Done;
        assert_eq!(has("href", &format!("/keys/{}", key.id)), seen, "{key:?}");
        let simulated = browser.page(&format!("/simulate?key={}&action=articles.read", key.id));
        assert_eq!(simulated.contains("There is no key"), !seen);
        assert_eq!(simulated.contains(&key.name), seen || caller.name == key.name);
        // Nor by looking for them.
        for query in [format!("q={}", key.id), format!("team={}&q={}", key.team, key.id)] {
            let found = browser.page(&format!("/keys?{query}"));
            assert_eq!(found.contains(&format!("/keys/{}\"", key.id)), seen, "{key:?}");
        }
    }
    assert!(
        !html::words(&browser.page("/roles")).contains("orders.read") || caller.service == "shop"
    );
}

async fn try_everything(sidecar: &Sidecar, caller: (&str, &str, &str, &[&str])) -> [usize; 2] {
    let (caller, text) = create(sidecar, caller).await;
    let mut browser = Browser::signed_in(sidecar, &text);
    let mut targets = Vec::new();
    for target in TARGETS {
        targets.push(create(sidecar, target).await.0);
    }
    look_around(sidecar, &mut browser, &caller).await;
    let mut tally = [0; 2];
    for mut key in targets.clone() {
        let page = browser.get(&format!("/keys/{}", key.id));
        let seen = to_read(&caller, &key) == Right::Done;
        assert_eq!(page.status, if seen { 200 } else { 404 }, "{caller:?} {key:?}");
        assert!(seen || !page.body.contains(&key.name), "{page:?}");
        for (action, right) in ACTIONS {
            let expected = to_lay_hands_on(&caller, right, &key);
            let may = expected == Right::Done;
            let what = format!("{caller:?}: {action} {key:?}");
            assert_eq!(offers(&page.body, action, &key.id), may, "{what}");
            if ["rotate", "revoke"].contains(&action) {
                let asked = browser.get(&format!("/keys/{}/{action}", key.id)).status;
                assert_eq!(asked == 200, may, "{what}: {asked}");
            }
            let answer = act(&mut browser, action, &key);
            tally[usize::from(!may)] += 1;
            let now = keys(sidecar).await.into_iter().find(|now| now.id == key.id);
            if may {
                assert!([200, 303].contains(&answer.status), "{what}: {answer:?}");
                assert_ne!(now.as_ref(), Some(&key), "{what}");
                assert_eq!(now.is_none(), action == "revoke", "{what}");
                key = now.unwrap_or(key);
                continue;
            }
            assert_eq!(now.as_ref(), Some(&key), "{what}");
            // What is not seen is not there, whatever right is missing, and whatever gRPC says first.
            let said = over_grpc(sidecar, &text, action, &key.id).await;
            if seen {
                is_refused(&answer, &said);
            } else {
                assert!([403, 404].contains(&answer.status), "{what}: {answer:?}");
            }
            assert!(!answer.body.contains(&key.name) || seen, "{what}: {answer:?}");
        }
    }
    tally
}

#[tokio::test]
async fn every_visitor_does_what_its_key_may_and_is_shown_and_let_do_nothing_else() {
    let (sidecar, _policy) = start();
    let mut total = [0; 2];
    for caller in CALLERS {
        let tally = try_everything(&sidecar, caller).await;
        total = [total[0] + tally[0], total[1] + tally[1]];
    }
    assert!(total[0] > 40 && total[1] > 200, "{total:?}");
    sidecar.finish().await;
}

#[tokio::test]
async fn many_keys_at_once_are_changed_as_far_as_each_alone_could_be() {
    let (sidecar, _policy) = start();
    for caller in CALLERS {
        for (action, right) in [("disable", ACTIONS[0].1), ("revoke", ACTIONS[3].1)] {
            let (caller, text) = create(&sidecar, caller).await;
            let mut browser = Browser::signed_in(&sidecar, &text);
            let mut targets = Vec::new();
            for target in TARGETS {
                targets.push(create(&sidecar, target).await.0);
            }
            let mut form = vec![("action", action.to_owned())];
            form.extend(targets.iter().map(|key| ("key", key.id.clone())));
            let may = |key: &ApiKey| to_lay_hands_on(&caller, right, key) == Right::Done;
            let before = keys(&sidecar).await;
            let page = browser.post("/keys/bulk", &form).body;
            for key in &targets {
                let shown = format!("{}:{}", key.id, key.etag);
                let can = html::tags(&page).iter().any(|tag| tag.get("value") == Some(&shown));
                assert_eq!(can, may(key), "{caller:?} {key:?}");
                let seen = to_read(&caller, key) == Right::Done || key.name == caller.name;
                assert!(seen || !page.contains(&key.name), "{key:?}: {page}");
            }
            assert_eq!(keys(&sidecar).await, before);
            form = vec![("action", action.to_owned()), ("confirmed", "yes".to_owned())];
            form.push(("count", targets.len().to_string()));
            form.extend(targets.iter().map(|key| ("key", format!("{}:{}", key.id, key.etag))));
            let answer = browser.post("/keys/bulk", &form);
            assert_eq!(answer.status, 200, "{answer:?}");
            let after = keys(&sidecar).await;
            for key in &targets {
                let is_as_it_was = after.contains(key);
                assert_eq!(is_as_it_was, !may(key), "{caller:?} {action} {key:?}");
            }
        }
    }
    sidecar.finish().await;
}
