//! "Create an API key".

use std::time::{Duration, Instant, SystemTime};

use octavia_authz::pb::v1::{
    ApiKey, AuthorizeRequest, CreateApiKeyRequest, DecisionReason as Reason, KeyStatus,
    ListApiKeysRequest, ListRolesRequest, UpdateApiKeyRequest,
};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{Guide, new_key, update};
use crate::{golden, sidecar::PATIENCE};

fn of_status(status: KeyStatus) -> ApiKey {
    ApiKey { status: status.into(), ..Default::default() }
}

/// The one field that a request to create a key is refused for.
async fn refused_field(guide: &mut Guide, new: CreateApiKeyRequest) -> String {
    let status = guide.keys.create_api_key(new).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let details = status.get_error_details();
    let [violation] = &details.bad_request().unwrap().field_violations[..] else {
        panic!("{status}");
    };
    assert!(!violation.description.is_empty());
    violation.field.clone()
}

/// "Keep keys secret and prefer server-side usage."
#[tokio::test]
async fn keep_keys_secret_and_prefer_server_side_usage() {
    let mut guide = Guide::start().await;
    let (key, text) = guide.key_of("writer").await;
    assert_eq!(guide.reason(&text, "articles.create").await, Reason::Allowed);
    // Its text is shown once; after that nobody can read it anywhere.
    let secret = &text[16..50];
    let shown = format!("{:?}", guide.shown(&key.id).await);
    assert!(!shown.contains(secret), "{shown}");
    let mut files = vec![guide.sidecar.dir().to_owned()];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
    let log = guide.sidecar.finish().await;
    assert!(!log.contains(secret), "{log}");
}

/// "You can edit, disable/enable, or revoke a key at any time."
#[tokio::test]
async fn you_can_edit_disable_enable_or_revoke_a_key_at_any_time() {
    let mut guide = Guide::start().await;
    // At any time: of a key in use, one that is switched off, and one that has expired.
    let (_, in_use) = guide.key_of("writer").await;
    let off = CreateApiKeyRequest { status: KeyStatus::Inactive.into(), ..new_key("writer") };
    let (_, switched_off) = guide.create(off).await;
    let (_, expired) = expiring(&mut guide, "writer").await;
    wait_for_the_end(&mut guide, &expired).await;
    let texts = [(in_use, Reason::Allowed), (switched_off, Reason::Allowed)];
    for (text, when_on) in texts.into_iter().chain([(expired, Reason::KeyExpired)]) {
        let id = &text[5..15];
        let named = ApiKey { name: "edited".into(), ..Default::default() };
        let edited = guide.change(update(id, &["name"], named)).await.unwrap();
        assert_eq!(edited.name, "edited");
        for (status, reason) in
            [(KeyStatus::Inactive, Reason::KeyInactive), (KeyStatus::Active, when_on)]
        {
            guide.change(update(id, &["status"], of_status(status))).await.unwrap();
            assert_eq!(guide.reason(&text, "articles.create").await, reason);
        }
        let revoke =
            octavia_authz::pb::v1::RevokeApiKeyRequest { id: id.into(), ..Default::default() };
        guide.keys.revoke_api_key(revoke).await.unwrap();
        assert_eq!(guide.reason(&text, "articles.create").await, Reason::KeyUnknown);
    }
    guide.sidecar.finish().await;
}

/// "Follow these steps in the Octavia dashboard. (Replace the screenshots with your own — two
/// images are expected here.)"
#[tokio::test]
async fn follow_these_steps_in_the_octavia_dashboard() {
    let mut guide = Guide::start().await;
    // What the two steps ask for is all that a key needs to be good for use.
    let new = CreateApiKeyRequest {
        name: "cms-backend-prod".into(),
        service: "ai-cms".into(),
        role: "editor".into(),
        expiration: "lifetime".into(),
        ..Default::default()
    };
    let (key, text) = guide.create(new).await;
    assert_eq!(guide.shown(&key.id).await, key);
    assert_eq!(guide.reason(&text, "articles.create").await, Reason::Allowed);
    guide.sidecar.finish().await;
}

/// "1) Open API Keys: Go to Dashboard → Settings → API Keys and click New API Key."
#[tokio::test]
async fn go_to_dashboard_settings_api_keys_and_click_new_api_key() {
    let mut guide = Guide::start().await;
    assert!(guide.list(ListApiKeysRequest::default()).await.is_empty());
    // What the form offers to choose from ...
    let mut roles = guide.sidecar.roles_as(&guide.sidecar.operator_token()).await;
    let offered = roles.list_roles(ListRolesRequest::default()).await.unwrap().into_inner();
    let [service] = &offered.services[..] else { panic!("{} services", offered.services.len()) };
    assert_eq!(service.title, "AI CMS");
    // ... makes keys, and the page shows each, the newest state of it.
    for role in &service.roles {
        let new = CreateApiKeyRequest { service: service.service.clone(), ..new_key(&role.role) };
        let (key, _) = guide.create(new).await;
        assert_eq!(guide.shown(&key.id).await, key);
    }
    let listed = guide.list(ListApiKeysRequest::default()).await;
    let mut listed: Vec<_> = listed.iter().map(|key| key.role.as_str()).collect();
    let mut roles = golden::ROLES;
    listed.sort_unstable();
    roles.sort_unstable();
    assert_eq!(listed, roles);
    guide.sidecar.finish().await;
}

/// "2) Name, scope, role & expiration: Give the key a clear name (e.g., cms-backend-prod), choose
/// AI CMS as the service scope, assign a Role, and set Expiration:"
#[tokio::test]
async fn give_the_key_a_clear_name_choose_ai_cms_as_the_service_scope_assign_a_role_and_set_expiration()
 {
    let mut guide = Guide::start().await;
    for role in golden::ROLES {
        let new = CreateApiKeyRequest {
            name: "cms-backend-prod".into(),
            service: "ai-cms".into(),
            role: role.into(),
            expiration: "90d".into(),
            ..Default::default()
        };
        let (key, text) = guide.create(new).await;
        let shown = guide.shown(&key.id).await;
        assert_eq!(
            (shown.name.as_str(), shown.service.as_str(), shown.role.as_str()),
            ("cms-backend-prod", "ai-cms", role)
        );
        let (created, ends) = (shown.create_time.unwrap(), shown.expire_time.unwrap());
        assert_eq!(ends.seconds - created.seconds, 90 * 24 * 60 * 60);
        // The scope: good for this service and no other.
        assert_eq!(guide.reason(&text, "media.read").await, Reason::Allowed);
        let elsewhere = AuthorizeRequest {
            key: text,
            action: "media.read".into(),
            service: "shop".into(),
            ..Default::default()
        };
        let answer = guide.service.authorize(elsewhere).await.unwrap().into_inner();
        assert_eq!((answer.allowed, answer.reason()), (false, Reason::ServiceMismatch));
    }
    let nameless = CreateApiKeyRequest { name: String::new(), ..new_key("writer") };
    assert_eq!(refused_field(&mut guide, nameless).await, "name");
    for role in ["", "owner", "Editor", "super admin"] {
        let new = CreateApiKeyRequest { name: "a name".into(), ..new_key(role) };
        assert_eq!(refused_field(&mut guide, new).await, "role", "{role}");
    }
    let scope = CreateApiKeyRequest { service: "shop".into(), ..new_key("writer") };
    assert_eq!(refused_field(&mut guide, scope).await, "service");
    assert_eq!(guide.list(ListApiKeysRequest::default()).await.len(), golden::ROLES.len());
    guide.sidecar.finish().await;
}

/// A key with an end so near that a test can wait for it, and its text.
async fn expiring(guide: &mut Guide, role: &str) -> (ApiKey, String) {
    let soon = SystemTime::now() + Duration::from_millis(1500);
    let new = CreateApiKeyRequest { expire_time: Some(soon.into()), ..new_key(role) };
    guide.create(new).await
}

async fn wait_for_the_end(guide: &mut Guide, text: &str) {
    let started = Instant::now();
    while guide.reason(text, "articles.create").await != Reason::KeyExpired {
        assert!(started.elapsed() < PATIENCE, "still not expired");
    }
}

/// "Expiration: either a specific end date or lifetime (no expiry)."
#[tokio::test]
async fn expiration_either_a_specific_end_date_or_lifetime() {
    let mut guide = Guide::start().await;
    // A date holds through its whole day.
    let dated = CreateApiKeyRequest { expiration: "2099-01-31".into(), ..new_key("writer") };
    let (dated, text) = guide.create(dated).await;
    let end = guide.shown(&dated.id).await.expire_time.unwrap();
    assert_eq!(end.to_string(), "2099-02-01T00:00:00Z");
    assert_eq!(guide.reason(&text, "articles.create").await, Reason::Allowed);
    for lifetime in ["", "lifetime"] {
        let new = CreateApiKeyRequest { expiration: lifetime.into(), ..new_key("writer") };
        let (key, text) = guide.create(new).await;
        assert_eq!(guide.shown(&key.id).await.expire_time, None);
        assert_eq!(guide.reason(&text, "articles.create").await, Reason::Allowed);
    }
    // Up to its end a key is accepted, and from then on no more.
    let (key, text) = expiring(&mut guide, "writer").await;
    let end = SystemTime::try_from(guide.shown(&key.id).await.expire_time.unwrap()).unwrap();
    loop {
        let (asked, reason) = (SystemTime::now(), guide.reason(&text, "articles.create").await);
        if reason == Reason::KeyExpired {
            assert!(SystemTime::now() >= end, "denied before its end");
            break;
        }
        assert_eq!(reason, Reason::Allowed);
        assert!(asked < end, "allowed after its end");
    }
    // Either, not both; and no end that has passed.
    let past = SystemTime::now() - Duration::from_secs(1);
    let past = CreateApiKeyRequest { expire_time: Some(past.into()), ..new_key("writer") };
    assert_eq!(refused_field(&mut guide, past).await, "expire_time");
    let both = CreateApiKeyRequest {
        expire_time: dated.expire_time,
        expiration: "lifetime".into(),
        ..new_key("writer")
    };
    assert_eq!(refused_field(&mut guide, both).await, "expiration");
    guide.sidecar.finish().await;
}

/// "Status: you can toggle a key Active/Inactive anytime after creation."
#[tokio::test]
async fn status_you_can_toggle_a_key_active_inactive_anytime_after_creation() {
    let mut guide = Guide::start().await;
    for first in [KeyStatus::Active, KeyStatus::Inactive, KeyStatus::Unspecified] {
        let new = CreateApiKeyRequest { status: first.into(), ..new_key("writer") };
        let (key, text) = guide.create(new).await;
        let is_on = first != KeyStatus::Inactive;
        for on in [is_on, !is_on, is_on, is_on, !is_on] {
            let (status, reason) = if on {
                (KeyStatus::Active, Reason::Allowed)
            } else {
                (KeyStatus::Inactive, Reason::KeyInactive)
            };
            guide.change(update(&key.id, &["status"], of_status(status))).await.unwrap();
            assert_eq!(guide.shown(&key.id).await.status(), status);
            assert_eq!(guide.reason(&text, "articles.create").await, reason);
        }
    }
    guide.sidecar.finish().await;
}

/// "You can edit a key’s role, change its expiration (switch between date-bound and lifetime), or
/// disable/enable it later from the same page."
#[tokio::test]
async fn you_can_edit_a_keys_role_change_its_expiration_or_disable_enable_it_later_from_the_same_page()
 {
    let mut guide = Guide::start().await;
    let (key, text) = guide.key_of("writer").await;
    let role = ApiKey { role: "publisher".into(), ..Default::default() };
    guide.change(update(&key.id, &["role"], role)).await.unwrap();
    assert_eq!(guide.shown(&key.id).await.role, "publisher");
    assert_eq!(guide.reason(&text, "articles.publish").await, Reason::Allowed);
    assert_eq!(guide.reason(&text, "articles.create").await, Reason::ActionDenied);

    for (expiration, is_bound) in [("30d", true), ("lifetime", false), ("2099-01-31", true)] {
        let request = UpdateApiKeyRequest {
            expiration: expiration.into(),
            ..update(&key.id, &["expire_time"], ApiKey::default())
        };
        guide.change(request).await.unwrap();
        assert_eq!(guide.shown(&key.id).await.expire_time.is_some(), is_bound, "{expiration}");
        assert_eq!(guide.reason(&text, "articles.publish").await, Reason::Allowed);
    }

    for (status, reason) in
        [(KeyStatus::Inactive, Reason::KeyInactive), (KeyStatus::Active, Reason::Allowed)]
    {
        guide.change(update(&key.id, &["status"], of_status(status))).await.unwrap();
        assert_eq!(guide.reason(&text, "articles.publish").await, reason);
    }

    // All of it in one go.
    let all = ApiKey { role: "read_only".into(), ..of_status(KeyStatus::Inactive) };
    let paths = ["role", "expire_time", "status"];
    let changed = guide.change(update(&key.id, &paths, all)).await.unwrap();
    let shown = guide.shown(&key.id).await;
    assert_eq!(shown, changed);
    assert_eq!(
        (shown.role.as_str(), shown.expire_time, shown.status()),
        ("read_only", None, KeyStatus::Inactive)
    );
    assert_eq!(guide.reason(&text, "media.read").await, Reason::KeyInactive);
    guide.sidecar.finish().await;
}
