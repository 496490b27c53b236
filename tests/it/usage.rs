//! When keys were last used, and how often: what the admin API of a real sidecar
//! shows of it, and what of that outlives the sidecar.

mod bounded;
mod counts;
mod daily;
mod finding;
mod killed;
mod lasting;
mod leaving;
mod touches;

use std::time::Instant;

use octavia_authz::{
    clock::Clock,
    pb::v1::{
        ApiKey, AuthorizeRequest, GetApiKeyRequest, ImportApiKeysRequest, ImportedKey,
        ListApiKeysRequest, RotateApiKeyRequest, RotateApiKeyResponse, imported_key::Digest,
    },
};
use prost_types::{Duration, Timestamp};

use crate::sidecar::Sidecar;

/// What a writer may do, and what it may not.
const ALLOWED: &str = "articles.create";
const DENIED: &str = "articles.publish";

/// What is shown of a key's use. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq)]
struct Use {
    allowed: u64,
    denied: u64,
    last: Option<i64>,
    /// Number and last use of each secret, the newest first.
    secrets: Vec<(u32, Option<i64>)>,
    since: i64,
}

impl Use {
    fn of(key: &ApiKey) -> Self {
        let secrets = key.secrets.iter();
        Self {
            allowed: key.allowed_count,
            denied: key.denied_count,
            last: key.last_used_time.map(millis),
            secrets: secrets.map(|of| (of.number, of.last_used_time.map(millis))).collect(),
            since: millis(key.usage_since_time.expect("since when its use is known")),
        }
    }

    fn counts(&self) -> (u64, u64) {
        (self.allowed, self.denied)
    }

    fn secret(&self, number: u32) -> Option<i64> {
        let secret = self.secrets.iter().find(|secret| secret.0 == number);
        secret.unwrap_or_else(|| panic!("no secret {number} in {self:?}")).1
    }

    /// Nothing went back since `before`.
    #[track_caller]
    fn assert_not_before(&self, before: &Self) {
        assert!(self.allowed >= before.allowed, "{before:?} {self:?}");
        assert!(self.denied >= before.denied, "{before:?} {self:?}");
        assert!(self.last >= before.last, "{before:?} {self:?}");
        for (number, last) in &self.secrets {
            let known = before.secrets.iter().find(|secret| secret.0 == *number);
            assert!(known.is_none_or(|known| *last >= known.1), "{before:?} {self:?}");
        }
    }
}

fn millis(at: Timestamp) -> i64 {
    at.seconds * 1000 + i64::from(at.nanos) / 1_000_000
}

/// The time, as the sidecar reads it.
fn now() -> i64 {
    Clock::System.now().0
}

/// Waits for the next millisecond, so that what follows is later. Gives it.
fn tick() -> i64 {
    let before = now();
    loop {
        let now = now();
        if now > before {
            return now;
        }
        std::hint::spin_loop();
    }
}

async fn get(sidecar: &Sidecar, id: &str) -> ApiKey {
    let request = GetApiKeyRequest { id: id.into() };
    sidecar.keys().await.get_api_key(request).await.unwrap().into_inner().api_key.unwrap()
}

/// All keys, in this order.
async fn list(sidecar: &Sidecar, order_by: &str) -> Vec<ApiKey> {
    let request =
        ListApiKeysRequest { page_size: 1000, order_by: order_by.into(), ..Default::default() };
    let page = sidecar.keys().await.list_api_keys(request).await.unwrap().into_inner();
    assert_eq!(page.next_page_token, "");
    page.api_keys
}

/// What is shown of a key that nobody uses meanwhile: the same wherever one looks.
async fn shown(sidecar: &Sidecar, id: &str) -> Use {
    let got = get(sidecar, id).await;
    let listed = list(sidecar, "").await;
    assert_eq!(listed.iter().find(|key| key.id == id), Some(&got));
    Use::of(&got)
}

/// The same, when its counts are these: within a second.
async fn counted(sidecar: &Sidecar, id: &str, counts: (u64, u64)) -> Use {
    let started = Instant::now();
    loop {
        let shown = shown(sidecar, id).await;
        if shown.counts() == counts {
            return shown;
        }
        assert!(started.elapsed().as_secs() < 1, "{counts:?} after a second: {shown:?}");
    }
}

fn asks(key: &str, action: &str) -> AuthorizeRequest {
    AuthorizeRequest { key: key.into(), action: action.into(), ..Default::default() }
}

async fn rotate(sidecar: &Sidecar, id: &str, overlap_s: i64) -> RotateApiKeyResponse {
    let overlap = Some(Duration { seconds: overlap_s, nanos: 0 });
    let request = RotateApiKeyRequest { id: id.into(), overlap, ..Default::default() };
    sidecar.keys().await.rotate_api_key(request).await.unwrap().into_inner()
}

/// A writer that is found by this text.
fn foreign(text: &str) -> ImportedKey {
    let digest = blake3::hash(text.as_bytes()).to_hex().to_string();
    ImportedKey {
        name: text.into(),
        role: "writer".into(),
        digest: Some(Digest::Blake3(digest)),
        ..Default::default()
    }
}

/// Imports all of these.
async fn import(sidecar: &Sidecar, keys: Vec<ImportedKey>) {
    let count = keys.len() as u64;
    let messages = tokio_stream::iter([ImportApiKeysRequest { keys, dry_run: false }]);
    let answers = sidecar.keys().await.import_api_keys(messages).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    assert_eq!(answer.imported_count, count, "{answer:?}");
}
