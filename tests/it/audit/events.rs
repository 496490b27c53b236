//! What stands in an event, and who sees it.

use octavia_authz::pb::v1::{
    ApiKey, AuditEventKind as Kind, AuditFilter, RevokeApiKeyRequest, RotateApiKeyRequest,
};
use tonic::{Code, Request};

use super::{all, audit, audit_as, create_in, list, revoke, role_update, sequences};
use crate::sidecar::Sidecar;

/// What callers see of a key besides its use, which is not in the log.
fn as_recorded(key: &ApiKey) -> ApiKey {
    let mut key = ApiKey {
        last_used_time: None,
        usage_since_time: None,
        allowed_count: 0,
        denied_count: 0,
        ..key.clone()
    };
    key.secrets.iter_mut().for_each(|secret| secret.last_used_time = None);
    key
}

#[tokio::test]
async fn every_change_says_who_did_what_from_where_and_what_it_was_before() {
    let sidecar = Sidecar::start();
    let (key, text) = sidecar.create("writer").await;
    let mut keys = sidecar.keys().await;
    let mut update = Request::new(role_update(&key.id, "editor"));
    update.metadata_mut().insert("x-request-id", "request-7".parse().unwrap());
    let updated = keys.update_api_key(update).await.unwrap().into_inner().api_key.unwrap();
    let rotate = RotateApiKeyRequest { id: key.id.clone(), ..Default::default() };
    let rotated = keys.rotate_api_key(rotate).await.unwrap().into_inner();
    let new_text = rotated.key;
    let rotated = rotated.api_key.unwrap();
    revoke(&sidecar, &key.id).await;

    let events = all(&sidecar).await;
    assert_eq!(sequences(&events), [1, 2, 3, 4]);
    let kinds: Vec<_> = events.iter().map(|event| event.kind()).collect();
    assert_eq!(kinds, [Kind::Create, Kind::Update, Kind::Rotate, Kind::Revoke]);
    let befores = [None, Some(&key), Some(&updated), Some(&rotated)];
    let afters = [Some(&key), Some(&updated), Some(&rotated), None];
    for ((event, before), after) in events.iter().zip(befores).zip(afters) {
        assert_eq!(event.before.as_ref().map(as_recorded), before.map(as_recorded));
        assert_eq!(event.after.as_ref().map(as_recorded), after.map(as_recorded));
        assert_eq!((event.actor.as_str(), &event.key_id), ("operator", &key.id));
        assert_eq!((event.team.as_str(), &event.refusal), ("default", &None));
        assert!(event.peer.starts_with("127.0.0.1:"), "{}", event.peer);
        assert!(event.time.is_some());
    }
    assert_eq!(events[1].request_id, "request-7");

    // Neither a text nor a digest of one.
    let shown = format!("{events:?}");
    for text in [&text, &new_text] {
        assert!(!shown.contains(text.as_str()));
        assert!(!shown.contains(&text[16..48]));
        assert!(!shown.contains(blake3::hash(text.as_bytes()).to_hex().as_str()));
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn what_was_refused_is_an_event_too() {
    let sidecar = Sidecar::start();
    let (target, _) = sidecar.create("super_admin").await;
    let (editor, text) = sidecar.create("editor").await;
    let mut keys = sidecar.keys_as(&text).await;
    let status = keys.update_api_key(role_update(&target.id, "writer")).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let stale = RevokeApiKeyRequest { id: target.id.clone(), etag: "stale".into() };
    let stale = sidecar.keys().await.revoke_api_key(stale).await.unwrap_err();
    let invalid = sidecar.keys().await.update_api_key(role_update(&target.id, "none")).await;
    let invalid = invalid.unwrap_err();

    let only = |refused| AuditFilter { refused: Some(refused), ..Default::default() };
    let mut log = audit(&sidecar).await;
    let refused = list(&mut log, only(true)).await.unwrap();
    assert_eq!(sequences(&refused), [3, 4, 5]);
    assert_eq!(sequences(&list(&mut log, only(false)).await.unwrap()), [1, 2]);
    let codes: Vec<_> = refused.iter().map(|event| event.refusal.as_ref().unwrap().code).collect();
    assert_eq!(codes, [7, 10, 3]);
    assert_eq!(refused[0].actor, format!("key:{}", editor.id));
    for (event, status) in refused.iter().zip([&status, &stale, &invalid]) {
        assert_eq!(event.key_id, target.id);
        assert_eq!((&event.before, &event.after), (&None, &None));
        assert_eq!(event.refusal.as_ref().unwrap().message, status.message());
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn a_filter_gives_what_matches_all_of_it() {
    let sidecar = Sidecar::start();
    let (one, text) = create_in(&sidecar, "super_admin", "a").await;
    let (other, _) = create_in(&sidecar, "writer", "b").await;
    let (third, _) = create_in(&sidecar, "writer", "a").await;
    let mut as_one = sidecar.keys_as(&text).await;
    as_one.update_api_key(role_update(&third.id, "editor")).await.unwrap();
    revoke(&sidecar, &other.id).await;

    let mut log = audit(&sidecar).await;
    let by_key = |id: &str| AuditFilter { key_id: id.into(), ..Default::default() };
    let cases = [
        (by_key(&third.id), vec![3, 4]),
        (by_key("0000000000"), vec![]),
        (AuditFilter { actor: format!("key:{}", one.id), ..Default::default() }, vec![4]),
        (AuditFilter { team: "b".into(), ..Default::default() }, vec![2, 5]),
        (
            AuditFilter {
                kinds: vec![Kind::Update.into(), Kind::Revoke.into()],
                ..Default::default()
            },
            vec![4, 5],
        ),
        (AuditFilter { actor: "operator".into(), ..by_key(&third.id) }, vec![3]),
    ];
    for (filter, expected) in cases {
        assert_eq!(
            sequences(&list(&mut log, filter.clone()).await.unwrap()),
            expected,
            "{filter:?}"
        );
    }
    let events = all(&sidecar).await;
    let time = |at: usize| events[at].time;
    let from = AuditFilter { from_time: time(3), ..Default::default() };
    assert!(list(&mut log, from).await.unwrap().contains(&events[3]));
    let until = AuditFilter { until_time: time(0), ..Default::default() };
    assert_eq!(list(&mut log, until).await.unwrap(), []);

    let wrong = [
        AuditFilter { key_id: text.clone(), ..Default::default() },
        AuditFilter { actor: "nobody".into(), ..Default::default() },
        AuditFilter { kinds: vec![99], ..Default::default() },
    ];
    for filter in wrong {
        let status = list(&mut log, filter).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(!status.message().contains(&text), "{status}");
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn a_key_sees_its_own_team_only_and_only_with_the_right() {
    let sidecar = Sidecar::start();
    let (_, a) = create_in(&sidecar, "super_admin", "a").await;
    let (other, b) = create_in(&sidecar, "super_admin", "b").await;
    let (_, admin) = create_in(&sidecar, "admin", "a").await;
    // Refused for what it does not see: the event is of its own team.
    let status = sidecar.keys_as(&a).await.update_api_key(role_update(&other.id, "writer")).await;
    assert_eq!(status.unwrap_err().code(), Code::NotFound);

    let everything = AuditFilter::default;
    let mut as_a = audit_as(&sidecar, &a).await;
    let mut as_b = audit_as(&sidecar, &b).await;
    assert_eq!(sequences(&list(&mut as_a, everything()).await.unwrap()), [1, 3, 4]);
    assert_eq!(sequences(&list(&mut as_b, everything()).await.unwrap()), [2]);
    let of_b = AuditFilter { team: "b".into(), ..Default::default() };
    assert_eq!(list(&mut as_a, of_b).await.unwrap(), []);
    let by_id = AuditFilter { key_id: other.id.clone(), ..Default::default() };
    let seen = list(&mut as_a, by_id).await.unwrap();
    assert_eq!(sequences(&seen), [4]);

    let without = audit_as(&sidecar, &admin).await;
    let status = list(&mut without.clone(), everything()).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("`audit.read`"), "{status}");
    let unknown = "octv_0000000000_00000000000000000000000000000000000000";
    let mut unknown = audit_as(&sidecar, unknown).await;
    let status = list(&mut unknown, everything()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let verify = octavia_authz::pb::v1::VerifyAuditRequest::default();
    let status = as_a.verify_audit(verify).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    sidecar.finish().await;
}
