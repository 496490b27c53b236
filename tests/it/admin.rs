//! The admin API: who may call it, what it lets them do, and what it keeps.

mod batch_revoke;
mod callers;
mod changes;
mod decisions;
mod expiration;
mod expiry;
mod fields;
mod finding;
mod import;
mod model;
mod paging;
mod powers;
mod role_changes;
mod roles;
mod rotation;
mod simulate;

use octavia_authz::pb::v1::{ApiKey, CreateApiKeyRequest, KeyStatus, UpdateApiKeyRequest};
use prost_types::FieldMask;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::sidecar::Sidecar;

/// A valid new key of `role` in `team`.
fn new_key(role: &str, team: &str) -> CreateApiKeyRequest {
    CreateApiKeyRequest {
        name: format!("a {role}"),
        role: role.into(),
        team: team.into(),
        ..Default::default()
    }
}

/// Creates a key as the operator.
async fn create(sidecar: &Sidecar, new: CreateApiKeyRequest) -> (ApiKey, String) {
    let created = sidecar.keys().await.create_api_key(new).await.unwrap().into_inner();
    (created.api_key.unwrap(), created.key)
}

/// An update of the fields that `paths` name.
fn update(id: &str, paths: &[&str], values: ApiKey) -> UpdateApiKeyRequest {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    UpdateApiKeyRequest {
        id: id.into(),
        api_key: Some(values),
        update_mask: Some(FieldMask { paths }),
        ..Default::default()
    }
}

fn switched_off() -> ApiKey {
    ApiKey { status: KeyStatus::Inactive.into(), ..Default::default() }
}

/// The fields that an INVALID_ARGUMENT names.
pub fn invalid_fields(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let details = status.get_error_details();
    let violations = details.bad_request().unwrap().field_violations.iter();
    violations.map(|violation| violation.field.clone()).collect()
}
