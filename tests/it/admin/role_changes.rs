//! A change of role says which rights it changes, before it is made.

use octavia_authz::pb::v1::{
    ActionRight, ApiKey, GetApiKeyRequest, GetStatusRequest, RightChange, UpdateApiKeyRequest,
    UpdateApiKeyResponse,
};
use tonic::Code;

use super::{create, new_key, update};
use crate::{
    golden::{self, ROLES, Right},
    sidecar::{Sidecar, without_usage},
};

fn action_right(right: &Right) -> Option<ActionRight> {
    let conditions = match right {
        Right::When(conditions) => conditions.iter().map(|name| (*name).to_owned()).collect(),
        Right::Always | Right::Never => Vec::new(),
    };
    Some(ActionRight { allowed: *right == Right::Always, conditions })
}

/// What the golden table says.
fn expected(from: &str, to: &str) -> Vec<RightChange> {
    let changes = golden::actions().iter().filter_map(|action| {
        let (before, after) = (golden::right(from, action.name), golden::right(to, action.name));
        (before != after).then(|| RightChange {
            action: action.name.to_owned(),
            before: action_right(&before),
            after: action_right(&after),
        })
    });
    changes.collect()
}

async fn get(sidecar: &Sidecar, id: &str) -> ApiKey {
    let got = sidecar.keys().await.get_api_key(GetApiKeyRequest { id: id.into() }).await;
    got.unwrap().into_inner().api_key.unwrap()
}

async fn revision(sidecar: &Sidecar) -> u64 {
    let mut maintenance = sidecar.maintenance_as(&sidecar.operator_token()).await;
    maintenance.get_status(GetStatusRequest {}).await.unwrap().into_inner().revision
}

#[tokio::test]
async fn for_every_pair_of_roles_the_changed_rights_are_those_of_the_golden_table() {
    let sidecar = Sidecar::start();
    let mut keys = sidecar.keys().await;
    for from in ROLES {
        let (key, _) = create(&sidecar, new_key(from, "web")).await;
        for to in ROLES {
            let role = |role: &str| ApiKey { role: role.into(), ..Default::default() };
            let change = update(&key.id, &["role"], role(to));
            let trial = UpdateApiKeyRequest { dry_run: true, ..change.clone() };
            let (before, revision_before) =
                (get(&sidecar, &key.id).await, revision(&sidecar).await);
            let would = keys.update_api_key(trial).await.unwrap().into_inner();
            assert_eq!(would.right_changes, expected(from, to), "{from} to {to}");
            assert_eq!(would.api_key.as_ref().unwrap().role, to);
            assert_eq!(get(&sidecar, &key.id).await, before);
            assert_eq!(revision(&sidecar).await, revision_before);

            let did = keys.update_api_key(change).await.unwrap().into_inner();
            assert_eq!(did.right_changes, would.right_changes, "{from} to {to}");
            let same = |answer: UpdateApiKeyResponse| {
                let key = without_usage(answer.api_key.unwrap());
                ApiKey { etag: String::new(), update_time: None, ..key }
            };
            assert_eq!(same(did), same(would));
            keys.update_api_key(update(&key.id, &["role"], role(from))).await.unwrap();
        }
    }
    drop(keys);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_dry_run_changes_no_field_and_is_refused_as_the_change_would_be() {
    let sidecar = Sidecar::start();
    let mut keys = sidecar.keys().await;
    let (key, text) = create(&sidecar, new_key("writer", "web")).await;
    let values = ApiKey {
        name: "renamed".into(),
        role: "admin".into(),
        grants: vec!["billing.read".into()],
        subject: "ana".into(),
        description: "d".into(),
        labels: [("a".to_owned(), "b".to_owned())].into(),
        status: super::switched_off().status,
        ..Default::default()
    };
    let paths =
        ["name", "role", "grants", "subject", "description", "labels", "status", "expire_time"];
    let trial = UpdateApiKeyRequest {
        dry_run: true,
        expiration: "2099-01-31".into(),
        etag: key.etag.clone(),
        ..update(&key.id, &paths, values.clone())
    };
    let before = revision(&sidecar).await;
    let would = keys.update_api_key(trial.clone()).await.unwrap().into_inner();
    let shown = would.api_key.unwrap();
    assert_eq!(
        (&shown.name, &shown.grants, shown.status),
        (&values.name, &values.grants, values.status)
    );
    let billing = |change: &&RightChange| change.action == "billing.read";
    let granted = would.right_changes.iter().find(billing).unwrap();
    assert!(granted.after.as_ref().unwrap().allowed && !granted.before.as_ref().unwrap().allowed);
    assert_eq!(get(&sidecar, &key.id).await, key);

    let (_, other) = create(&sidecar, new_key("super_admin", "apps")).await;
    let wrong = [
        (sidecar.operator_token(), UpdateApiKeyRequest { etag: "old".into(), ..trial.clone() }),
        (
            sidecar.operator_token(),
            UpdateApiKeyRequest { id: "0000000000".into(), ..trial.clone() },
        ),
        (
            sidecar.operator_token(),
            UpdateApiKeyRequest { expiration: "2001-01-01".into(), ..trial.clone() },
        ),
        // No right to it; another team; no credential.
        (text.clone(), trial.clone()),
        (other, trial.clone()),
        ("nobody".into(), trial),
    ];
    let codes = [
        Code::Aborted,
        Code::NotFound,
        Code::InvalidArgument,
        Code::PermissionDenied,
        Code::NotFound,
        Code::Unauthenticated,
    ];
    let before = revision(&sidecar).await.max(before);
    for ((credential, trial), code) in wrong.into_iter().zip(codes) {
        let status = sidecar.keys_as(&credential).await.update_api_key(trial).await.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
    }
    // Not even a refusal is written.
    assert_eq!(revision(&sidecar).await, before);
    assert_eq!(without_usage(get(&sidecar, &key.id).await), without_usage(key));
    drop(keys);
    sidecar.finish().await;
}
