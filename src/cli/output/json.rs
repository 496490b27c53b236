//! The wire's messages as JSON: snake_case names as in the protos, times in RFC
//! 3339, enumerations without their prefix. Scripts rely on these names. Used
//! by the client commands.

use serde::Serialize;

use super::super::time::exact;
use crate::pb::v1;

pub(crate) mod audit;
mod keys;

pub(crate) use keys::*;

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

/// What a condition asks for.
#[derive(Serialize)]
pub(crate) struct Condition<'a> {
    attribute: &'a str,
    value: &'a str,
    alternative: u32,
}

impl<'a> From<&'a v1::Condition> for Condition<'a> {
    fn from(condition: &'a v1::Condition) -> Condition<'a> {
        Condition {
            attribute: &condition.attribute,
            value: &condition.value,
            alternative: condition.alternative,
        }
    }
}

impl<'a> From<&'a v1::AuthorizeResponse> for Decision<'a> {
    fn from(response: &'a v1::AuthorizeResponse) -> Decision<'a> {
        let conditions = response.conditions.iter().map(Condition::from);
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
    /// Empty: none.
    pepper: &'a str,
    outdated_digest_count: u64,
    /// 0: there are no events.
    oldest_audit_sequence: u64,
    usage_since_time: Option<String>,
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
            pepper: &status.pepper,
            outdated_digest_count: status.outdated_digest_count,
            oldest_audit_sequence: status.oldest_audit_sequence,
            usage_since_time: status.usage_since_time.as_ref().map(exact),
        }
    }
}
