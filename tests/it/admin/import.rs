//! Import: keys that were issued elsewhere go on working, by their digests.

use octavia_authz::pb::v1::{
    DecisionReason, GetApiKeyRequest, ImportApiKeysRequest, ImportApiKeysResponse, ImportedKey,
    ListApiKeysRequest, imported_key::Digest,
};
use sha2::Digest as _;
use tonic::{Code, Status};

use super::{create, new_key};
use crate::sidecar::{PATIENCE, Sidecar};

/// Imports as `credential`; the answers are summed up.
async fn import_as(
    sidecar: &Sidecar,
    credential: &str,
    messages: Vec<ImportApiKeysRequest>,
) -> Result<ImportApiKeysResponse, Status> {
    let mut keys = sidecar.keys_as(credential).await;
    let mut answers = keys.import_api_keys(tokio_stream::iter(messages)).await?.into_inner();
    let mut all = ImportApiKeysResponse::default();
    while let Some(answer) = answers.message().await? {
        all.imported_count += answer.imported_count;
        all.existing_count += answer.existing_count;
        all.failed_count += answer.failed_count;
        all.failures.extend(answer.failures);
    }
    Ok(all)
}

async fn import(sidecar: &Sidecar, keys: Vec<ImportedKey>) -> ImportApiKeysResponse {
    let message = ImportApiKeysRequest { keys, dry_run: false };
    import_as(sidecar, &sidecar.operator_token(), vec![message]).await.unwrap()
}

fn sha256(text: &str) -> Option<Digest> {
    let digest = sha2::Sha256::digest(text.as_bytes());
    Some(Digest::Sha256(digest.iter().map(|byte| format!("{byte:02x}")).collect()))
}

fn blake3(text: &str) -> Option<Digest> {
    Some(Digest::Blake3(blake3::hash(text.as_bytes()).to_hex().to_uppercase()))
}

fn key(name: &str, digest: Option<Digest>) -> ImportedKey {
    ImportedKey { name: name.into(), role: "writer".into(), digest, ..Default::default() }
}

fn counts(response: &ImportApiKeysResponse) -> (u64, u64, u64) {
    (response.imported_count, response.existing_count, response.failed_count)
}

async fn reason(sidecar: &Sidecar, text: &str) -> DecisionReason {
    sidecar.authorize(text, "articles.create").await.reason()
}

async fn scheme(sidecar: &Sidecar, id: &str) -> String {
    let request = GetApiKeyRequest { id: id.into() };
    let got = sidecar.keys().await.get_api_key(request).await.unwrap().into_inner();
    got.api_key.unwrap().secrets[0].digest_scheme.clone()
}

#[tokio::test]
async fn imported_keys_work_by_the_texts_that_their_owners_have() {
    let sidecar = Sidecar::start();
    let texts = ["sk_live_4eC39HqLyjWDarjtT1zdp7dc", "Ключ мой, 鍵", "a"];
    // Before there is an imported key, such a text is no key's at all.
    for text in texts {
        assert_eq!(reason(&sidecar, text).await, DecisionReason::KeyMalformed);
    }
    let keys = vec![
        key("one", sha256(texts[0])),
        key("two", blake3(texts[1])),
        ImportedKey { hint: "…a".into(), ..key("three", sha256(texts[2])) },
    ];
    assert_eq!(counts(&import(&sidecar, keys.clone()).await), (3, 0, 0));
    for text in texts {
        let decision = sidecar.authorize(text, "articles.create").await;
        assert_eq!(decision.reason(), DecisionReason::Allowed);
        assert_eq!((decision.key_id.len(), decision.role.as_str()), (10, "writer"));
        assert_eq!(
            sidecar.authorize(text, "articles.delete").await.reason(),
            DecisionReason::ActionDenied
        );
        assert_eq!(reason(&sidecar, &format!("{text} ")).await, DecisionReason::KeyUnknown);
    }
    // An imported key is a bearer of the admin API, too.
    let admin = ImportedKey { role: "super_admin".into(), ..key("four", sha256("boss")) };
    import(&sidecar, vec![admin]).await;
    let get = GetApiKeyRequest { id: "0000000000".into() };
    let status = sidecar.keys_as("boss").await.get_api_key(get).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_sha256_digest_becomes_ours_at_the_first_use_and_is_still_known() {
    let dir = tempfile::TempDir::new().unwrap();
    let mut sidecar = Sidecar::start_on(dir.path(), &[]);
    let keys = vec![key("one", sha256("first")), key("two", sha256("second"))];
    assert_eq!(counts(&import(&sidecar, keys.clone()).await), (2, 0, 0));
    let id = sidecar.authorize("first", "articles.create").await.key_id;
    let started = std::time::Instant::now();
    while scheme(&sidecar, &id).await != "blake3" {
        assert!(started.elapsed() < PATIENCE);
    }
    for _ in 0..2 {
        assert_eq!(counts(&import(&sidecar, keys.clone()).await), (0, 2, 0));
        for text in ["first", "second"] {
            assert_eq!(reason(&sidecar, text).await, DecisionReason::Allowed);
        }
        assert_eq!(scheme(&sidecar, &id).await, "blake3");
        sidecar.kill();
        sidecar = Sidecar::start_on(dir.path(), &[]);
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn an_imported_key_is_revoked_and_rotated_like_any_other() {
    let sidecar = Sidecar::start();
    import(&sidecar, vec![key("one", sha256("first")), key("two", sha256("second"))]).await;
    let ids = [
        sidecar.authorize("first", "articles.create").await.key_id,
        sidecar.authorize("second", "articles.create").await.key_id,
    ];
    let mut keys = sidecar.keys().await;
    let revoke =
        octavia_authz::pb::v1::RevokeApiKeyRequest { id: ids[0].clone(), ..Default::default() };
    keys.revoke_api_key(revoke).await.unwrap();
    assert_eq!(reason(&sidecar, "first").await, DecisionReason::KeyUnknown);
    let rotate = octavia_authz::pb::v1::RotateApiKeyRequest {
        id: ids[1].clone(),
        overlap: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        ..Default::default()
    };
    let rotated = keys.rotate_api_key(rotate.clone()).await.unwrap().into_inner();
    assert!(rotated.key.starts_with(&format!("octv_{}_", ids[1])));
    for text in [rotated.key.as_str(), "second"] {
        assert_eq!(reason(&sidecar, text).await, DecisionReason::Allowed, "{text}");
    }
    let again = octavia_authz::pb::v1::RotateApiKeyRequest { overlap: None, ..rotate };
    keys.rotate_api_key(again).await.unwrap();
    // The last foreign secret is gone: its text is no key's any more.
    for (text, expected) in [
        (rotated.key.as_str(), DecisionReason::KeyUnknown),
        ("second", DecisionReason::KeyMalformed),
    ] {
        assert_eq!(reason(&sidecar, text).await, expected, "{text}");
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn a_key_of_ours_is_imported_under_its_own_id() {
    let (origin, sidecar) = (Sidecar::start(), Sidecar::start());
    let (theirs, text) = create(&origin, new_key("writer", "")).await;
    let mut imported = ImportedKey { id: theirs.id.clone(), ..key("one", sha256(&text)) };
    assert_eq!(counts(&import(&sidecar, vec![imported.clone()]).await), (1, 0, 0));
    assert_eq!(sidecar.authorize(&text, "articles.create").await.key_id, theirs.id);
    assert_eq!(counts(&import(&sidecar, vec![imported.clone()]).await), (0, 1, 0));
    imported.digest = sha256("another text");
    let refused = import(&sidecar, vec![imported]).await;
    assert_eq!(counts(&refused), (0, 0, 1));
    assert!(refused.failures[0].message.contains("`id`"), "{refused:?}");
    origin.finish().await;
    sidecar.finish().await;
}

#[tokio::test]
async fn what_is_wrong_with_one_key_does_not_keep_the_others() {
    let sidecar = Sidecar::start();
    let now = octavia_authz::clock::Clock::System.now().0 / 1000;
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let hex = |hex: &str| Some(Digest::Sha256(hex.into()));
    let keys = vec![
        key("good", sha256("good")),
        key("none", None),
        key("short", hex("abcd")),
        key("odd", hex(&"zz".repeat(32))),
        key("", sha256("1")),
        ImportedKey { role: "king".into(), ..key("role", sha256("2")) },
        ImportedKey { grants: vec!["billing.read".into()], ..key("grant", sha256("3")) },
        ImportedKey { expire_time: at(now - 10), ..key("expired", sha256("4")) },
        ImportedKey { create_time: at(now + 1000), ..key("future", sha256("5")) },
        ImportedKey { last_used_time: at(now + 1000), ..key("used", sha256("6")) },
        ImportedKey { id: "no id".into(), ..key("id", sha256("7")) },
        ImportedKey { hint: "x".repeat(33), ..key("hint", sha256("8")) },
        ImportedKey { status: 7, ..key("status", sha256("9")) },
        key("good", sha256("good")),
        ImportedKey { id: "0123456789".into(), ..key("mine", sha256("10")) },
        ImportedKey { id: "0123456789".into(), ..key("mine, too", sha256("11")) },
        key("good too", blake3("good too")),
    ];
    let count = keys.len() as u64;
    let answer = import(&sidecar, keys).await;
    assert_eq!(counts(&answer), (3, 1, count - 4), "{answer:?}");
    let failed: Vec<u64> = answer.failures.iter().map(|failure| failure.index).collect();
    assert_eq!(failed, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15]);
    for failure in &answer.failures {
        assert_eq!(failure.code, Code::InvalidArgument as i32, "{failure:?}");
        assert!(failure.message.contains('`'), "{failure:?}");
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_and_changes_nothing() {
    let sidecar = Sidecar::start();
    let keys = vec![key("one", sha256("first")), key("none", None)];
    let message = ImportApiKeysRequest { keys, dry_run: true };
    let token = sidecar.operator_token();
    let answer = import_as(&sidecar, &token, vec![message.clone(), message]).await.unwrap();
    assert_eq!(counts(&answer), (2, 0, 2));
    assert_eq!(reason(&sidecar, "first").await, DecisionReason::KeyMalformed);
    sidecar.finish().await;
}

#[tokio::test]
async fn nobody_imports_more_than_they_hold_or_without_the_right() {
    let sidecar = Sidecar::start();
    let mut admin = new_key("admin", "web");
    admin.grants = vec!["api_keys.create".into()];
    let (_, admin) = create(&sidecar, admin).await;
    let message = |role: &str, team: &str| ImportApiKeysRequest {
        keys: vec![ImportedKey {
            role: role.into(),
            team: team.into(),
            ..key("one", sha256(&format!("{role}{team}")))
        }],
        dry_run: false,
    };
    for (role, team, expected) in
        [("super_admin", "", 1), ("writer", "apps", 1), ("writer", "", 0), ("editor", "web", 0)]
    {
        let answer = import_as(&sidecar, &admin, vec![message(role, team)]).await.unwrap();
        assert_eq!(answer.failed_count, expected, "{role} {team}");
        for failure in &answer.failures {
            assert_eq!(failure.code, Code::PermissionDenied as i32);
        }
    }
    let (_, writer) = create(&sidecar, new_key("writer", "web")).await;
    let status = import_as(&sidecar, &writer, vec![message("read_only", "")]).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("api_keys.create"), "{status}");
    let status = import_as(&sidecar, "nobody", vec![]).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let many = ImportApiKeysRequest { keys: vec![key("x", None); 1001], dry_run: false };
    let token = sidecar.operator_token();
    let status = import_as(&sidecar, &token, vec![many]).await.unwrap_err();
    assert_eq!(super::invalid_fields(&status), ["keys"]);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_text_that_was_imported_as_two_keys_is_neithers_until_one_is_revoked() {
    let sidecar = Sidecar::start();
    import(&sidecar, vec![key("by sha256", sha256("twice"))]).await;
    import(&sidecar, vec![key("by blake3", blake3("twice"))]).await;
    assert_eq!(reason(&sidecar, "twice").await, DecisionReason::KeyUnknown);
    let mut keys = sidecar.keys().await;
    let listed =
        keys.list_api_keys(ListApiKeysRequest::default()).await.unwrap().into_inner().api_keys;
    let by = |name: &str| listed.iter().find(|key| key.name == name).unwrap().id.clone();
    let revoke =
        |id: String| octavia_authz::pb::v1::RevokeApiKeyRequest { id, ..Default::default() };
    keys.revoke_api_key(revoke(by("by blake3"))).await.unwrap();
    let decision = sidecar.authorize("twice", "articles.create").await;
    assert_eq!((decision.allowed, decision.key_id), (true, by("by sha256")));
    keys.revoke_api_key(revoke(by("by sha256"))).await.unwrap();
    assert_eq!(reason(&sidecar, "twice").await, DecisionReason::KeyMalformed);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_dry_run_leaves_the_record_of_refusals_alone() {
    let sidecar = Sidecar::start();
    let (_, reader) = create(&sidecar, new_key("read_only", "")).await;
    let message = ImportApiKeysRequest { keys: vec![key("one", sha256("1"))], dry_run: true };
    for _ in 0..150 {
        import_as(&sidecar, &reader, vec![message.clone()]).await.unwrap_err();
    }
    let mut maintenance = sidecar.maintenance_as(&sidecar.operator_token()).await;
    let request = octavia_authz::pb::v1::GetStatusRequest {};
    let revision = maintenance.get_status(request).await.unwrap().into_inner().revision;
    let real = ImportApiKeysRequest { dry_run: false, ..message };
    import_as(&sidecar, &reader, vec![real]).await.unwrap_err();
    let after = maintenance.get_status(request).await.unwrap().into_inner().revision;
    assert_eq!((revision, after), (1, 2));
    sidecar.finish().await;
}

#[tokio::test]
async fn an_import_whose_use_cannot_be_written_says_that_keys_were_imported() {
    let sidecar = Sidecar::start();
    let used = prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 };
    let keys = vec![ImportedKey { last_used_time: Some(used), ..key("one", sha256("a text")) }];
    let message = || vec![ImportApiKeysRequest { keys: keys.clone(), dry_run: false }];
    let (usage, away) = (sidecar.dir().join("usage"), sidecar.dir().join("away"));
    std::fs::rename(&usage, &away).unwrap();
    let error = import_as(&sidecar, &sidecar.operator_token(), message()).await.unwrap_err();
    std::fs::rename(&away, &usage).unwrap();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains("keys were imported"), "{error}");
    let again = import_as(&sidecar, &sidecar.operator_token(), message()).await.unwrap();
    assert_eq!(counts(&again), (0, 1, 0));
    assert_eq!(reason(&sidecar, "a text").await, DecisionReason::Allowed);
    sidecar.finish().await;
}
