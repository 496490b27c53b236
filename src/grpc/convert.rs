//! The border between wire types and ours.
//!
//! INVARIANT: what passes inwards is within its limits; what passes outwards
//! holds no secret. A reason that we do not know how to say is never an allow.

mod audit;
mod outcome;
mod status;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use tonic::Status;

pub use self::audit::verification;
pub(super) use self::{
    audit::{audit_filter, audit_page, audit_page_request, audit_status, batch, expected},
    outcome::{introspection, key_rights, reason, reason_name, response},
    status::{Violations, invalid_argument, oversize, status, unavailable, violation},
};
use crate::{
    authorizer::Question,
    change::{FieldViolation, Refusal},
    clock::Timestamp,
    digest::{Digest, Scheme},
    expiration::{Expiration, ExpirationError},
    keyring::{
        Filter, ImportedKey, KeyringError, NewKey, Page, PageRequest, Patch, Revoked, Updated,
    },
    pb::{
        self,
        v1::{
            ActionInfo, ActionRight, ApiKey, AuthorizeRequest, CreateApiKeyRequest,
            ImportApiKeysRequest, KeySecret, KeyStatus, ListApiKeysRequest, ListApiKeysResponse,
            ListRolesResponse, RevokeOutcome, RightChange, Role, RoleCondition, ServiceRoles,
            UpdateApiKeyRequest, imported_key::Digest as Given,
        },
    },
    policy::{Attributes, Policy, Right, Service},
    record::{KeyRecord, SecretRecord},
    usage::KeyUsage,
};

/// The most keys in one request.
const MAX_BATCH: usize = 1000;
/// The longest name of a service or action.
pub(super) const MAX_NAME: usize = 128;
/// The longest attribute, its name or value, and the longest correlation id.
const MAX_ATTRIBUTE: usize = 256;
/// The most attributes of a resource.
const MAX_ATTRIBUTES: usize = 64;

/// What `request` asks, if it is within the limits.
pub(super) fn question(request: &AuthorizeRequest) -> Result<Question<'_>, FieldViolation> {
    if request.action.is_empty() {
        return Err(violation("action", "must not be empty: name the action as `resource.verb`"));
    }
    check_len("action", &request.action, MAX_NAME)?;
    check_len("service", &request.service, MAX_NAME)?;
    check_len("correlation_id", &request.correlation_id, MAX_ATTRIBUTE)?;
    let mut attributes = Attributes::default();
    if let Some(resource) = &request.resource {
        check_len("resource.id", &resource.id, MAX_ATTRIBUTE)?;
        check_len("resource.owner", &resource.owner, MAX_ATTRIBUTE)?;
        check_len("resource.state", &resource.state, MAX_ATTRIBUTE)?;
        if resource.attributes.len() > MAX_ATTRIBUTES {
            let count = resource.attributes.len();
            return Err(violation(
                "resource.attributes",
                format!("holds {count} attributes; at most {MAX_ATTRIBUTES}"),
            ));
        }
        for (name, value) in &resource.attributes {
            check_len("resource.attributes", name, MAX_ATTRIBUTE)?;
            check_len("resource.attributes", value, MAX_ATTRIBUTE)?;
        }
        attributes = Attributes { owner: &resource.owner, state: &resource.state };
    }
    Ok(Question {
        key: &request.key,
        action: &request.action,
        service: &request.service,
        attributes,
    })
}

/// Refuses a text of more than `max` bytes.
pub(super) fn check_len(field: &'static str, text: &str, max: usize) -> Result<(), FieldViolation> {
    if text.len() <= max {
        Ok(())
    } else {
        Err(violation(field, format!("has {} bytes; at most {max}", text.len())))
    }
}

/// The correlation id to answer with: none that is over its limit.
pub(super) fn correlation_id(request: &AuthorizeRequest) -> String {
    if request.correlation_id.len() <= MAX_ATTRIBUTE {
        request.correlation_id.clone()
    } else {
        String::new()
    }
}

pub(super) fn new_key(request: CreateApiKeyRequest) -> Result<NewKey, Status> {
    let mut found = Violations::default();
    let new = NewKey {
        inactive: found.check(request.status().is_inactive("status", request.status)),
        expires: found.check(expires(request.expire_time, &request.expiration)),
        name: request.name,
        service: request.service,
        role: request.role,
        team: request.team,
        grants: request.grants,
        subject: request.subject,
        description: request.description,
        labels: sorted(request.labels),
    };
    found.admit(new)
}

/// The fields that the mask of `request` names.
pub(super) fn patch(request: UpdateApiKeyRequest) -> Result<Patch, Status> {
    let paths = request.update_mask.map(|mask| mask.paths).unwrap_or_default();
    let key = request.api_key.unwrap_or_default();
    if !request.expiration.is_empty() && !paths.iter().any(|path| path == "expire_time") {
        return Err(invalid_argument(&violation(
            "update_mask",
            "must name `expire_time` when `expiration` is given",
        )));
    }
    if paths.is_empty() {
        return Err(invalid_argument(&violation(
            "update_mask",
            format!("must name at least one of {UPDATABLE}"),
        )));
    }
    let mut found = Violations::default();
    let mut patch = Patch::default();
    for path in &paths {
        match path.as_str() {
            "name" => patch.name = Some(key.name.clone()),
            "role" => patch.role = Some(key.role.clone()),
            "grants" => patch.grants = Some(key.grants.clone()),
            "expire_time" => {
                patch.expires = Some(found.check(expires(key.expire_time, &request.expiration)));
            }
            "status" if key.status == KeyStatus::Unspecified as i32 => {
                found.add(violation("status", "must be ACTIVE or INACTIVE"));
            }
            "status" => {
                let inactive = found.check(key.status().is_inactive("status", key.status));
                patch.active = Some(!inactive);
            }
            "subject" => patch.subject = Some(key.subject.clone()),
            "description" => patch.description = Some(key.description.clone()),
            "labels" => patch.labels = Some(sorted(key.labels.clone())),
            other => {
                let shown: String = other.chars().filter(|c| !c.is_control()).take(64).collect();
                let problem = format!("`{shown}` cannot be changed; name {UPDATABLE}");
                found.add(violation("update_mask", problem));
            }
        }
    }
    found.admit(patch)
}

/// An expiration in either of its two forms; neither is lifetime.
fn expires(time: Option<prost_types::Timestamp>, text: &str) -> Result<Expiration, FieldViolation> {
    match (time, text) {
        (None, "") => Ok(Expiration::Lifetime),
        (Some(time), "") => instant("expire_time", time).map(Expiration::At),
        (None, text) => text
            .parse()
            .map_err(|error: ExpirationError| violation("expiration", error.to_string())),
        (Some(_), _) => Err(violation("expiration", "give it or `expire_time`, not both")),
    }
}

/// Refuses a batch that is empty, too large, or names a key twice.
pub(super) fn check_batch(ids: &[String]) -> Result<(), Status> {
    let problem = if ids.is_empty() {
        "must name at least one key".to_owned()
    } else if ids.len() > MAX_BATCH {
        format!("names {} keys; at most {MAX_BATCH}: send several batches", ids.len())
    } else {
        let mut seen = HashSet::new();
        match ids.iter().find(|id| !seen.insert(*id)) {
            None => return Ok(()),
            Some(id) => format!("names `{}` twice", shown(id)),
        }
    };
    Err(invalid_argument(&violation("ids", problem)))
}

/// What became of a key that was to be revoked. Without what can be large: a
/// thousand of them are one message.
pub(super) fn revoke_outcome(id: String, revoked: Result<Revoked, KeyringError>) -> RevokeOutcome {
    match revoked {
        Ok(Revoked { key, usage }) => {
            let (description, labels) = Default::default();
            let api_key = ApiKey { description, labels, ..used_api_key(&key, usage) };
            RevokeOutcome { id, api_key: Some(api_key), ..Default::default() }
        }
        Err(error) => {
            let status = status(error);
            let (code, message) = (status.code().into(), status.message().to_owned());
            RevokeOutcome { id, api_key: None, code, message }
        }
    }
}

/// Refuses a message of too many keys.
pub(super) fn check_import(message: &ImportApiKeysRequest) -> Result<(), Status> {
    let keys = message.keys.len();
    if keys <= MAX_BATCH {
        return Ok(());
    }
    let problem = format!("holds {keys} keys; at most {MAX_BATCH}: send several messages");
    Err(invalid_argument(&violation("keys", problem)))
}

/// A key to take over.
pub(super) fn imported_key(key: pb::v1::ImportedKey) -> Result<ImportedKey, Status> {
    let mut found = Violations::default();
    let digest = match &key.digest {
        Some(Given::Sha256(hex)) => digest("sha256", hex).map(|digest| (Scheme::Sha256, digest)),
        Some(Given::Blake3(hex)) => digest("blake3", hex).map(|digest| (Scheme::Blake3, digest)),
        None => Err(violation("digest", "give the `sha256` or `blake3` of the key's text")),
    };
    let (scheme, digest) = match digest {
        Ok(digest) => digest,
        Err(violation) => return Err(invalid_argument(&violation)),
    };
    let id = match key.id.as_str() {
        "" => Ok(None),
        id => id.parse().map(Some).map_err(|_| {
            violation("id", "must be the 10 characters after `octv_` in the key's text, or empty")
        }),
    };
    let mut time = |field, at: Option<prost_types::Timestamp>| {
        found.check(at.map(|at| instant(field, at)).transpose())
    };
    let created = time("create_time", key.create_time);
    let last_used = time("last_used_time", key.last_used_time);
    let new = NewKey {
        inactive: found.check(key.status().is_inactive("status", key.status)),
        expires: found.check(expires(key.expire_time, "")),
        name: key.name,
        service: key.service,
        role: key.role,
        team: key.team,
        grants: key.grants,
        subject: key.subject,
        description: key.description,
        labels: sorted(key.labels),
    };
    let id = found.check(id);
    found.admit(ImportedKey { new, scheme, digest, id, hint: key.hint, created, last_used })
}

/// A digest in hexadecimal digits.
fn digest(field: &'static str, hex: &str) -> Result<Digest, FieldViolation> {
    let wrong = || violation(field, "must be 64 hexadecimal digits");
    // Not what blake3 takes: it would accept uppercase only in parts.
    let hash = blake3::Hash::from_hex(hex.to_ascii_lowercase()).map_err(|_| wrong())?;
    Ok(Digest::from_bytes(*hash.as_bytes()))
}

/// The actions to which a key's right changes.
pub(super) fn right_changes(policy: &Policy, updated: &Updated) -> Vec<RightChange> {
    let Some(service) = policy.service(&updated.after.service) else { return Vec::new() };
    let before = policy.rights(&updated.before).unwrap_or_default();
    let after = policy.rights(&updated.after).unwrap_or_default();
    let changes = service.actions().iter().filter_map(|action| {
        let id = service.action(action.name())?;
        let (before, after) = (before.right(id), after.right(id));
        (before != after).then(|| RightChange {
            action: action.name().to_owned(),
            before: Some(action_right(before)),
            after: Some(action_right(after)),
        })
    });
    changes.collect()
}

fn action_right(right: Right) -> ActionRight {
    let conditions = match right {
        Right::When(conditions) => {
            conditions.iter().map(|condition| condition.name().to_owned()).collect()
        }
        Right::Always | Right::Never => Vec::new(),
    };
    ActionRight { allowed: right == Right::Always, conditions }
}

/// Text of a caller in a message to it.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

const UPDATABLE: &str =
    "`name`, `role`, `grants`, `expire_time`, `status`, `description`, `labels`, `subject`";

pub(super) fn page_request(request: ListApiKeysRequest) -> Result<PageRequest, Status> {
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
    };
    found.admit(PageRequest { size, token: request.page_token, order, filter })
}

/// The longest duration that protobuf has: 10,000 years.
const MAX_SPAN: i64 = 315_576_000_000;

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

impl KeyStatus {
    /// A number that is no status reads as `Unspecified`: it is refused, not
    /// taken for ACTIVE.
    fn is_inactive(self, field: &'static str, number: i32) -> Result<bool, FieldViolation> {
        match self {
            Self::Unspecified if number != 0 => {
                Err(violation(field, format!("{number} is no status: give ACTIVE or INACTIVE")))
            }
            Self::Unspecified | Self::Active => Ok(false),
            Self::Inactive => Ok(true),
        }
    }
}

fn sorted(labels: HashMap<String, String>) -> BTreeMap<String, String> {
    labels.into_iter().collect()
}

/// A key, without anything secret.
pub(super) fn api_key(key: &KeyRecord) -> ApiKey {
    let status = if key.active { KeyStatus::Active } else { KeyStatus::Inactive };
    ApiKey {
        id: key.id.to_string(),
        name: key.name.clone(),
        team: key.team.clone(),
        service: key.service.clone(),
        role: key.role.clone(),
        grants: key.grants.clone(),
        status: status.into(),
        expire_time: key.expires.map(timestamp),
        create_time: Some(timestamp(key.created)),
        update_time: Some(timestamp(key.updated)),
        subject: key.subject.clone(),
        description: key.description.clone(),
        labels: key.labels.clone().into_iter().collect(),
        created_by: key.created_by.to_string(),
        etag: key.etag(),
        secrets: key.secrets.iter().map(|known| secret(key, known)).collect(),
        last_used_time: None,
        allowed_count: 0,
        denied_count: 0,
        usage_since_time: None,
        import_time: key.imported.map(timestamp),
    }
}

/// The same, with how it was used and since when that is known.
pub(super) fn used_api_key(key: &KeyRecord, usage: Option<(KeyUsage, Timestamp)>) -> ApiKey {
    let mut shown = api_key(key);
    let Some((usage, since)) = usage else { return shown };
    shown.last_used_time = usage.last_used.map(timestamp);
    (shown.allowed_count, shown.denied_count) = (usage.allowed, usage.denied);
    shown.usage_since_time = Some(timestamp(since));
    for secret in &mut shown.secrets {
        let used = usage.secrets.iter().find(|(number, _)| *number == secret.number);
        secret.last_used_time = used.map(|(_, at)| timestamp(*at));
    }
    shown
}

/// A secret of `key`, without anything secret.
pub(super) fn secret(key: &KeyRecord, secret: &SecretRecord) -> KeySecret {
    let hint = match secret.foreign {
        true => secret.hint.clone(),
        false => format!("octv_{}_…{}", key.id, secret.hint),
    };
    KeySecret {
        hint,
        create_time: Some(timestamp(secret.created)),
        expire_time: secret.expires.map(timestamp),
        last_used_time: None,
        number: secret.number,
        digest_scheme: secret.scheme.to_string(),
    }
}

/// How long a secret that was replaced is still accepted.
pub(super) fn overlap(overlap: Option<prost_types::Duration>) -> Result<Duration, Status> {
    let overlap = overlap.map(duration).transpose();
    let negative = |NotDuration| invalid_argument(&violation("overlap", "must be 0 to 90 days"));
    Ok(overlap.map_err(negative)?.unwrap_or_default())
}

/// A wire duration is negative, or none.
#[derive(Debug)]
pub(super) struct NotDuration;

/// A wire duration. (prost's own conversion panics on some.)
pub(super) fn duration(wire: prost_types::Duration) -> Result<Duration, NotDuration> {
    let nanos = u32::try_from(wire.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    match (u64::try_from(wire.seconds), nanos) {
        (Ok(seconds), Some(nanos)) => Ok(Duration::new(seconds, nanos)),
        _ => Err(NotDuration),
    }
}

pub(super) fn page(page: Page, api_keys: Vec<ApiKey>) -> ListApiKeysResponse {
    ListApiKeysResponse {
        api_keys,
        next_page_token: page.next,
        total_size: i64::try_from(page.total).unwrap_or(i64::MAX),
    }
}

/// The roles of `service`, or of all when it is empty.
pub(super) fn roles(policy: &Policy, service: &str) -> Result<ListRolesResponse, Status> {
    let services: Vec<_> =
        policy.services().filter(|known| service.is_empty() || known.name() == service).collect();
    if services.is_empty() {
        let shown: String = service.chars().filter(|c| !c.is_control()).take(64).collect();
        return Err(status(
            Refusal::field("service", format!("there is no service `{shown}`")).into(),
        ));
    }
    Ok(ListRolesResponse {
        services: services.into_iter().map(|service| service_roles(service)).collect(),
    })
}

fn service_roles(service: &Service) -> ServiceRoles {
    let names = |set| service.names(set).map(str::to_owned).collect();
    let actions = service.actions().iter().map(|action| ActionInfo {
        action: action.name().to_owned(),
        meaning: action.meaning().to_owned(),
    });
    let roles = service.roles().iter().map(|role| Role {
        role: role.name().to_owned(),
        title: role.title().to_owned(),
        intended_use: role.intended_use().to_owned(),
        summary: role.summary().to_owned(),
        allowed_actions: names(role.rights().always()),
        conditional_actions: role
            .rights()
            .conditional()
            .map(|(action, conditions)| RoleCondition {
                action: service.action_name(action).to_owned(),
                conditions: conditions
                    .iter()
                    .map(|condition| condition.name().to_owned())
                    .collect(),
            })
            .collect(),
        grantable_actions: names(role.grantable()),
    });
    ServiceRoles {
        service: service.name().to_owned(),
        title: service.title().to_owned(),
        actions: actions.collect(),
        roles: roles.collect(),
    }
}

pub(super) fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    // A remainder of 1000 milliseconds is within an i32 of nanoseconds.
    let nanos = i32::try_from(at.0.rem_euclid(1000) * 1_000_000).unwrap_or_default();
    prost_types::Timestamp { seconds: at.0.div_euclid(1000), nanos }
}

/// The instant of a wire timestamp, to the millisecond below.
fn instant(field: &'static str, at: prost_types::Timestamp) -> Result<Timestamp, FieldViolation> {
    let millis =
        at.seconds.checked_mul(1000).and_then(|ms| ms.checked_add(i64::from(at.nanos / 1_000_000)));
    let in_range = (0..1_000_000_000).contains(&at.nanos);
    millis
        .filter(|_| in_range)
        .map(Timestamp)
        .ok_or_else(|| violation(field, "is not a valid timestamp"))
}

/// Bytes as lowercase hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
