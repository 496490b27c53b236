//! The audit log of a real sidecar: everything that was done or refused is in it,
//! for those who may see it, in order, and nobody changes it unnoticed.

mod command_line;
mod events;
mod flood;
mod forged;
mod kinds;
mod paging;
mod retention;
mod watch;

use octavia_authz::pb::v1::{
    ApiKey, AuditEvent, AuditFilter, AuditVerification, CreateApiKeyRequest,
    ListAuditEventsRequest, RevokeApiKeyRequest, UpdateApiKeyRequest, VerifyAuditRequest,
    audit_service_client::AuditServiceClient,
};
use prost_types::FieldMask;
use tonic::{Status, transport::Channel};

use crate::sidecar::{Admin, Bearer, Sidecar, connect};

type Audit = AuditServiceClient<Admin<Channel>>;

/// The audit log, with any credential.
async fn audit_as(sidecar: &Sidecar, credential: &str) -> Audit {
    AuditServiceClient::with_interceptor(
        connect(&sidecar.admin_listen).await,
        Bearer::new(credential),
    )
}

/// The audit log, as the operator.
async fn audit(sidecar: &Sidecar) -> Audit {
    audit_as(sidecar, &sidecar.operator_token()).await
}

/// All events that match, the oldest first.
async fn list(audit: &mut Audit, filter: AuditFilter) -> Result<Vec<AuditEvent>, Status> {
    let mut events = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListAuditEventsRequest {
            page_token,
            filter: Some(filter.clone()),
            oldest_first: true,
            ..Default::default()
        };
        let page = audit.list_audit_events(request).await?.into_inner();
        events.extend(page.events);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(events);
        }
    }
}

async fn all(sidecar: &Sidecar) -> Vec<AuditEvent> {
    list(&mut audit(sidecar).await, AuditFilter::default()).await.unwrap()
}

fn sequences(events: &[AuditEvent]) -> Vec<u64> {
    events.iter().map(|event| event.sequence).collect()
}

fn role_update(id: &str, role: &str) -> UpdateApiKeyRequest {
    UpdateApiKeyRequest {
        id: id.into(),
        api_key: Some(ApiKey { role: role.into(), ..Default::default() }),
        update_mask: Some(FieldMask { paths: vec!["role".into()] }),
        ..Default::default()
    }
}

async fn create_in(sidecar: &Sidecar, role: &str, team: &str) -> (ApiKey, String) {
    let request = CreateApiKeyRequest {
        name: format!("a {role}"),
        role: role.into(),
        team: team.into(),
        ..Default::default()
    };
    let created = sidecar.keys().await.create_api_key(request).await.unwrap().into_inner();
    (created.api_key.unwrap(), created.key)
}

async fn revoke(sidecar: &Sidecar, id: &str) {
    let request = RevokeApiKeyRequest { id: id.into(), ..Default::default() };
    sidecar.keys().await.revoke_api_key(request).await.unwrap();
}

/// What the running sidecar's verification says in the end.
async fn verify(audit: &mut Audit, sequence: u64, head: &str) -> AuditVerification {
    let request = VerifyAuditRequest { sequence, head: head.into() };
    let mut messages = audit.verify_audit(request).await.unwrap().into_inner();
    let mut result = None;
    while let Some(message) = messages.message().await.unwrap() {
        assert!(result.is_none(), "a message behind the result");
        assert!(message.read_bytes <= message.total_bytes);
        result = message.verification;
    }
    result.unwrap()
}
