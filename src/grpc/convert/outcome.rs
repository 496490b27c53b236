//! Decisions, outwards.

use crate::{
    authorizer::{Decision, Outcome, Reason},
    pb::v1::{
        AuthorizeResponse, Condition, ConditionalAction, DecisionReason, GetApiKeyRightsResponse,
        IntrospectResponse,
    },
    policy::{ConditionSet, Policy},
    record::KeyRecord,
    resolved_key::ResolvedKey,
};

/// A decision as the caller sees it; `correlation_id` is left empty.
pub(in crate::grpc) fn response(decision: &Decision) -> AuthorizeResponse {
    let conditions = match (decision.outcome, &decision.key) {
        (Outcome::Deny(Reason::ConditionUnmet(unmet)), Some(key)) => {
            conditions(unmet, key.subject())
        }
        _ => Vec::new(),
    };
    let (key_id, team, role) = match &decision.key {
        Some(key) => {
            let record = key.record();
            (record.id.to_string(), record.team.clone(), record.role.clone())
        }
        None => Default::default(),
    };
    AuthorizeResponse {
        allowed: decision.outcome == Outcome::Allow,
        reason: reason(decision.outcome).into(),
        key_id,
        team,
        role,
        conditions,
        revision: decision.revision,
        staleness_ms: 0,
        correlation_id: String::new(),
    }
}

pub(in crate::grpc) fn reason(outcome: Outcome) -> DecisionReason {
    match outcome {
        Outcome::Allow => DecisionReason::Allowed,
        Outcome::Deny(reason) => match reason {
            Reason::KeyMalformed => DecisionReason::KeyMalformed,
            Reason::KeyUnknown => DecisionReason::KeyUnknown,
            Reason::KeyInactive => DecisionReason::KeyInactive,
            Reason::KeyExpired => DecisionReason::KeyExpired,
            Reason::ServiceMismatch => DecisionReason::ServiceMismatch,
            Reason::ActionUnknown => DecisionReason::ActionUnknown,
            Reason::ActionDenied => DecisionReason::ActionDenied,
            Reason::ConditionUnmet(_) => DecisionReason::ConditionUnmet,
            Reason::RequestInvalid => DecisionReason::RequestInvalid,
        },
    }
}

/// The reason's name without the prefix of its enum; of no outcome, that nothing could be decided.
pub(crate) fn reason_name(outcome: Option<Outcome>) -> &'static str {
    const PREFIX: &str = "DECISION_REASON_";
    let name = outcome.map_or(DecisionReason::Unavailable, reason).as_str_name();
    name.strip_prefix(PREFIX).unwrap_or(name)
}

/// What a valid key may do.
pub(in crate::grpc) fn introspection(key: &ResolvedKey) -> IntrospectResponse {
    let (allowed_actions, conditional_actions) = rights(key);
    IntrospectResponse {
        key: Some(super::api_key(key.record())),
        allowed_actions,
        conditional_actions,
        reason: DecisionReason::Allowed.into(),
    }
}

/// What the key may do of which `state` is the decision about no action.
pub(in crate::grpc) fn key_rights(
    state: &Decision,
    policy: &Policy,
    key: KeyRecord,
) -> GetApiKeyRightsResponse {
    let (allowed_actions, conditional_actions) = rights(&ResolvedKey::new(key, policy));
    let reason = match state.outcome {
        // There is no action without a name: all that comes before is in order.
        Outcome::Deny(Reason::ActionUnknown) => Outcome::Allow,
        other => other,
    };
    let reason = self::reason(reason).into();
    GetApiKeyRightsResponse { allowed_actions, conditional_actions, reason }
}

/// The actions that are allowed, and those that are on conditions; sorted.
fn rights(key: &ResolvedKey) -> (Vec<String>, Vec<ConditionalAction>) {
    let Some(service) = key.service() else { return Default::default() };
    let mut allowed: Vec<_> = service.names(key.rights().always()).map(str::to_owned).collect();
    allowed.sort();
    let conditional = key.rights().conditional().map(|(action, needed)| ConditionalAction {
        action: service.action_name(action).to_owned(),
        conditions: conditions(needed, key.subject()),
    });
    let mut conditional: Vec<_> = conditional.collect();
    conditional.sort_by(|a, b| a.action.cmp(&b.action));
    (allowed, conditional)
}

/// What each of `set` needs, as alternatives numbered from 1.
fn conditions(set: ConditionSet, subject: &str) -> Vec<Condition> {
    (1..)
        .zip(set.iter())
        .flat_map(|(alternative, condition)| {
            condition.needs(subject).map(move |(attribute, value)| Condition {
                attribute: attribute.to_owned(),
                value: value.to_owned(),
                alternative,
            })
        })
        .collect()
}
