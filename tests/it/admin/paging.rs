//! Lists: pages that fit together whatever happens between them, and filters.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
};

use octavia_authz::pb::v1::{
    ApiKey, BatchRevokeApiKeysRequest, CreateApiKeyRequest, KeyFilter, KeyStatus,
    ListApiKeysRequest, ListApiKeysResponse, RevokeApiKeyRequest,
};
use prost::Message as _;
use tokio::task::JoinSet;
use tonic::Code;

use super::{create, invalid_fields, new_key};
use crate::sidecar::Sidecar;

/// Creates `count` keys at once, and gives their ids.
async fn create_many(sidecar: &Sidecar, count: usize) -> BTreeSet<String> {
    let keys = sidecar.keys().await;
    let mut creating = JoinSet::new();
    for _ in 0..count {
        let mut keys = keys.clone();
        let new = new_key("read_only", "web");
        creating.spawn(async move {
            keys.create_api_key(new).await.unwrap().into_inner().api_key.unwrap().id
        });
    }
    let ids: BTreeSet<String> = creating.join_all().await.into_iter().collect();
    assert_eq!(ids.len(), count);
    ids
}

async fn page(sidecar: &Sidecar, page_size: i32, page_token: &str) -> ListApiKeysResponse {
    let page_token = page_token.to_owned();
    let request = ListApiKeysRequest { page_size, page_token, ..Default::default() };
    sidecar.keys().await.list_api_keys(request).await.unwrap().into_inner()
}

fn ids(keys: &[ApiKey]) -> Vec<String> {
    keys.iter().map(|key| key.id.clone()).collect()
}

#[tokio::test]
async fn pages_of_any_size_give_every_key_once_in_order() {
    let sidecar = Sidecar::start();
    let empty = page(&sidecar, 10, "").await;
    assert_eq!((empty.api_keys.len(), empty.total_size, &*empty.next_page_token), (0, 0, ""));
    let all: Vec<String> = create_many(&sidecar, 1001).await.into_iter().collect();
    // 0 stands for 100; what is more than 1000 for 1000.
    for (size, pages) in
        [(0, 11), (100, 11), (91, 11), (999, 2), (1000, 2), (1001, 2), (i32::MAX, 2)]
    {
        let (mut seen, mut token, mut count) = (Vec::new(), String::new(), 0);
        loop {
            let page = page(&sidecar, size, &token).await;
            assert_eq!(page.total_size, 1001);
            seen.extend(ids(&page.api_keys));
            count += 1;
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
            assert_eq!(
                seen.len() % 1001,
                count
                    * usize::try_from(size).unwrap().min(1000).max(if size == 0 { 100 } else { 1 })
            );
        }
        assert_eq!((seen == all, count), (true, pages), "{size}");
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn a_page_that_cannot_be_is_an_invalid_argument() {
    let sidecar = Sidecar::start();
    let mut keys = sidecar.keys().await;
    let sized = |page_size| ListApiKeysRequest { page_size, ..Default::default() };
    for size in [-1, i32::MIN] {
        let status = keys.list_api_keys(sized(size)).await.unwrap_err();
        assert_eq!(invalid_fields(&status), ["page_size"]);
    }
    for token in ["x", "0", "not a token", "00000000000", "é", "{}", &"x".repeat(100_000)]
        .into_iter()
        .chain(["0000000000", "0000000000.", "0000000000.-1", "0000000000.x", ".1", "0.1"])
    {
        let request = ListApiKeysRequest { page_token: token.into(), ..Default::default() };
        let status = keys.list_api_keys(request).await.unwrap_err();
        assert_eq!(invalid_fields(&status), ["page_token"], "{token:?}");
    }
    let filter = Some(KeyFilter { status: 7, ..Default::default() });
    let both = ListApiKeysRequest { page_size: -1, filter, ..Default::default() };
    let status = keys.list_api_keys(both).await.unwrap_err();
    assert_eq!(invalid_fields(&status), ["page_size", "filter.status"]);
    sidecar.finish().await;
}

#[tokio::test]
async fn keys_that_come_and_go_between_pages_hide_and_repeat_no_other() {
    let sidecar = Sidecar::start();
    let mut throughout = create_many(&sidecar, 60).await;
    let mut keys = sidecar.keys().await;
    let (mut seen, mut token, mut gone) = (Vec::new(), String::new(), BTreeSet::new());
    let mut came = BTreeSet::new();
    loop {
        let page = page(&sidecar, 7, &token).await;
        assert_eq!(page.total_size, 60, "the total is the first page's");
        seen.extend(ids(&page.api_keys));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
        // The key that the token names, one that was shown, and one that was not, go; two come.
        let shown = seen[seen.len() / 2].clone();
        let hidden = throughout.iter().rev().find(|id| !seen.contains(id)).cloned();
        for id in [seen.last().cloned(), Some(shown), hidden].into_iter().flatten() {
            if throughout.remove(&id) || came.remove(&id) {
                keys.revoke_api_key(RevokeApiKeyRequest { id: id.clone(), ..Default::default() })
                    .await
                    .unwrap();
                gone.insert(id);
            }
        }
        came.extend(create_many(&sidecar, 2).await);
    }
    assert!(gone.len() > 10, "{}", gone.len());
    let once: BTreeSet<String> = seen.iter().cloned().collect();
    assert_eq!(once.len(), seen.len(), "a key was shown twice");
    assert!(seen.is_sorted());
    let missed: Vec<_> = throughout.difference(&once).collect();
    assert!(missed.is_empty(), "{missed:?}");
    sidecar.finish().await;
}

#[tokio::test]
async fn lists_are_made_one_at_a_time_and_of_one_caller_few_wait() {
    let sidecar = Sidecar::start();
    create_many(&sidecar, 1000).await;
    let keys = sidecar.keys().await;
    let mut listing = JoinSet::new();
    for _ in 0..64 {
        let mut keys = keys.clone();
        listing.spawn(async move { keys.list_api_keys(ListApiKeysRequest::default()).await });
    }
    let (mut made, mut refused) = (0, 0);
    for listed in listing.join_all().await {
        match listed {
            Ok(list) => {
                assert_eq!(list.into_inner().total_size, 1000);
                made += 1;
            }
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
                assert!(status.message().contains("ask for one after the other"), "{status}");
                refused += 1;
            }
        }
    }
    // One is made, and 16 wait, when the others come.
    assert!(made >= 17 && refused > 0, "{made} were made, {refused} refused");
    // A thread that made a list stays for some seconds. One that has just let the
    // next begin may not be free for it yet: a few, not 64.
    let threads = fs::read_dir(format!("/proc/{}/task", sidecar.pid())).unwrap();
    let names = threads.map(|task| fs::read_to_string(task.unwrap().path().join("comm")).unwrap());
    let background = names.filter(|name| name.trim() == "background").count();
    assert!((3..=8).contains(&background), "{background}");
    sidecar.finish().await;
}

#[tokio::test]
async fn a_filter_gives_the_keys_that_match_all_of_it() {
    let sidecar = Sidecar::start();
    let mut all = BTreeMap::new();
    for team in ["web", "apps"] {
        for role in ["admin", "writer", "read_only"] {
            for (status, name) in
                [(KeyStatus::Active, "Straße 1"), (KeyStatus::Inactive, "Café %_*")]
            {
                let new = CreateApiKeyRequest {
                    status: status.into(),
                    name: name.into(),
                    ..new_key(role, team)
                };
                let (key, _) = create(&sidecar, new).await;
                all.insert(key.id.clone(), key);
            }
        }
    }
    let mut keys = sidecar.keys().await;
    let roles = |roles: &[&str]| roles.iter().map(|role| (*role).to_owned()).collect::<Vec<_>>();
    let (text, none) = (|text: &str| text.to_owned(), KeyFilter::default());
    let inactive = KeyStatus::Inactive as i32;
    let filters = [
        (12, none.clone()),
        (6, KeyFilter { team: text("web"), ..none.clone() }),
        (0, KeyFilter { team: text("WEB"), ..none.clone() }),
        (12, KeyFilter { service: text("ai-cms"), ..none.clone() }),
        (0, KeyFilter { service: text("shop"), ..none.clone() }),
        (4, KeyFilter { roles: roles(&["writer"]), ..none.clone() }),
        (8, KeyFilter { roles: roles(&["writer", "admin", "owner"]), ..none.clone() }),
        (0, KeyFilter { roles: roles(&["owner"]), ..none.clone() }),
        (6, KeyFilter { status: inactive, ..none.clone() }),
        (6, KeyFilter { name_contains: text("STRAßE"), ..none.clone() }),
        (6, KeyFilter { name_contains: text("CAFÉ"), ..none.clone() }),
        (6, KeyFilter { name_contains: text("%_*"), ..none.clone() }),
        (0, KeyFilter { name_contains: text(".*"), ..none.clone() }),
        (
            2,
            KeyFilter {
                team: text("web"),
                service: text("ai-cms"),
                roles: roles(&["writer", "admin"]),
                status: inactive,
                name_contains: text("caf"),
                ..Default::default()
            },
        ),
    ];
    for (count, filter) in filters {
        let request =
            ListApiKeysRequest { page_size: 5, filter: Some(filter.clone()), ..Default::default() };
        let first = keys.list_api_keys(request.clone()).await.unwrap().into_inner();
        assert_eq!(first.total_size, count, "{filter:?}");
        assert_eq!(first.api_keys.len(), 5.min(count as usize));
        assert_eq!(first.next_page_token.is_empty(), count <= 5);
        let whole = ListApiKeysRequest { page_size: 100, ..request };
        let whole = keys.list_api_keys(whole).await.unwrap().into_inner();
        assert_eq!(whole.api_keys.len() as i64, count);
        for key in whole.api_keys {
            assert_eq!(Some(&key), all.get(&key.id));
            assert!(filter.team.is_empty() || key.team == filter.team);
            assert!(filter.roles.is_empty() || filter.roles.contains(&key.role));
            assert!(filter.status == 0 || key.status == filter.status);
        }
    }
    sidecar.finish().await;
}

/// The most that a client of gRPC takes by default.
const CLIENT_TAKES: usize = 4 << 20;

#[tokio::test]
async fn pages_and_outcomes_of_a_thousand_large_keys_fit_into_a_message() {
    let sidecar = Sidecar::start();
    let keys = sidecar.keys().await;
    let labels: HashMap<String, String> =
        (0..64).map(|n| (format!("label-{n}"), "v".repeat(256))).collect();
    let mut creating = JoinSet::new();
    for _ in 0..1000 {
        let mut keys = keys.clone();
        let labels = labels.clone();
        let new = CreateApiKeyRequest {
            labels,
            description: "d".repeat(1024),
            ..new_key("read_only", "web")
        };
        creating.spawn(async move {
            keys.create_api_key(new).await.unwrap().into_inner().api_key.unwrap().id
        });
    }
    let all: BTreeSet<String> = creating.join_all().await.into_iter().collect();
    for order in ["", "name desc"] {
        let (mut seen, mut token, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let request = ListApiKeysRequest {
                page_size: 1000,
                page_token: token,
                order_by: order.into(),
                ..Default::default()
            };
            let page = sidecar.keys().await.list_api_keys(request).await.unwrap().into_inner();
            assert!(page.encoded_len() < CLIENT_TAKES, "{}", page.encoded_len());
            assert_eq!((page.total_size, page.api_keys.is_empty()), (1000, false));
            seen.extend(ids(&page.api_keys));
            (token, pages) = (page.next_page_token, pages + 1);
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(seen.len(), 1000);
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), all);
        assert!((6..10).contains(&pages), "{pages}");
    }

    let request = BatchRevokeApiKeysRequest { ids: all.into_iter().collect(), dry_run: false };
    let revoked = sidecar.keys().await.batch_revoke_api_keys(request).await.unwrap().into_inner();
    assert_eq!(revoked.revoked_count, 1000);
    assert!(revoked.encoded_len() < 1 << 20, "{}", revoked.encoded_len());
    for outcome in revoked.outcomes {
        let key = outcome.api_key.unwrap();
        assert_eq!((key.id, key.name.as_str()), (outcome.id, "a read_only"));
        assert_eq!((key.description.as_str(), key.labels.len()), ("", 0));
    }
    sidecar.finish().await;
}
