//! Pages go on where the one before ended, whatever happens meanwhile.

use octavia_authz::pb::v1::{ListAuditEventsRequest, ListAuditEventsResponse};
use tokio::task::JoinSet;
use tonic::Code;

use super::{Audit, audit, audit_as, sequences};
use crate::{admin::invalid_fields, sidecar::Sidecar};

async fn page(audit: &mut Audit, token: &str, oldest_first: bool) -> ListAuditEventsResponse {
    let request = ListAuditEventsRequest {
        page_size: 4,
        page_token: token.into(),
        filter: None,
        oldest_first,
    };
    audit.list_audit_events(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn newest_first_shows_nothing_twice_while_more_is_appended() {
    let sidecar = Sidecar::start();
    for _ in 0..10 {
        sidecar.create("writer").await;
    }
    let mut log = audit(&sidecar).await;
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = page(&mut log, &token, false).await;
        seen.extend(sequences(&page.events));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
        sidecar.create("writer").await;
    }
    assert_eq!(seen, (1..=10).rev().collect::<Vec<_>>());
    sidecar.finish().await;
}

#[tokio::test]
async fn oldest_first_comes_to_what_was_appended() {
    let sidecar = Sidecar::start();
    for _ in 0..6 {
        sidecar.create("writer").await;
    }
    let mut log = audit(&sidecar).await;
    let first = page(&mut log, "", true).await;
    assert_eq!(sequences(&first.events), [1, 2, 3, 4]);
    sidecar.create("writer").await;
    let second = page(&mut log, &first.next_page_token, true).await;
    assert_eq!(sequences(&second.events), [5, 6, 7]);
    assert_eq!(second.next_page_token, "");
    sidecar.finish().await;
}

#[tokio::test]
async fn a_token_that_is_none_is_refused() {
    let sidecar = Sidecar::start();
    for _ in 0..6 {
        sidecar.create("writer").await;
    }
    let mut log = audit(&sidecar).await;
    let other_order = page(&mut log, "", false).await.next_page_token;
    for token in ["x", "o", "o-1", "o+1", "o01", "n99999999999999999999", "é3", &other_order] {
        let request = ListAuditEventsRequest {
            page_token: token.into(),
            oldest_first: true,
            ..Default::default()
        };
        let status = log.list_audit_events(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{token}");
        assert_eq!(invalid_fields(&status), ["page_token"], "{token}");
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn of_one_caller_few_lists_wait_and_another_is_answered() {
    let sidecar = Sidecar::start();
    let (_, other) = sidecar.create("super_admin").await;
    for _ in 0..100 {
        sidecar.create("writer").await;
    }
    let (log, mut another) = (audit(&sidecar).await, audit_as(&sidecar, &other).await);
    let mut listing = JoinSet::new();
    for _ in 0..64 {
        let mut log = log.clone();
        listing
            .spawn(async move { log.list_audit_events(ListAuditEventsRequest::default()).await });
    }
    assert_eq!(page(&mut another, "", false).await.events.len(), 4);
    let listed = listing.join_all().await;
    let (made, refused): (Vec<_>, Vec<_>) = listed.into_iter().partition(Result::is_ok);
    // One is made, and 16 wait, when the others come.
    assert!(made.len() >= 17 && !refused.is_empty(), "{}", made.len());
    for status in refused.into_iter().filter_map(Result::err) {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        assert!(status.message().contains("ask for one after the other"), "{status}");
    }
    sidecar.finish().await;
}
