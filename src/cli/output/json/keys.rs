//! Keys and what becomes of them, as JSON. Used by the `keys` commands.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{super::super::time::exact, Condition, reason, status};
use crate::pb::v1;

/// An API key.
#[derive(Serialize)]
pub(crate) struct ApiKey<'a> {
    id: &'a str,
    name: &'a str,
    team: &'a str,
    service: &'a str,
    role: &'a str,
    grants: &'a [String],
    status: &'static str,
    /// `null`: lifetime.
    expire_time: Option<String>,
    create_time: Option<String>,
    update_time: Option<String>,
    subject: &'a str,
    description: &'a str,
    labels: BTreeMap<&'a str, &'a str>,
    created_by: &'a str,
    etag: &'a str,
    secrets: Vec<KeySecret<'a>>,
    /// `null`: not since `usage_since_time`.
    last_used_time: Option<String>,
    allowed_count: u64,
    denied_count: u64,
    /// `null`: use is not tracked.
    usage_since_time: Option<String>,
    /// `null`: created here.
    import_time: Option<String>,
}

/// One of its secrets.
#[derive(Serialize)]
pub(crate) struct KeySecret<'a> {
    hint: &'a str,
    create_time: Option<String>,
    /// `null`: with the key.
    expire_time: Option<String>,
    last_used_time: Option<String>,
    number: u32,
    digest_scheme: &'a str,
}

impl<'a> From<&'a v1::ApiKey> for ApiKey<'a> {
    fn from(key: &'a v1::ApiKey) -> ApiKey<'a> {
        let labels = key.labels.iter();
        ApiKey {
            id: &key.id,
            name: &key.name,
            team: &key.team,
            service: &key.service,
            role: &key.role,
            grants: &key.grants,
            status: status(key.status()),
            expire_time: key.expire_time.as_ref().map(exact),
            create_time: key.create_time.as_ref().map(exact),
            update_time: key.update_time.as_ref().map(exact),
            subject: &key.subject,
            description: &key.description,
            labels: labels.map(|(k, v)| (k.as_str(), v.as_str())).collect(),
            created_by: &key.created_by,
            etag: &key.etag,
            secrets: key.secrets.iter().map(KeySecret::from).collect(),
            last_used_time: key.last_used_time.as_ref().map(exact),
            allowed_count: key.allowed_count,
            denied_count: key.denied_count,
            usage_since_time: key.usage_since_time.as_ref().map(exact),
            import_time: key.import_time.as_ref().map(exact),
        }
    }
}

impl<'a> From<&'a v1::KeySecret> for KeySecret<'a> {
    fn from(secret: &'a v1::KeySecret) -> KeySecret<'a> {
        KeySecret {
            hint: &secret.hint,
            create_time: secret.create_time.as_ref().map(exact),
            expire_time: secret.expire_time.as_ref().map(exact),
            last_used_time: secret.last_used_time.as_ref().map(exact),
            number: secret.number,
            digest_scheme: &secret.digest_scheme,
        }
    }
}

/// A key that was read or changed.
#[derive(Serialize)]
pub(crate) struct OneKey<'a> {
    /// The key.
    pub(crate) api_key: ApiKey<'a>,
    /// Its text, where there is one to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<&'a str>,
    /// The file that its text was written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key_out: Option<String>,
    /// After a rotation: the secrets that were accepted before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dropped_secrets: Option<Vec<KeySecret<'a>>>,
    /// Where it was read: how it was used on the last days, the oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) daily_usage: Option<Vec<DailyUsage>>,
}

/// How many of a key's requests were counted on one day.
#[derive(Serialize)]
pub(crate) struct DailyUsage {
    /// Its midnight, UTC.
    start_time: Option<String>,
    allowed_count: u64,
    denied_count: u64,
}

impl From<&v1::DailyUsage> for DailyUsage {
    fn from(day: &v1::DailyUsage) -> DailyUsage {
        DailyUsage {
            start_time: day.start_time.as_ref().map(exact),
            allowed_count: day.allowed_count,
            denied_count: day.denied_count,
        }
    }
}

impl<'a> From<&'a v1::ApiKey> for OneKey<'a> {
    /// The key alone.
    fn from(key: &'a v1::ApiKey) -> OneKey<'a> {
        OneKey {
            api_key: key.into(),
            key: None,
            key_out: None,
            dropped_secrets: None,
            daily_usage: None,
        }
    }
}

/// A key that was changed, and what that means to its rights.
#[derive(Serialize)]
pub(crate) struct Updated<'a> {
    /// The key.
    pub(crate) api_key: ApiKey<'a>,
    /// The actions to which its right changes.
    pub(crate) right_changes: Vec<RightChange<'a>>,
    /// Whether nothing was changed.
    pub(crate) dry_run: bool,
    /// The fields that would change; with `dry_run` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) field_changes: Option<Vec<FieldChange>>,
}

/// A field of a key, before and after a change.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FieldChange {
    /// Its name in the API.
    pub(crate) field: &'static str,
    /// Its value before.
    pub(crate) before: Value,
    /// Its value after.
    pub(crate) after: Value,
}

/// A right to an action, before and after a change.
#[derive(Serialize)]
pub(crate) struct RightChange<'a> {
    action: &'a str,
    before: ActionRight<'a>,
    after: ActionRight<'a>,
}

#[derive(Serialize)]
struct ActionRight<'a> {
    allowed: bool,
    conditions: &'a [String],
}

impl<'a> From<&'a v1::RightChange> for RightChange<'a> {
    fn from(change: &'a v1::RightChange) -> RightChange<'a> {
        let right = |right: Option<&'a v1::ActionRight>| ActionRight {
            allowed: right.is_some_and(|right| right.allowed),
            conditions: right.map_or(&[], |right| &right.conditions),
        };
        RightChange {
            action: &change.action,
            before: right(change.before.as_ref()),
            after: right(change.after.as_ref()),
        }
    }
}

/// Keys that were revoked together.
#[derive(Serialize)]
pub(crate) struct Revoked<'a> {
    /// What became of each.
    pub(crate) outcomes: Vec<RevokeOutcome<'a>>,
    /// How many were, or with `dry_run` would be, revoked.
    pub(crate) revoked_count: u64,
    /// Whether nothing was changed.
    pub(crate) dry_run: bool,
}

/// What became of one key.
#[derive(Serialize)]
pub(crate) struct RevokeOutcome<'a> {
    id: &'a str,
    /// `null`: it was not revoked.
    api_key: Option<ApiKey<'a>>,
    /// The number of a gRPC status code, 0 where it was revoked.
    code: i32,
    message: &'a str,
}

impl<'a> From<&'a v1::RevokeOutcome> for RevokeOutcome<'a> {
    fn from(outcome: &'a v1::RevokeOutcome) -> RevokeOutcome<'a> {
        RevokeOutcome {
            id: &outcome.id,
            api_key: outcome.api_key.as_ref().map(ApiKey::from),
            code: outcome.code,
            message: &outcome.message,
        }
    }
}

/// Keys that were imported.
#[derive(Serialize)]
pub(crate) struct Imported<'a> {
    /// How many were, or with `dry_run` would be, taken over.
    pub(crate) imported_count: u64,
    /// How many were there already.
    pub(crate) existing_count: u64,
    /// How many could not be taken over.
    pub(crate) failed_count: u64,
    /// The first of these.
    pub(crate) failures: Vec<ImportFailure<'a>>,
    /// Whether nothing was changed.
    pub(crate) dry_run: bool,
}

/// A key that was not imported.
#[derive(Serialize)]
pub(crate) struct ImportFailure<'a> {
    /// The line of the file, from 1; `null`: not known.
    pub(crate) line: Option<u64>,
    /// Its name.
    pub(crate) name: &'a str,
    /// The number of a gRPC status code.
    pub(crate) code: i32,
    /// Why.
    pub(crate) message: &'a str,
}

/// What a key may do.
#[derive(Serialize)]
pub(crate) struct Rights<'a> {
    allowed_actions: &'a [String],
    conditional_actions: Vec<ConditionalAction<'a>>,
    reason: &'static str,
}

#[derive(Serialize)]
struct ConditionalAction<'a> {
    action: &'a str,
    conditions: Vec<Condition<'a>>,
}

impl<'a> From<&'a v1::GetApiKeyRightsResponse> for Rights<'a> {
    fn from(rights: &'a v1::GetApiKeyRightsResponse) -> Rights<'a> {
        let conditional = rights.conditional_actions.iter().map(|right| ConditionalAction {
            action: &right.action,
            conditions: right.conditions.iter().map(Condition::from).collect(),
        });
        Rights {
            allowed_actions: &rights.allowed_actions,
            conditional_actions: conditional.collect(),
            reason: reason(rights.reason()),
        }
    }
}

/// Keys that were listed.
#[derive(Serialize)]
pub(crate) struct ManyKeys<'a> {
    /// The keys.
    pub(crate) api_keys: Vec<ApiKey<'a>>,
    /// How many match in all.
    pub(crate) total_size: i64,
    /// Where the next page starts; empty where there is none.
    pub(crate) next_page_token: &'a str,
}
