//! An expiration as people write it: an instant, a date, a duration, or lifetime.

use octavia_authz::{
    clock::Clock,
    pb::v1::{ApiKey, CreateApiKeyRequest, GetApiKeyRequest, UpdateApiKeyRequest},
};
use prost_types::Timestamp;
use tonic::Status;

use super::{create, invalid_fields, new_key, update};
use crate::sidecar::Sidecar;

const DAY: i64 = 24 * 60 * 60 * 1000;

fn now() -> i64 {
    Clock::System.now().0
}

fn millis(key: &ApiKey) -> Option<i64> {
    key.expire_time.map(|at| at.seconds * 1000 + i64::from(at.nanos) / 1_000_000)
}

fn at(millis: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: millis / 1000, nanos: 0 })
}

/// The key when created with this expiration, and when changed to it.
async fn both_ways(sidecar: &Sidecar, text: &str) -> [Result<ApiKey, Status>; 2] {
    let mut keys = sidecar.keys().await;
    let new = |expiration: &str| CreateApiKeyRequest {
        expiration: expiration.into(),
        ..new_key("writer", "")
    };
    let created = keys.create_api_key(new(text)).await;
    let (key, _) = create(sidecar, new("1d")).await;
    let change = UpdateApiKeyRequest {
        expiration: text.into(),
        ..update(&key.id, &["expire_time"], ApiKey::default())
    };
    let updated = keys.update_api_key(change).await;
    [
        created.map(|answer| answer.into_inner().api_key.unwrap()),
        updated.map(|answer| answer.into_inner().api_key.unwrap()),
    ]
}

#[tokio::test]
async fn every_form_of_an_expiration_is_shown_as_the_instant_that_it_means() {
    let sidecar = Sidecar::start();
    for (text, expected) in [
        ("2099-01-31T12:00:00Z", Some(4_073_544_000_000)),
        ("2099-01-31T12:00:00.5Z", Some(4_073_544_000_500)),
        ("2099-01-31T12:00:00+02:00", Some(4_073_536_800_000)),
        // Valid through that day.
        ("2099-01-31", Some(4_073_587_200_000)),
        ("2096-02-29", Some(3_981_398_400_000)),
        ("2099-12-31", Some(4_102_444_800_000)),
        ("lifetime", None),
        ("LifeTime", None),
    ] {
        for key in both_ways(&sidecar, text).await {
            assert_eq!(millis(&key.unwrap()), expected, "{text}");
        }
    }
    for (text, length) in
        [("90s", 90_000), ("30m", DAY / 48), ("12h", DAY / 2), ("90d", 90 * DAY), ("2w", 14 * DAY)]
    {
        let before = now();
        for key in both_ways(&sidecar, text).await {
            let from = millis(&key.unwrap()).unwrap() - length;
            assert!((before..=now()).contains(&from), "{text}: {before} {from}");
        }
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn a_key_that_expires_today_is_accepted_through_today() {
    let sidecar = Sidecar::start();
    let day = now() / DAY;
    let today = Clock::System.now().to_string();
    let new = CreateApiKeyRequest { expiration: today[..10].into(), ..new_key("writer", "") };
    let created = sidecar.keys().await.create_api_key(new).await;
    if now() / DAY != day {
        // It was midnight.
        return;
    }
    let created = created.unwrap().into_inner();
    assert_eq!(millis(&created.api_key.unwrap()), Some((day + 1) * DAY));
    let allowed = sidecar.authorize(&created.key, "articles.create").await.allowed;
    assert!(allowed || now() / DAY != day);
    let yesterday = octavia_authz::clock::Timestamp(now() - DAY).to_string();
    for refused in both_ways(&sidecar, &yesterday[..10]).await {
        assert_eq!(invalid_fields(&refused.unwrap_err()), ["expire_time"]);
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn what_is_no_expiration_says_what_is_one() {
    let sidecar = Sidecar::start();
    for garbage in
        ["soon", "90", "-5d", "5 d", "1.5h", "d", "2027-01-31 12:00", "31.01.2099", " ", "never"]
    {
        for refused in both_ways(&sidecar, garbage).await {
            let status = refused.unwrap_err();
            assert_eq!(invalid_fields(&status), ["expiration"], "{garbage}");
            for form in ["`2027-01-31T12:00:00Z`", "`2027-01-31`", "`90d`", "`lifetime`"] {
                assert!(status.message().contains(form), "{garbage}: {status}");
            }
        }
    }
    for (text, field, says) in [
        ("2027-02-30", "expiration", "no such day"),
        ("0d", "expiration", "valid for some time"),
        ("99999999999999999999d", "expiration", "too far away"),
        ("2001-01-01", "expire_time", "in the future"),
        ("2001-01-01T00:00:00Z", "expire_time", "in the future"),
        ("9999-12-31", "expir", ""),
        ("5000000w", "expir", ""),
    ] {
        for refused in both_ways(&sidecar, text).await {
            let status = refused.unwrap_err();
            let [named] = &invalid_fields(&status)[..] else { panic!("{text}: {status}") };
            assert!(named.starts_with(field), "{text}: {named}");
            assert!(status.message().contains(says), "{text}: {status}");
        }
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn both_forms_at_once_or_a_mask_without_it_are_refused_and_nothing_is_changed() {
    let sidecar = Sidecar::start();
    let mut keys = sidecar.keys().await;
    let in_a_day = at(now() + DAY);
    for expiration in ["lifetime", "90d", "2099-01-31", "soon"] {
        let new = CreateApiKeyRequest {
            expire_time: in_a_day,
            expiration: expiration.into(),
            ..new_key("writer", "")
        };
        let status = keys.create_api_key(new).await.unwrap_err();
        assert_eq!(invalid_fields(&status), ["expiration"], "{expiration}");
        assert!(status.message().contains("not both"), "{status}");
    }
    let new = CreateApiKeyRequest { expire_time: in_a_day, ..new_key("writer", "") };
    let (key, _) = create(&sidecar, new).await;
    let timed = ApiKey { expire_time: at(now() + 2 * DAY), ..Default::default() };
    let both = UpdateApiKeyRequest {
        expiration: "90d".into(),
        ..update(&key.id, &["expire_time"], timed)
    };
    let status = keys.update_api_key(both).await.unwrap_err();
    assert_eq!(invalid_fields(&status), ["expiration"]);
    assert!(status.message().contains("not both"), "{status}");
    let named = ApiKey { name: "b".into(), ..Default::default() };
    let unmasked =
        UpdateApiKeyRequest { expiration: "90d".into(), ..update(&key.id, &["name"], named) };
    let status = keys.update_api_key(unmasked).await.unwrap_err();
    assert_eq!(invalid_fields(&status), ["update_mask"]);
    let same = keys.get_api_key(GetApiKeyRequest { id: key.id.clone() }).await.unwrap();
    assert_eq!(same.into_inner().api_key, Some(key));
    drop(keys);
    sidecar.finish().await;
}
