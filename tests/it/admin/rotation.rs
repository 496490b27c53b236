//! Rotation: a new secret, and how long the one before is still accepted.

use octavia_authz::pb::v1::{DecisionReason, RotateApiKeyRequest, RotateApiKeyResponse};
use prost_types::Duration;
use tonic::Status;

use super::{create, invalid_fields, new_key, switched_off, update};
use crate::sidecar::{PATIENCE, Sidecar};

const DAY: i64 = 24 * 60 * 60;

async fn rotate(
    sidecar: &Sidecar,
    id: &str,
    overlap: Option<Duration>,
) -> Result<RotateApiKeyResponse, Status> {
    let request = RotateApiKeyRequest { id: id.into(), overlap, ..Default::default() };
    Ok(sidecar.keys().await.rotate_api_key(request).await?.into_inner())
}

fn days(days: i64) -> Option<Duration> {
    Some(Duration { seconds: days * DAY, nanos: 0 })
}

async fn reason(sidecar: &Sidecar, text: &str) -> DecisionReason {
    sidecar.authorize(text, "articles.create").await.reason()
}

#[tokio::test]
async fn both_secrets_are_accepted_during_an_overlap_and_each_says_what_it_is() {
    let sidecar = Sidecar::start();
    let (key, old) = create(&sidecar, new_key("writer", "")).await;
    let rotated = rotate(&sidecar, &key.id, days(7)).await.unwrap();
    for text in [&old, &rotated.key] {
        assert_eq!(reason(&sidecar, text).await, DecisionReason::Allowed);
    }
    assert_ne!(old, rotated.key);
    assert_eq!(rotated.dropped_secrets, []);
    let after = rotated.api_key.unwrap();
    assert_eq!((&after.id, &after.name, &after.role), (&key.id, &key.name, &key.role));
    let [new, before] = after.secrets.as_slice() else { panic!("{:?}", after.secrets) };
    assert_eq!((new.number, before.number), (2, 1));
    assert_eq!(before.hint, key.secrets[0].hint);
    assert_eq!(before.create_time, key.secrets[0].create_time);
    assert!(new.hint.ends_with(&rotated.key[50..]) && new.expire_time.is_none());
    let until = before.expire_time.unwrap().seconds - after.update_time.unwrap().seconds;
    assert_eq!(until, 7 * DAY);
    // What is not about secrets leaves them as they are.
    sidecar
        .keys()
        .await
        .update_api_key(update(&key.id, &["status"], switched_off()))
        .await
        .unwrap();
    for text in [&old, &rotated.key] {
        assert_eq!(reason(&sidecar, text).await, DecisionReason::KeyInactive);
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn the_old_secret_dies_at_its_instant() {
    let sidecar = Sidecar::start();
    let (key, old) = create(&sidecar, new_key("writer", "")).await;
    let overlap = Some(Duration { seconds: 0, nanos: 700_000_000 });
    let rotated = rotate(&sidecar, &key.id, overlap).await.unwrap();
    let secrets = &rotated.api_key.as_ref().unwrap().secrets;
    let dies = secrets[1].expire_time.unwrap();
    let dies = dies.seconds * 1000 + i64::from(dies.nanos) / 1_000_000;
    let started = std::time::Instant::now();
    loop {
        let before = octavia_authz::clock::Clock::System.now().0;
        let reason = reason(&sidecar, &old).await;
        let after = octavia_authz::clock::Clock::System.now().0;
        match reason {
            DecisionReason::Allowed => assert!(before < dies, "accepted too long"),
            DecisionReason::KeyUnknown => {
                assert!(after >= dies, "refused too early");
                break;
            }
            other => panic!("{other:?}"),
        }
        assert!(started.elapsed() < PATIENCE);
    }
    assert_eq!(reason(&sidecar, &rotated.key).await, DecisionReason::Allowed);
    sidecar.finish().await;
}

#[tokio::test]
async fn rotating_again_during_an_overlap_drops_the_oldest_at_once_and_says_so() {
    let sidecar = Sidecar::start();
    let (key, first) = create(&sidecar, new_key("writer", "")).await;
    let second = rotate(&sidecar, &key.id, days(7)).await.unwrap();
    let third = rotate(&sidecar, &key.id, days(30)).await.unwrap();
    assert_eq!(reason(&sidecar, &first).await, DecisionReason::KeyUnknown);
    assert_eq!(reason(&sidecar, &second.key).await, DecisionReason::Allowed);
    assert_eq!(reason(&sidecar, &third.key).await, DecisionReason::Allowed);
    let numbers = |secrets: &[octavia_authz::pb::v1::KeySecret]| {
        secrets.iter().map(|secret| secret.number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&third.dropped_secrets), [1]);
    assert_eq!(third.dropped_secrets[0].hint, key.secrets[0].hint);
    assert_eq!(numbers(&third.api_key.unwrap().secrets), [3, 2]);

    // Without an overlap all others end, and are named.
    let fourth = rotate(&sidecar, &key.id, None).await.unwrap();
    assert_eq!(numbers(&fourth.dropped_secrets), [3, 2]);
    assert_eq!(numbers(&fourth.api_key.unwrap().secrets), [4]);
    for text in [&second.key, &third.key] {
        assert_eq!(reason(&sidecar, text).await, DecisionReason::KeyUnknown);
    }
    assert_eq!(reason(&sidecar, &fourth.key).await, DecisionReason::Allowed);
    sidecar.finish().await;
}

#[tokio::test]
async fn an_overlap_is_0_to_90_days() {
    let sidecar = Sidecar::start();
    let (key, text) = create(&sidecar, new_key("writer", "")).await;
    for wrong in [
        Duration { seconds: -1, nanos: 0 },
        Duration { seconds: 90 * DAY, nanos: 1_000_000 },
        Duration { seconds: i64::MAX, nanos: 0 },
        Duration { seconds: i64::MIN, nanos: i32::MIN },
    ] {
        let status = rotate(&sidecar, &key.id, Some(wrong)).await.unwrap_err();
        assert_eq!(invalid_fields(&status), ["overlap"], "{wrong:?}");
        assert!(status.message().contains("90 days"), "{status}");
    }
    assert_eq!(reason(&sidecar, &text).await, DecisionReason::Allowed);
    rotate(&sidecar, &key.id, days(90)).await.unwrap();
    assert_eq!(reason(&sidecar, &text).await, DecisionReason::Allowed);
    sidecar.finish().await;
}

#[tokio::test]
async fn two_secrets_survive_a_restart() {
    let dir = tempfile::TempDir::new().unwrap();
    let sidecar = Sidecar::start_on(dir.path(), &[]);
    let (key, old) = create(&sidecar, new_key("writer", "")).await;
    let rotated = rotate(&sidecar, &key.id, days(7)).await.unwrap();
    sidecar.kill();
    let sidecar = Sidecar::start_on(dir.path(), &[]);
    for text in [&old, &rotated.key] {
        assert_eq!(reason(&sidecar, text).await, DecisionReason::Allowed);
    }
    sidecar.finish().await;
}
