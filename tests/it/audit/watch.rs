//! A watch tells everything once, in order, for as long as its caller may hear
//! it.

use std::time::Duration;

use octavia_authz::pb::v1::{
    AuditEvent, AuditFilter, WatchAuditEventsRequest, WatchAuditEventsResponse,
};
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

use super::{Audit, audit, audit_as, create_in, list, revoke, role_update, sequences};
use crate::sidecar::{PATIENCE, Sidecar};

type Messages = Streaming<WatchAuditEventsResponse>;

async fn watch(audit: &mut Audit, after: Option<u64>) -> Result<Messages, Status> {
    let request = WatchAuditEventsRequest { filter: None, after_sequence: after };
    Ok(audit.watch_audit_events(request).await?.into_inner())
}

async fn next(messages: &mut Messages) -> Result<Option<WatchAuditEventsResponse>, Status> {
    timeout(PATIENCE, messages.message()).await.expect("a message in time")
}

/// The next events, as many as `count`.
async fn events(messages: &mut Messages, count: usize) -> Vec<AuditEvent> {
    let mut events = Vec::new();
    while events.len() < count {
        let message = next(messages).await.unwrap().unwrap();
        let last = message.events.last().map_or(0, |event| event.sequence);
        assert!(message.sequence >= last);
        events.extend(message.events);
    }
    events
}

#[tokio::test]
async fn a_watch_tells_changes_and_refusals_in_order() {
    let sidecar = Sidecar::start();
    let (key, text) = sidecar.create("editor").await;
    let mut messages = watch(&mut audit(&sidecar).await, None).await.unwrap();
    // At once, where it is.
    let first = next(&mut messages).await.unwrap().unwrap();
    assert_eq!((first.events.len(), first.sequence), (0, 1));

    sidecar.create("writer").await;
    let mut keys = sidecar.keys_as(&text).await;
    keys.update_api_key(role_update(&key.id, "writer")).await.unwrap_err();
    revoke(&sidecar, &key.id).await;
    let told = events(&mut messages, 3).await;
    assert_eq!(sequences(&told), [2, 3, 4]);
    assert!(told[1].refusal.is_some());
    drop(messages);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_watch_that_broke_off_goes_on_where_it_was() {
    let sidecar = Sidecar::start();
    for _ in 0..5 {
        sidecar.create("writer").await;
    }
    let mut log = audit(&sidecar).await;
    let told = events(&mut watch(&mut log, Some(0)).await.unwrap(), 5).await;
    assert_eq!(sequences(&told), [1, 2, 3, 4, 5]);
    let mut messages = watch(&mut log, Some(3)).await.unwrap();
    sidecar.create("writer").await;
    assert_eq!(sequences(&events(&mut messages, 3).await), [4, 5, 6]);
    let status = watch(&mut log, Some(99)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    drop(messages);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_watcher_that_does_not_listen_loses_nothing_and_holds_nobody_up() {
    let sidecar = Sidecar::start();
    let mut messages = watch(&mut audit(&sidecar).await, Some(0)).await.unwrap();
    for _ in 0..300 {
        sidecar.create("writer").await;
    }
    let told = events(&mut messages, 300).await;
    assert_eq!(sequences(&told), (1..=300).collect::<Vec<_>>());
    drop(messages);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_watcher_that_nothing_matches_hears_a_heartbeat() {
    let sidecar = Sidecar::start();
    let filter = AuditFilter { team: "none".into(), ..Default::default() };
    let request = WatchAuditEventsRequest { filter: Some(filter), after_sequence: None };
    let mut log = audit(&sidecar).await;
    let mut messages = log.watch_audit_events(request).await.unwrap().into_inner();
    assert_eq!(next(&mut messages).await.unwrap().unwrap().sequence, 0);
    sidecar.create("writer").await;
    let heard = timeout(Duration::from_secs(10), next(&mut messages)).await.expect("within 10 s");
    let heard = heard.unwrap().unwrap();
    assert_eq!((heard.events.len(), heard.sequence), (0, 1));
    drop(messages);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_watch_ends_when_its_key_may_not_see_it_any_more() {
    let sidecar = Sidecar::start();
    let (revoked, text) = create_in(&sidecar, "super_admin", "a").await;
    let mut of_revoked = watch(&mut audit_as(&sidecar, &text).await, None).await.unwrap();
    let (demoted, text) = create_in(&sidecar, "super_admin", "a").await;
    let mut of_demoted = watch(&mut audit_as(&sidecar, &text).await, None).await.unwrap();
    revoke(&sidecar, &revoked.id).await;
    sidecar.keys().await.update_api_key(role_update(&demoted.id, "writer")).await.unwrap();
    for (messages, code) in
        [(&mut of_revoked, Code::Unauthenticated), (&mut of_demoted, Code::PermissionDenied)]
    {
        let status = loop {
            match next(messages).await {
                Ok(Some(message)) => {
                    let own = |event: &AuditEvent| event.key_id == revoked.id;
                    let revocation = message.events.iter().any(|e| own(e) && e.after.is_none());
                    assert!(code != Code::Unauthenticated || !revocation);
                }
                Ok(None) => panic!("it ended without a status"),
                Err(status) => break status,
            }
        };
        assert_eq!(status.code(), code, "{status}");
    }
    let (_, admin) = create_in(&sidecar, "admin", "a").await;
    let status = watch(&mut audit_as(&sidecar, &admin).await, None).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_watch_does_not_hold_up_a_stop() {
    let sidecar = Sidecar::start_with(&["--drain-timeout", "25s"]);
    let mut messages = watch(&mut audit(&sidecar).await, None).await.unwrap();
    assert!(next(&mut messages).await.unwrap().is_some());
    sidecar.terminate();
    let status = loop {
        match next(&mut messages).await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended without a status"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    drop(messages);
    sidecar.finish_after_stop().await;
}

/// A watch from the beginning that nothing matches.
async fn idle_watch(audit: &mut Audit) -> Result<Messages, Status> {
    let filter = AuditFilter { team: "none".into(), ..Default::default() };
    let request = WatchAuditEventsRequest { filter: Some(filter), after_sequence: Some(0) };
    Ok(audit.watch_audit_events(request).await?.into_inner())
}

#[tokio::test]
async fn a_ninth_watch_of_one_caller_is_refused_and_anothers_is_not() {
    let sidecar = Sidecar::start();
    let (_, text) = create_in(&sidecar, "super_admin", "a").await;
    let mut own = audit_as(&sidecar, &text).await;
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(watch(&mut own, None).await.unwrap());
    }
    // Over another connection it is the same caller.
    let status = watch(&mut audit_as(&sidecar, &text).await, None).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    for words in ["8 watches", "end one"] {
        assert!(status.message().contains(words), "{status}");
    }
    let mut others = watch(&mut audit(&sidecar).await, None).await.unwrap();
    assert!(next(&mut others).await.unwrap().is_some());
    for messages in &mut open {
        assert!(next(messages).await.unwrap().is_some());
    }
    // One that goes away makes room, as soon as the sidecar hears of it.
    open.pop();
    let again = async {
        loop {
            match watch(&mut own, None).await {
                Ok(messages) => break messages,
                Err(status) => assert_eq!(status.code(), Code::ResourceExhausted, "{status}"),
            }
        }
    };
    let mut again = timeout(PATIENCE, again).await.expect("a place that is free again");
    assert!(next(&mut again).await.unwrap().is_some());
    drop((open, others, again));
    sidecar.finish().await;
}

#[tokio::test]
async fn lists_are_answered_while_watches_that_match_nothing_catch_up() {
    let sidecar = Sidecar::start();
    for _ in 0..50 {
        sidecar.create("writer").await;
    }
    let mut log = audit(&sidecar).await;
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(idle_watch(&mut log).await.unwrap());
    }
    for _ in 0..20 {
        assert_eq!(list(&mut log, AuditFilter::default()).await.unwrap().len(), 50);
    }
    for messages in &mut open {
        while next(messages).await.unwrap().unwrap().sequence < 50 {}
    }
    drop(open);
    sidecar.finish().await;
}
