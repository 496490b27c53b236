//! Every decision about a key that has proven itself is counted, once, at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use octavia_authz::pb::v1::{
    ApiKey, AuthorizeRequest, AuthorizeResponse, BatchAuthorizeRequest, CreateApiKeyRequest,
    DecisionReason as Reason, KeyStatus, UpdateApiKeyRequest,
};
use prost_types::{FieldMask, Timestamp};
use tokio::task::JoinSet;

use super::{ALLOWED, DENIED, Use, asks, counted, get, now, rotate, shown, tick};
use crate::sidecar::{PATIENCE, Sidecar};

/// The ways to ask.
#[derive(Copy, Clone, Debug)]
enum Way {
    Unary,
    Batch,
    Stream,
}

const WAYS: [Way; 3] = [Way::Unary, Way::Batch, Way::Stream];

impl Way {
    async fn ask(
        self,
        sidecar: &Sidecar,
        requests: Vec<AuthorizeRequest>,
    ) -> Vec<AuthorizeResponse> {
        let mut client = sidecar.authorization().await;
        match self {
            Self::Unary => {
                let mut answers = Vec::new();
                for request in requests {
                    answers.push(client.authorize(request).await.unwrap().into_inner());
                }
                answers
            }
            Self::Batch => {
                let batch = client.batch_authorize(BatchAuthorizeRequest { requests }).await;
                batch.unwrap().into_inner().responses
            }
            Self::Stream => {
                let stream = client.stream_authorize(tokio_stream::iter(requests)).await.unwrap();
                let mut stream = stream.into_inner();
                let mut answers = Vec::new();
                while let Some(answer) = stream.message().await.unwrap() {
                    answers.push(answer);
                }
                answers
            }
        }
    }
}

#[tokio::test]
async fn every_answer_is_counted_within_a_second_whichever_way_it_was_asked_for() {
    let sidecar = Sidecar::start();
    let (one, one_text) = sidecar.create("writer").await;
    let (other, other_text) = sidecar.create("writer").await;
    let (unused, _) = sidecar.create("writer").await;
    for (round, way) in (1..).zip(WAYS) {
        let mut requests = Vec::new();
        for number in 0..60 {
            let text = if number % 4 == 0 { &other_text } else { &one_text };
            requests.push(asks(text, if number % 3 == 0 { DENIED } else { ALLOWED }));
        }
        let started = tick();
        let answers = way.ask(&sidecar, requests).await;
        let ended = now();
        assert_eq!(answers.iter().filter(|answer| answer.allowed).count(), 40);
        // 45 of one, 15 of them divisible by 3 and not by 12; 15 of the other, 5 by 12.
        for (key, counts) in [(&one, (30, 15)), (&other, (10, 5))] {
            let counts = (counts.0 * round, counts.1 * round);
            let used = counted(&sidecar, &key.id, counts).await;
            let last = used.last.unwrap();
            assert!((started..=ended).contains(&last), "{way:?}: {started} {last} {ended}");
            assert_eq!(used.secrets, [(1, Some(last))], "{way:?}");
        }
    }
    let never = shown(&sidecar, &unused.id).await;
    assert_eq!((never.counts(), never.last, never.secrets), ((0, 0), None, vec![(1, None)]));
    sidecar.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_once_on_many_connections_are_counted_exactly_and_never_backwards() {
    const CLIENTS: u64 = 8;
    const CALLS: u64 = 150;
    let sidecar = Arc::new(Sidecar::start_with(&["--usage-flush-interval", "10ms"]));
    let (key, text) = sidecar.create("writer").await;
    let over = Arc::new(AtomicBool::new(false));
    let watched = {
        let (sidecar, over, id) = (Arc::clone(&sidecar), Arc::clone(&over), key.id.clone());
        tokio::spawn(async move {
            let mut before = Use::of(&get(&sidecar, &id).await);
            while !over.load(Ordering::SeqCst) {
                let now = Use::of(&get(&sidecar, &id).await);
                now.assert_not_before(&before);
                assert!(now.allowed <= CLIENTS * CALLS && now.denied <= CLIENTS * CALLS);
                before = now;
            }
        })
    };
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS as usize {
        let (sidecar, text) = (Arc::clone(&sidecar), text.clone());
        clients.spawn(async move {
            let requests = (0..2 * CALLS).map(|at| if at % 2 == 0 { ALLOWED } else { DENIED });
            let requests = requests.map(|action| asks(&text, action)).collect();
            WAYS[number % WAYS.len()].ask(&sidecar, requests).await
        });
    }
    clients.join_all().await;
    counted(&sidecar, &key.id, (CLIENTS * CALLS, CLIENTS * CALLS)).await;
    over.store(true, Ordering::SeqCst);
    watched.await.unwrap();
    Arc::into_inner(sidecar).unwrap().finish().await;
}

#[tokio::test]
async fn a_denial_for_whatever_reason_is_counted_once_the_key_has_proven_itself() {
    let sidecar = Sidecar::start();
    let (key, text) = sidecar.create("writer").await;
    let mismatch = AuthorizeRequest { service: "shop".into(), ..asks(&text, ALLOWED) };
    let mut denied = 0;
    for (request, reason) in [
        (asks(&text, DENIED), Reason::ActionDenied),
        (asks(&text, "no.such"), Reason::ActionUnknown),
        (asks(&text, "articles.update"), Reason::ConditionUnmet),
        (mismatch, Reason::ServiceMismatch),
    ] {
        let answer = sidecar.authorization().await.authorize(request).await.unwrap().into_inner();
        assert_eq!(answer.reason(), reason);
        denied += 1;
        counted(&sidecar, &key.id, (0, denied)).await;
    }
    let off = ApiKey { status: KeyStatus::Inactive.into(), ..Default::default() };
    let switch = UpdateApiKeyRequest {
        id: key.id.clone(),
        api_key: Some(off),
        update_mask: Some(FieldMask { paths: vec!["status".into()] }),
        ..Default::default()
    };
    sidecar.keys().await.update_api_key(switch).await.unwrap();
    assert_eq!(sidecar.authorize(&text, ALLOWED).await.reason(), Reason::KeyInactive);
    counted(&sidecar, &key.id, (0, denied + 1)).await;

    let soon = now() + 300;
    let nanos = i32::try_from(soon % 1000).unwrap() * 1_000_000;
    let request = CreateApiKeyRequest {
        name: "expires soon".into(),
        role: "writer".into(),
        expire_time: Some(Timestamp { seconds: soon / 1000, nanos }),
        ..Default::default()
    };
    let created = sidecar.keys().await.create_api_key(request).await.unwrap().into_inner();
    let (mut allowed, mut denied) = (0, 0);
    let started = Instant::now();
    while denied < 3 {
        match sidecar.authorize(&created.key, ALLOWED).await.reason() {
            Reason::Allowed => allowed += 1,
            Reason::KeyExpired => denied += 1,
            other => panic!("{other:?}"),
        }
        assert!(started.elapsed() < PATIENCE);
    }
    counted(&sidecar, &created.api_key.unwrap().id, (allowed, denied)).await;
    sidecar.finish().await;
}

#[tokio::test]
async fn during_an_overlap_each_of_two_secrets_has_a_last_use_of_its_own() {
    let sidecar = Sidecar::start();
    let (key, first) = sidecar.create("writer").await;
    assert!(sidecar.authorize(&first, ALLOWED).await.allowed);
    let before = counted(&sidecar, &key.id, (1, 0)).await;
    let rotated = rotate(&sidecar, &key.id, 3600).await;
    let second = rotated.key;
    // A new secret was never used; the old one and the key are as they were.
    let seen = shown(&sidecar, &key.id).await;
    assert_eq!((seen.secret(2), seen.secret(1)), (None, before.last));
    assert_eq!(Use::of(&rotated.api_key.unwrap()), seen);
    assert_eq!((seen.last, seen.counts()), (before.last, (1, 0)));

    let mut last = [before.last, None];
    for (calls, number) in (2..).zip([2, 1, 1, 2]) {
        let started = tick();
        let text = if number == 1 { &first } else { &second };
        assert!(sidecar.authorize(text, ALLOWED).await.allowed);
        let ended = now();
        let used = counted(&sidecar, &key.id, (calls, 0)).await;
        last[number - 1] = used.last;
        assert!((started..=ended).contains(&used.last.unwrap()));
        assert_eq!((used.secret(1), used.secret(2)), (last[0], last[1]));
    }
    // The secret that is gone takes its last use along, not the key's.
    assert!(sidecar.authorize(&first, ALLOWED).await.allowed);
    let used = counted(&sidecar, &key.id, (6, 0)).await;
    let third = rotate(&sidecar, &key.id, 3600).await;
    assert!(!sidecar.authorize(&first, ALLOWED).await.allowed);
    let seen = shown(&sidecar, &key.id).await;
    assert_eq!((seen.last, seen.counts()), (used.last, (6, 0)));
    assert_eq!(seen.secrets, [(3, None), (2, last[1])]);
    assert!(!sidecar.authorize(&third.key, DENIED).await.allowed);
    let used = counted(&sidecar, &key.id, (6, 1)).await;
    assert_eq!((used.secret(3), used.secret(2)), (used.last, last[1]));
    sidecar.finish().await;
}
