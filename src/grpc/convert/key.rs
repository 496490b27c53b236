//! Keys, and what has become of them, outwards.

use super::{status, timestamp};
use crate::{
    clock::Timestamp,
    keyring::{KeyringError, Revoked, Updated},
    pb::v1::{self, ActionRight, ApiKey, DailyUsage, KeySecret, KeyStatus, RevokeOutcome},
    policy::{Policy, Right, RightChange},
    record::{KeyRecord, SecretRecord},
    usage::{DayUsage, KeyUsage},
};

/// A key, without anything secret.
pub(in crate::grpc) fn api_key(key: &KeyRecord) -> ApiKey {
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
pub(in crate::grpc) fn used_api_key(
    key: &KeyRecord,
    usage: Option<(KeyUsage, Timestamp)>,
) -> ApiKey {
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

/// How a key was used on one day.
pub(in crate::grpc) fn daily_usage(day: &DayUsage) -> DailyUsage {
    DailyUsage {
        start_time: Some(timestamp(day.start)),
        allowed_count: day.allowed,
        denied_count: day.denied,
    }
}

/// A secret of `key`, without anything secret.
pub(in crate::grpc) fn secret(key: &KeyRecord, secret: &SecretRecord) -> KeySecret {
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

/// What became of a key that was to be revoked. Without what can be large: a
/// thousand of them are one message.
pub(in crate::grpc) fn revoke_outcome(
    id: String,
    revoked: Result<Revoked, KeyringError>,
) -> RevokeOutcome {
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

/// The actions to which a key's right changes.
pub(in crate::grpc) fn right_changes(policy: &Policy, updated: &Updated) -> Vec<v1::RightChange> {
    let Some(service) = policy.service(&updated.after.service) else { return Vec::new() };
    let (before, after) = (policy.rights(&updated.before), policy.rights(&updated.after));
    let changes = RightChange::between(service, before, after);
    let wire = |change: RightChange| v1::RightChange {
        action: service.action_name(change.action).to_owned(),
        before: Some(action_right(change.before)),
        after: Some(action_right(change.after)),
    };
    changes.map(wire).collect()
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
