//! What the fields of a key may be, and what they are when nothing is said.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use octavia_authz::pb::v1::{
    ApiKey, CreateApiKeyRequest, GetApiKeyRequest, KeyStatus, RevokeApiKeyRequest,
    RotateApiKeyRequest,
};
use prost_types::Timestamp;
use tonic::Code;

use super::{create, invalid_fields, new_key, update};
use crate::sidecar::Sidecar;

const YEAR_10000: i64 = 253_402_300_800;

fn labels(count: usize) -> HashMap<String, String> {
    (0..count).map(|n| (format!("label-{n}"), "value".into())).collect()
}

fn label(name: impl Into<String>, value: impl Into<String>) -> HashMap<String, String> {
    HashMap::from([(name.into(), value.into())])
}

fn at(seconds: i64, nanos: i32) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos })
}

/// A valid new key, but for what `change` does to it.
fn but(change: impl FnOnce(&mut CreateApiKeyRequest)) -> CreateApiKeyRequest {
    let mut new = new_key("writer", "");
    change(&mut new);
    new
}

#[tokio::test]
async fn what_is_not_said_has_a_default() {
    let sidecar = Sidecar::start();
    let before = SystemTime::now() - Duration::from_millis(1);
    let minimal =
        CreateApiKeyRequest { name: "a name".into(), role: "writer".into(), ..Default::default() };
    let (key, text) = create(&sidecar, minimal).await;
    let made = key.create_time.unwrap();
    let made_at = SystemTime::try_from(made).unwrap();
    assert!(before <= made_at && made_at <= SystemTime::now(), "{made_at:?}");
    let secret = &key.secrets[0];
    assert_eq!(key.secrets.len(), 1);
    assert_eq!(secret.hint, format!("octv_{}_…{}", key.id, &text[50..]));
    let expected = ApiKey {
        id: text[5..15].into(),
        name: "a name".into(),
        team: "default".into(),
        service: "ai-cms".into(),
        role: "writer".into(),
        status: KeyStatus::Active.into(),
        create_time: Some(made),
        update_time: Some(made),
        subject: key.id.clone(),
        created_by: "operator".into(),
        etag: key.etag.clone(),
        secrets: key.secrets.clone(),
        // Known from the beginning, and so never used.
        usage_since_time: Some(made),
        ..Default::default()
    };
    assert_eq!(key, expected);
    assert!(!key.etag.is_empty());
    let get = GetApiKeyRequest { id: key.id.clone() };
    let read = sidecar.keys().await.get_api_key(get).await.unwrap().into_inner();
    assert_eq!(read.api_key.unwrap(), key);
    sidecar.finish().await;
}

#[tokio::test]
async fn what_is_just_within_a_limit_is_kept_as_it_is() {
    let sidecar = Sidecar::start();
    let full = CreateApiKeyRequest {
        expiration: String::new(),
        name: "é".repeat(128),
        service: "ai-cms".into(),
        role: "admin".into(),
        expire_time: at(YEAR_10000 - 1, 999_000_000),
        status: KeyStatus::Inactive.into(),
        team: format!("T.{}", "_-".repeat(30)),
        grants: vec!["billing.update".into(), "billing.read".into()],
        subject: "ü".repeat(256),
        description: format!("{}\n\t", "ß".repeat(1022)),
        labels: labels(63)
            .into_iter()
            .chain(label("n/".repeat(31) + "n", "w".repeat(256)))
            .collect(),
    };
    let (key, _) = create(&sidecar, full.clone()).await;
    assert_eq!(key.grants, ["billing.read", "billing.update"]);
    let again = CreateApiKeyRequest {
        expiration: String::new(),
        name: key.name.clone(),
        service: key.service.clone(),
        role: key.role.clone(),
        expire_time: key.expire_time,
        status: key.status,
        team: key.team.clone(),
        grants: full.grants.clone(),
        subject: key.subject.clone(),
        description: key.description.clone(),
        labels: key.labels.clone(),
    };
    assert_eq!(again, full);
    sidecar.finish().await;
}

#[tokio::test]
async fn what_is_beyond_a_limit_is_named() {
    let sidecar = Sidecar::start();
    let mut keys = sidecar.keys().await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
    let mut cases = Vec::new();
    for name in [
        "",
        " a",
        "a ",
        "a\nb",
        "a\u{1b}[31m",
        "a\u{202e}b",
        "a\u{200b}b",
        "a\u{2060}b",
        &"é".repeat(129),
    ] {
        cases.push(("name", but(|new| new.name = name.into())));
    }
    for role in ["", "Writer", "writer ", "owner"] {
        cases.push(("role", but(|new| new.role = role.into())));
    }
    for team in ["!", "-web", "a b", "wéb", "a/b", &"t".repeat(64)] {
        cases.push(("team", but(|new| new.team = team.into())));
    }
    for subject in ["a\0b", &"s".repeat(257)] {
        cases.push(("subject", but(|new| new.subject = subject.into())));
    }
    for description in ["a\u{7}b", "a\rb", &"d".repeat(1025)] {
        cases.push(("description", but(|new| new.description = description.into())));
    }
    let bad_labels = [
        labels(65),
        label("", "v"),
        label("é", "v"),
        label("a b", "v"),
        label("n".repeat(64), "v"),
        label("n", "v".repeat(257)),
        label("n", "a\nb"),
    ];
    for labels in bad_labels {
        cases.push(("labels", but(|new| new.labels = labels)));
    }
    let bad_times = [
        at(0, 0),
        at(-1, 0),
        at(i64::MIN, 0),
        at(i64::MAX, 0),
        at(now - 1, 0),
        at(now + 60, -1),
        at(now + 60, 1_000_000_000),
        at(YEAR_10000, 0),
    ];
    for time in bad_times {
        cases.push(("expire_time", but(|new| new.expire_time = time)));
    }
    for (field, new) in cases {
        let status = keys.create_api_key(new.clone()).await.expect_err(&format!("{new:?}"));
        assert_eq!(invalid_fields(&status), [field], "{new:?}");
        // No message carries what could steer a terminal.
        assert!(!status.message().contains(['\u{1b}', '\u{202e}', '\u{7}']), "{status}");
    }
    let listed = keys.list_api_keys(octavia_authz::pb::v1::ListApiKeysRequest::default()).await;
    assert_eq!(listed.unwrap().into_inner().total_size, 0);
    sidecar.finish().await;
}

#[tokio::test]
async fn all_invalid_fields_are_named_at_once() {
    let sidecar = Sidecar::start();
    let mut keys = sidecar.keys().await;
    let new = CreateApiKeyRequest {
        team: "!".into(),
        subject: "s".repeat(257),
        description: "d".repeat(1025),
        labels: label("", "v"),
        expire_time: at(1, 0),
        ..Default::default()
    };
    let status = keys.create_api_key(new).await.unwrap_err();
    let all = ["name", "team", "subject", "description", "labels", "expire_time", "role"];
    assert_eq!(invalid_fields(&status), all);
    for field in all {
        assert!(status.message().contains(&format!("`{field}`")), "{status}");
    }
    // What the wire's types let through.
    let new = but(|new| (new.status, new.expire_time) = (9, at(0, -1)));
    let status = keys.create_api_key(new).await.unwrap_err();
    assert_eq!(invalid_fields(&status), ["status", "expire_time"]);

    let (key, _) = sidecar.create("writer").await;
    let values = ApiKey { status: 9, expire_time: at(0, -1), ..Default::default() };
    let paths = ["status", "team", "expire_time", "id"];
    let status = keys.update_api_key(update(&key.id, &paths, values)).await.unwrap_err();
    assert_eq!(invalid_fields(&status), ["status", "update_mask", "expire_time", "update_mask"]);
    let paths = ["name", "role", "description"];
    let values = ApiKey { description: "d".repeat(1025), ..Default::default() };
    let status = keys.update_api_key(update(&key.id, &paths, values)).await.unwrap_err();
    assert_eq!(invalid_fields(&status), ["name", "description", "role"]);
    sidecar.finish().await;
}

#[tokio::test]
async fn an_answer_fits_a_header_however_much_is_wrong() {
    let sidecar = Sidecar::start();
    let mut keys = sidecar.keys().await;
    let long = "é".repeat(300);
    let grants = (0..200).map(|n| format!("{n}{long}")).collect();
    let status = keys.create_api_key(but(|new| new.grants = grants)).await.unwrap_err();
    assert!(invalid_fields(&status).iter().all(|field| field == "grants"), "{status}");
    assert!(status.message().contains("more"), "{status}");
    let bad = (0..200).map(|n| (format!("{n}{long}"), long.clone())).collect();
    let status = keys.create_api_key(but(|new| new.labels = bad)).await.unwrap_err();
    assert!(invalid_fields(&status).iter().all(|field| field == "labels"), "{status}");
    assert!(status.message().len() < 4096);

    let (key, _) = sidecar.create("writer").await;
    let etag = "e".repeat(100_000);
    let rotate =
        RotateApiKeyRequest { id: key.id.clone(), etag: etag.clone(), ..Default::default() };
    assert_eq!(keys.rotate_api_key(rotate).await.unwrap_err().code(), Code::Aborted);
    let paths: Vec<String> = (0..200).map(|n| format!("{n}{long}")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let status = keys.update_api_key(update(&key.id, &paths, ApiKey::default())).await.unwrap_err();
    assert!(!invalid_fields(&status).is_empty());
    let revoke = RevokeApiKeyRequest { id: "x".repeat(100_000), etag };
    assert_eq!(keys.revoke_api_key(revoke).await.unwrap_err().code(), Code::NotFound);
    sidecar.finish().await;
}

#[tokio::test]
async fn an_id_that_is_none_is_not_found_and_an_empty_one_invalid() {
    let sidecar = Sidecar::start();
    let mut keys = sidecar.keys().await;
    let (key, text) = sidecar.create("writer").await;
    let named = ApiKey { name: "b".into(), ..Default::default() };
    let (almost, long) = (format!(" {text}"), "x".repeat(1000));
    let ids = ["", "0000000000", "x", "é", "a\u{200b}", &key.id.to_lowercase(), &text, &text[..20]];
    for id in ids.into_iter().chain(["0000000000 ", &almost, &long]) {
        if id == key.id {
            continue;
        }
        let rotate = RotateApiKeyRequest { id: id.into(), ..Default::default() };
        let revoke = RevokeApiKeyRequest { id: id.into(), ..Default::default() };
        for answer in [
            keys.get_api_key(GetApiKeyRequest { id: id.into() }).await.map(drop),
            keys.update_api_key(update(id, &["name"], named.clone())).await.map(drop),
            keys.rotate_api_key(rotate).await.map(drop),
            keys.revoke_api_key(revoke).await.map(drop),
        ] {
            let status = answer.unwrap_err();
            match id {
                "" => assert_eq!(invalid_fields(&status), ["id"]),
                id if id.trim().starts_with("octv_") => {
                    assert_eq!(invalid_fields(&status), ["id"], "{id:?}");
                    assert!(status.message().contains("never send a key's text"), "{status}");
                }
                id => assert_eq!(status.code(), Code::NotFound, "{id:?}"),
            }
            // Neither much of what was sent, nor the key of a text.
            assert!(status.message().len() < 160, "{status}");
            assert!(!format!("{status:?}").contains(&text[5..20]), "{status:?}");
            assert!(!status.message().contains('\u{200b}'), "{status}");
        }
    }
    sidecar.finish().await;
}

/// One request must not hold up the writer, nor fill the journal.
#[tokio::test]
async fn a_request_full_of_mistakes_is_refused_quickly_and_recorded_short() {
    let sidecar = Sidecar::start();
    let mut keys = sidecar.keys().await;
    let text = format!("octv_{}", "x".repeat(43));
    let grants = vec![text.clone(); 4000];
    for new in [
        CreateApiKeyRequest { grants, ..new_key("admin", "") },
        CreateApiKeyRequest { grants: vec!["a".into(); 80_000], ..new_key("admin", "") },
        CreateApiKeyRequest { description: text.repeat(4000), ..new_key("admin", "") },
    ] {
        let status = keys.create_api_key(new).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
    }
    let journal = sidecar.dir().join("journal");
    let written: u64 = std::fs::read_dir(journal)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(written < 8 << 10, "{written} bytes");
    sidecar.finish().await;
}
