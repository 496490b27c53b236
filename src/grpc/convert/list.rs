//! Lists of keys: what is asked, inwards; a page, outwards.

use std::time::Duration;

use tonic::Status;

use super::{Violations, sorted, violation};
use crate::{
    change::FieldViolation,
    keyring::{Filter, Page, PageRequest},
    pb::v1::{ApiKey, KeyStatus, ListApiKeysRequest, ListApiKeysResponse},
};

/// The longest duration that protobuf has: 10,000 years.
const MAX_SPAN: i64 = 315_576_000_000;

pub(in crate::grpc) fn page_request(request: ListApiKeysRequest) -> Result<PageRequest, Status> {
    let mut found = Violations::default();
    let size = usize::try_from(request.page_size)
        .map_err(|_| violation("page_size", "must not be negative"));
    let size = found.check(size);
    let some = |text: String| if text.is_empty() { None } else { Some(text) };
    let order = found.check(request.order_by.parse());
    let filter = request.filter.unwrap_or_default();
    let unused_for = found.check(span("filter.unused_for", filter.unused_for));
    let expires_within = found.check(span("filter.expires_within", filter.expires_within));
    let active = match filter.status() {
        KeyStatus::Unspecified if filter.status == 0 => None,
        status => Some(!found.check(status.is_inactive("filter.status", filter.status))),
    };
    let filter = Filter {
        active,
        team: some(filter.team),
        service: some(filter.service),
        roles: filter.roles,
        name_contains: some(filter.name_contains),
        unused_for,
        expires_within,
        expired: filter.expired,
        lifetime: filter.lifetime,
        labels: sorted(filter.labels),
        never_used: filter.never_used,
        search: None,
    };
    found.admit(PageRequest { size, token: request.page_token, order, filter })
}

fn span(
    field: &'static str,
    span: Option<prost_types::Duration>,
) -> Result<Option<Duration>, FieldViolation> {
    let Some(prost_types::Duration { seconds, nanos }) = span else { return Ok(None) };
    match (u64::try_from(seconds), u32::try_from(nanos)) {
        (Ok(whole), Ok(nanos)) if seconds <= MAX_SPAN && nanos < 1_000_000_000 => {
            Ok(Some(Duration::new(whole, nanos)))
        }
        _ => Err(violation(field, "must be a duration of 0 seconds to 10000 years")),
    }
}

pub(in crate::grpc) fn page(page: Page, api_keys: Vec<ApiKey>) -> ListApiKeysResponse {
    ListApiKeysResponse {
        api_keys,
        next_page_token: page.next,
        total_size: i64::try_from(page.total).unwrap_or(i64::MAX),
    }
}
