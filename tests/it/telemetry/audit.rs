//! Changes of keys, and refused ones, are events of the log besides the audit log.

use octavia_authz::pb::v1::{
    ApiKey, CreateApiKeyRequest, RevokeApiKeyRequest, RotateApiKeyRequest, UpdateApiKeyRequest,
};
use prost_types::FieldMask;

use super::{AUDIT, events};
use crate::sidecar::Sidecar;

#[tokio::test]
async fn a_change_says_who_changed_which_fields_of_which_key() {
    let sidecar = Sidecar::start();
    let (key, text) = sidecar.create("read_only").await;
    let mut keys = sidecar.keys().await;
    let update = UpdateApiKeyRequest {
        id: key.id.clone(),
        api_key: Some(ApiKey {
            role: "writer".to_owned(),
            description: "for nightly runs".to_owned(),
            ..Default::default()
        }),
        update_mask: Some(FieldMask { paths: vec!["role".into(), "description".into()] }),
        ..Default::default()
    };
    keys.update_api_key(update).await.unwrap();
    let rotate = RotateApiKeyRequest { id: key.id.clone(), ..Default::default() };
    let rotated = keys.rotate_api_key(rotate).await.unwrap().into_inner().key;
    let refused = CreateApiKeyRequest { name: "x".to_owned(), ..Default::default() };
    let refused = CreateApiKeyRequest { role: "super_admin".to_owned(), ..refused };
    sidecar.keys_as(&rotated).await.create_api_key(refused).await.unwrap_err();
    let revoke = RevokeApiKeyRequest { id: key.id.clone(), ..Default::default() };
    keys.revoke_api_key(revoke).await.unwrap();

    let log = sidecar.finish().await;
    let lines = events(&log, AUDIT);
    let kinds: Vec<_> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["create", "update", "rotate", "create", "revoke"], "{log}");
    for (sequence, line) in (1_u64..).zip(&lines) {
        assert_eq!(line["sequence"], sequence, "{line}");
        assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    }
    for line in [&lines[0], &lines[1], &lines[2], &lines[4]] {
        assert_eq!((&line["actor"], &line["key_id"]), (&"operator".into(), &key.id.clone().into()));
    }
    assert_eq!(lines[0]["changed"], "");
    assert_eq!(lines[1]["changed"], "role,description");
    assert_eq!(lines[2]["changed"], "secrets");
    assert_eq!(lines[3]["message"], "a change of a key was refused");
    assert_eq!(
        (&lines[3]["actor"], &lines[3]["code"]),
        (&format!("key:{}", key.id).into(), &7.into())
    );
    for secret in [&text, &rotated] {
        assert!(!log.contains(secret), "{log}");
    }
    assert!(!log.contains("nightly"), "names of fields, not what is in them: {log}");
}
