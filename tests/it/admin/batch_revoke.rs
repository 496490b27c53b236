//! BatchRevokeApiKeys: each key for itself, in the order that was asked for.

use octavia_authz::pb::v1::{
    BatchRevokeApiKeysRequest, BatchRevokeApiKeysResponse, GetStatusRequest, RevokeApiKeyRequest,
    RevokeOutcome,
};
use tonic::{Code, Status};

use super::{create, invalid_fields, new_key};
use crate::sidecar::{Sidecar, without_usage};

async fn batch(
    sidecar: &Sidecar,
    credential: &str,
    ids: &[String],
    dry_run: bool,
) -> Result<BatchRevokeApiKeysResponse, Status> {
    let request = BatchRevokeApiKeysRequest { ids: ids.to_vec(), dry_run };
    Ok(sidecar.keys_as(credential).await.batch_revoke_api_keys(request).await?.into_inner())
}

async fn revision(sidecar: &Sidecar) -> u64 {
    let mut maintenance = sidecar.maintenance_as(&sidecar.operator_token()).await;
    maintenance.get_status(GetStatusRequest {}).await.unwrap().into_inner().revision
}

fn ids(outcomes: &[RevokeOutcome]) -> Vec<String> {
    outcomes.iter().map(|outcome| outcome.id.clone()).collect()
}

#[tokio::test]
async fn a_batch_revokes_what_it_can_and_says_of_each_what_its_own_call_would_have() {
    let sidecar = Sidecar::start();
    let mut admin = new_key("admin", "web");
    admin.grants = vec!["api_keys.revoke".into()];
    let (_, admin) = create(&sidecar, admin).await;
    let (writer, writer_text) = create(&sidecar, new_key("writer", "web")).await;
    let (boss, boss_text) = create(&sidecar, new_key("super_admin", "web")).await;
    let (foreign, foreign_text) = create(&sidecar, new_key("writer", "apps")).await;
    let (reader, reader_text) = create(&sidecar, new_key("read_only", "web")).await;
    let asked = ["0000000000", &reader.id, &boss.id, "no id", &foreign.id, &writer.id, ""]
        .map(str::to_owned);
    let codes = [
        Code::NotFound,
        Code::Ok,
        Code::PermissionDenied,
        Code::NotFound,
        Code::NotFound,
        Code::Ok,
        Code::InvalidArgument,
    ];
    let before = revision(&sidecar).await;
    let dry = batch(&sidecar, &admin, &asked, true).await.unwrap();
    assert_eq!(revision(&sidecar).await, before);
    for text in [&writer_text, &boss_text, &foreign_text, &reader_text] {
        assert!(sidecar.authorize(text, "media.read").await.allowed);
    }
    assert_eq!((ids(&dry.outcomes), dry.revoked_count), (asked.to_vec(), 2));
    for (outcome, code) in dry.outcomes.iter().zip(codes) {
        assert_eq!((outcome.code, outcome.api_key.is_some()), (code as i32, code == Code::Ok));
        assert_eq!(outcome.message.is_empty(), code == Code::Ok, "{outcome:?}");
        if code != Code::Ok {
            let one = RevokeApiKeyRequest { id: outcome.id.clone(), ..Default::default() };
            let status = sidecar.keys_as(&admin).await.revoke_api_key(one).await.unwrap_err();
            assert_eq!((status.code(), status.message()), (code, outcome.message.as_str()));
        }
    }
    let done = batch(&sidecar, &admin, &asked, false).await.unwrap();
    let without_use = |response: &BatchRevokeApiKeysResponse| {
        let outcomes = response.outcomes.iter().cloned();
        let outcomes = outcomes.map(|outcome| RevokeOutcome {
            api_key: outcome.api_key.map(without_usage),
            ..outcome
        });
        outcomes.collect::<Vec<_>>()
    };
    assert_eq!(without_use(&done), without_use(&dry));
    assert_eq!(done.revoked_count, 2);
    for (outcome, key) in [(&done.outcomes[1], reader), (&done.outcomes[5], writer)] {
        assert_eq!(outcome.api_key.clone().map(without_usage), Some(without_usage(key)));
    }
    for (text, is_left) in
        [(&writer_text, false), (&boss_text, true), (&foreign_text, true), (&reader_text, false)]
    {
        assert_eq!(sidecar.authorize(text, "media.read").await.allowed, is_left);
    }
    // Once more, they are gone.
    let again = batch(&sidecar, &admin, &asked, false).await.unwrap();
    assert_eq!((again.revoked_count, again.outcomes[5].code), (0, Code::NotFound as i32));
    sidecar.finish().await;
}

#[tokio::test]
async fn a_batch_names_1_to_1000_keys_each_once_or_nothing_is_revoked() {
    let sidecar = Sidecar::start();
    let token = sidecar.operator_token();
    let (key, text) = create(&sidecar, new_key("writer", "")).await;
    let mut many: Vec<String> = (0..1000).map(|number| format!("{number:010}")).collect();
    let mut too_many = many.clone();
    too_many.push(key.id.clone());
    let twice = [key.id.clone(), "0000000000".into(), key.id.clone()];
    let before = revision(&sidecar).await;
    for (wrong, says) in [
        (&[][..], "at least one"),
        (&twice, key.id.as_str()),
        (&too_many, "names 1001 keys; at most 1000"),
    ] {
        for dry_run in [true, false] {
            let status = batch(&sidecar, &token, wrong, dry_run).await.unwrap_err();
            assert_eq!(invalid_fields(&status), ["ids"]);
            assert!(status.message().contains(says), "{status}");
        }
    }
    assert_eq!(revision(&sidecar).await, before);
    assert!(sidecar.authorize(&text, "media.read").await.allowed);
    many[777].clone_from(&key.id);
    let most = batch(&sidecar, &token, &many, false).await.unwrap();
    assert_eq!((ids(&most.outcomes), most.revoked_count), (many, 1));
    assert_eq!(most.outcomes[777].api_key.as_ref().unwrap().id, key.id);
    assert!(!sidecar.authorize(&text, "media.read").await.allowed);
    sidecar.finish().await;
}

#[tokio::test]
async fn whoever_may_not_revoke_is_told_so_for_each_key() {
    let sidecar = Sidecar::start();
    let (key, text) = create(&sidecar, new_key("editor", "")).await;
    let asked = [key.id.clone(), "0000000000".into()];
    for dry_run in [true, false] {
        let answer = batch(&sidecar, &text, &asked, dry_run).await.unwrap();
        assert_eq!((ids(&answer.outcomes), answer.revoked_count), (asked.to_vec(), 0));
        for outcome in answer.outcomes {
            assert_eq!((outcome.code, outcome.api_key), (Code::PermissionDenied as i32, None));
            assert!(outcome.message.contains("`api_keys.revoke`"), "{}", outcome.message);
        }
    }
    let status = batch(&sidecar, "nobody", &asked, true).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(sidecar.authorize(&text, "media.read").await.allowed);
    sidecar.finish().await;
}
