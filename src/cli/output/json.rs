//! The wire's messages as JSON: snake_case names as in the protos, times in RFC
//! 3339, enumerations without their prefix. Scripts rely on these names. Used
//! by the client commands.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::time::exact;
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
}

#[derive(Serialize)]
struct KeySecret<'a> {
    hint: &'a str,
    create_time: Option<String>,
    /// `null`: with the key.
    expire_time: Option<String>,
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
        }
    }
}

impl<'a> From<&'a v1::KeySecret> for KeySecret<'a> {
    fn from(secret: &'a v1::KeySecret) -> KeySecret<'a> {
        KeySecret {
            hint: &secret.hint,
            create_time: secret.create_time.as_ref().map(exact),
            expire_time: secret.expire_time.as_ref().map(exact),
        }
    }
}

/// `ACTIVE`, `INACTIVE`.
pub(crate) fn status(status: v1::KeyStatus) -> &'static str {
    unprefixed(status.as_str_name(), "KEY_STATUS_")
}

/// `ALLOWED`, `ACTION_DENIED`, …
pub(crate) fn reason(reason: v1::DecisionReason) -> &'static str {
    unprefixed(reason.as_str_name(), "DECISION_REASON_")
}

fn unprefixed(name: &'static str, prefix: &str) -> &'static str {
    name.strip_prefix(prefix).unwrap_or(name)
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

/// A decision.
#[derive(Serialize)]
pub(crate) struct Decision<'a> {
    /// Whether the action may be done.
    pub(crate) allowed: bool,
    /// Why.
    pub(crate) reason: &'static str,
    key_id: &'a str,
    team: &'a str,
    role: &'a str,
    conditions: Vec<Condition<'a>>,
    revision: u64,
    staleness_ms: u64,
}

#[derive(Serialize)]
struct Condition<'a> {
    attribute: &'a str,
    value: &'a str,
    alternative: u32,
}

impl<'a> From<&'a v1::AuthorizeResponse> for Decision<'a> {
    fn from(response: &'a v1::AuthorizeResponse) -> Decision<'a> {
        let conditions = response.conditions.iter().map(|condition| Condition {
            attribute: &condition.attribute,
            value: &condition.value,
            alternative: condition.alternative,
        });
        Decision {
            allowed: response.allowed,
            reason: reason(response.reason()),
            key_id: &response.key_id,
            team: &response.team,
            role: &response.role,
            conditions: conditions.collect(),
            revision: response.revision,
            staleness_ms: response.staleness_ms,
        }
    }
}

/// The policy's services.
#[derive(Serialize)]
pub(crate) struct Services<'a> {
    services: Vec<Service<'a>>,
}

#[derive(Serialize)]
struct Service<'a> {
    service: &'a str,
    title: &'a str,
    actions: Vec<Action<'a>>,
    roles: Vec<Role<'a>>,
}

#[derive(Serialize)]
struct Action<'a> {
    action: &'a str,
    meaning: &'a str,
}

#[derive(Serialize)]
struct Role<'a> {
    role: &'a str,
    title: &'a str,
    intended_use: &'a str,
    summary: &'a str,
    allowed_actions: &'a [String],
    conditional_actions: Vec<RoleCondition<'a>>,
    grantable_actions: &'a [String],
}

#[derive(Serialize)]
struct RoleCondition<'a> {
    action: &'a str,
    conditions: &'a [String],
}

impl<'a> From<&'a [v1::ServiceRoles]> for Services<'a> {
    fn from(services: &'a [v1::ServiceRoles]) -> Services<'a> {
        Services { services: services.iter().map(Service::from).collect() }
    }
}

impl<'a> From<&'a v1::ServiceRoles> for Service<'a> {
    fn from(service: &'a v1::ServiceRoles) -> Service<'a> {
        let actions = service
            .actions
            .iter()
            .map(|action| Action { action: &action.action, meaning: &action.meaning });
        Service {
            service: &service.service,
            title: &service.title,
            actions: actions.collect(),
            roles: service.roles.iter().map(Role::from).collect(),
        }
    }
}

impl<'a> From<&'a v1::Role> for Role<'a> {
    fn from(role: &'a v1::Role) -> Role<'a> {
        let conditional = role
            .conditional_actions
            .iter()
            .map(|right| RoleCondition { action: &right.action, conditions: &right.conditions });
        Role {
            role: &role.role,
            title: &role.title,
            intended_use: &role.intended_use,
            summary: &role.summary,
            allowed_actions: &role.allowed_actions,
            conditional_actions: conditional.collect(),
            grantable_actions: &role.grantable_actions,
        }
    }
}

/// What the sidecar runs, and on what data.
#[derive(Serialize)]
pub(crate) struct Status<'a> {
    version: &'a str,
    start_time: Option<String>,
    revision: u64,
    key_count: u64,
    policy_digest: &'a str,
    store: &'a str,
    state_digest: &'a str,
    journal_head: &'a str,
    data_dir: &'a str,
    cached_keys: u64,
}

impl<'a> From<&'a v1::GetStatusResponse> for Status<'a> {
    fn from(status: &'a v1::GetStatusResponse) -> Status<'a> {
        Status {
            version: &status.version,
            start_time: status.start_time.as_ref().map(exact),
            revision: status.revision,
            key_count: status.key_count,
            policy_digest: &status.policy_digest,
            store: &status.store,
            state_digest: &status.state_digest,
            journal_head: &status.journal_head,
            data_dir: &status.data_dir,
            cached_keys: status.cached_keys,
        }
    }
}
