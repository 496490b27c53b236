//! A credential alone does not fill the log, and without one nothing is written.

use std::{fs, time::Instant};

use octavia_authz::{
    pb::v1::{
        ApiKey, AuditEvent, AuditFilter, BatchRevokeApiKeysRequest, CreateApiKeyRequest,
        GetStatusRequest, GetStatusResponse, ImportApiKeysRequest, KeyStatus, RevokeApiKeyRequest,
        RotateApiKeyRequest, UpdateApiKeyRequest,
    },
    token::{KeyId, Token},
};
use prost_types::FieldMask;
use tonic::Code;

use super::{all, audit, create_in, list, revoke, role_update};
use crate::sidecar::{PATIENCE, Sidecar};

async fn status(sidecar: &Sidecar) -> GetStatusResponse {
    let mut maintenance = sidecar.maintenance_as(&sidecar.operator_token()).await;
    maintenance.get_status(GetStatusRequest {}).await.unwrap().into_inner()
}

/// All that the journal's files hold.
fn journal(sidecar: &Sidecar) -> Vec<u8> {
    let entries = fs::read_dir(sidecar.dir().join("journal")).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().flat_map(|file| fs::read(file).unwrap()).collect()
}

#[tokio::test]
async fn of_a_burst_of_refusals_a_hundred_are_listed_and_the_others_counted() {
    let sidecar = Sidecar::start();
    let (target, _) = sidecar.create("super_admin").await;
    let (editor, text) = sidecar.create("editor").await;
    let mut keys = sidecar.keys_as(&text).await;
    let mut log = audit(&sidecar).await;
    let of_editor = AuditFilter { actor: format!("key:{}", editor.id), ..Default::default() };
    let started = Instant::now();
    let mut tried = 0_u64;
    let mut refused = async || {
        let status = keys.update_api_key(role_update(&target.id, "writer")).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
        tried += 1;
        tried
    };
    for _ in 0..300 {
        refused().await;
    }
    // The next that is listed says how many were not.
    let listed: Vec<AuditEvent> = loop {
        let tried = refused().await;
        let listed = list(&mut log, of_editor.clone()).await.unwrap();
        let unlisted: u64 =
            listed.iter().map(|event| event.refusal.as_ref().unwrap().unlisted_count).sum();
        if unlisted > 0 && listed.len() as u64 + unlisted == tried {
            break listed;
        }
        assert!(listed.len() as u64 + unlisted <= tried);
        assert!(started.elapsed() < PATIENCE, "{} of {tried} are listed", listed.len());
    };
    // One a second after the first hundred.
    let most = 100 + started.elapsed().as_secs() + 1;
    assert!((101..=most).contains(&(listed.len() as u64)), "{} are listed", listed.len());
    for event in &listed[..100] {
        assert_eq!(event.refusal.as_ref().unwrap().unlisted_count, 0);
    }
    // Others are listed all the same.
    let other = sidecar.keys().await.update_api_key(role_update(&target.id, "king")).await;
    other.unwrap_err();
    let last = all(&sidecar).await.pop().unwrap();
    assert_eq!((last.actor.as_str(), last.refusal.unwrap().unlisted_count), ("operator", 0));
    drop(log);
    sidecar.finish().await;
}

#[tokio::test]
async fn whoever_is_not_authenticated_makes_nothing_be_written() {
    let sidecar = Sidecar::start_with(&["--max-failed-sign-ins", "100000"]);
    let (target, text) = sidecar.create("super_admin").await;
    let (gone, revoked) = sidecar.create("super_admin").await;
    revoke(&sidecar, &gone.id).await;
    let (_, off) = {
        let (key, text) = create_in(&sidecar, "super_admin", "web").await;
        let off = UpdateApiKeyRequest {
            id: key.id.clone(),
            api_key: Some(ApiKey { status: KeyStatus::Inactive.into(), ..Default::default() }),
            update_mask: Some(FieldMask { paths: vec!["status".into()] }),
            ..Default::default()
        };
        sidecar.keys().await.update_api_key(off).await.unwrap();
        (key, text)
    };
    let other_secret = Token::generate(target.id.parse().unwrap()).unwrap();
    let unknown = Token::generate(KeyId::generate().unwrap()).unwrap();
    let (before, bytes) = (status(&sidecar).await, journal(&sidecar));
    let credentials =
        ["", "nobody", &revoked, &off, &text[..53], other_secret.reveal(), unknown.reveal()];
    for credential in credentials {
        let mut keys = sidecar.keys_as(credential).await;
        let id = target.id.clone();
        let create =
            CreateApiKeyRequest { name: "x".into(), role: "writer".into(), ..Default::default() };
        let rotate = RotateApiKeyRequest { id: id.clone(), ..Default::default() };
        let revoke = RevokeApiKeyRequest { id: id.clone(), ..Default::default() };
        let batch = BatchRevokeApiKeysRequest { ids: vec![id], dry_run: false };
        let import = tokio_stream::iter([ImportApiKeysRequest::default()]);
        for answer in [
            keys.create_api_key(create).await.map(drop),
            keys.update_api_key(role_update(&target.id, "writer")).await.map(drop),
            keys.rotate_api_key(rotate).await.map(drop),
            keys.revoke_api_key(revoke).await.map(drop),
            keys.batch_revoke_api_keys(batch).await.map(drop),
            keys.import_api_keys(import).await.map(drop),
        ] {
            assert_eq!(answer.unwrap_err().code(), Code::Unauthenticated, "{credential}");
        }
    }
    let after = status(&sidecar).await;
    assert_eq!((after.revision, &after.journal_head), (before.revision, &before.journal_head));
    assert_eq!(after.state_digest, before.state_digest);
    assert!(journal(&sidecar) == bytes, "the journal has grown");
    sidecar.finish().await;
}
