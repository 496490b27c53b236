//! Where old history was deleted, the log says where it begins.
//!
//! The sidecar deletes what is older than a day at least: so the history is deleted
//! in between by the library, as the sidecar would.

use std::{fs, path::Path};

use octavia_authz::{
    clock::{Clock, Timestamp},
    pb::v1::{
        ApiKey, AuditFilter, GetStatusRequest, GetStatusResponse, ListAuditEventsRequest,
        UpdateApiKeyRequest,
    },
    store::Embedded,
};
use prost_types::FieldMask;
use tempfile::TempDir;

use super::{all, audit, list, role_update, sequences, verify};
use crate::sidecar::Sidecar;

async fn status(sidecar: &Sidecar) -> GetStatusResponse {
    let mut maintenance = sidecar.maintenance_as(&sidecar.operator_token()).await;
    maintenance.get_status(GetStatusRequest {}).await.unwrap().into_inner()
}

fn segments(dir: &Path) -> usize {
    fs::read_dir(dir.join("journal")).unwrap().count()
}

#[tokio::test]
async fn after_old_history_was_deleted_the_status_says_where_the_log_begins() {
    let dir = TempDir::new().unwrap();
    let sidecar = Sidecar::start_on(dir.path(), &[]);
    let (key, text) = sidecar.create("writer").await;
    assert_eq!(status(&sidecar).await.oldest_audit_sequence, 1);
    // As large as a key can be, of a journal that is closed at 64 MiB.
    let wide = |len: usize, fill: char| fill.to_string().repeat(len);
    let mut keys = sidecar.keys().await;
    for fill in ['𝄞', '𝄢'].into_iter().cycle() {
        let labels = (0..64).map(|number| (format!("label-{number}"), wide(256, fill)));
        let values = ApiKey {
            labels: labels.collect(),
            description: wide(1024, fill),
            ..Default::default()
        };
        let paths = ["labels", "description"].map(str::to_owned).to_vec();
        let update = UpdateApiKeyRequest {
            id: key.id.clone(),
            api_key: Some(values),
            update_mask: Some(FieldMask { paths }),
            ..Default::default()
        };
        keys.update_api_key(update).await.unwrap();
        if segments(dir.path()) > 1 {
            break;
        }
    }
    keys.update_api_key(role_update(&key.id, "editor")).await.unwrap();
    let before = status(&sidecar).await;
    assert_eq!(before.oldest_audit_sequence, 1);
    drop(keys);
    sidecar.finish().await;

    let store = Embedded::open(dir.path()).unwrap();
    let forgotten = store.forget(Timestamp(i64::MAX), Clock::System.now()).unwrap();
    assert_eq!(forgotten.segments, 1);
    store.close();
    drop(store);

    let sidecar = Sidecar::start_on(dir.path(), &[]);
    let after = status(&sidecar).await;
    assert_eq!(after.oldest_audit_sequence, forgotten.last + 1);
    assert_eq!((after.revision, &after.journal_head), (before.revision, &before.journal_head));
    assert_eq!(after.state_digest, before.state_digest);
    let events = sequences(&all(&sidecar).await);
    let left: Vec<u64> = (after.oldest_audit_sequence..=after.revision).collect();
    assert_eq!(events, left);
    let mut log = audit(&sidecar).await;
    let of_key = AuditFilter { key_id: key.id.clone(), ..Default::default() };
    assert_eq!(sequences(&list(&mut log, of_key).await.unwrap()), left);
    // The newest first ends there, too.
    let newest = ListAuditEventsRequest { page_size: 1000, ..Default::default() };
    let newest = log.list_audit_events(newest).await.unwrap().into_inner();
    let last = newest.events.last().unwrap().sequence;
    assert_eq!((last, newest.next_page_token.as_str()), (after.oldest_audit_sequence, ""));
    let verified = verify(&mut log, after.revision, &after.journal_head).await;
    assert!(verified.valid, "{verified:?}");
    assert_eq!(verified.first_sequence, after.oldest_audit_sequence);
    drop(log);
    // The key is what it was.
    assert!(sidecar.authorize(&text, "articles.create").await.allowed);
    sidecar.finish().await;
}
