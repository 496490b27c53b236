//! What is answered: decisions and errors as JSON.
//!
//! INVARIANT: only an outcome that allows is `"decision": true`; no answer holds a key's text.

use axum::{body::Body, response::Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::json::Fault;
use crate::{
    authorizer::{Decision, Outcome, Reason},
    grpc::reason_name,
    policy::ConditionSet,
    store::Revision,
};

/// One decision.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    pub(super) decision: bool,
    context: Context,
}

/// Several, in the order of what was asked.
#[derive(Debug, Serialize)]
pub(super) struct Answers {
    pub(super) evaluations: Vec<Answer>,
}

#[derive(Debug, Serialize)]
struct Context {
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conditions: Vec<Condition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Error>,
    revision: Revision,
}

/// What a request would have to carry; those of one alternative together.
#[derive(Debug, Serialize)]
struct Condition {
    alternative: u32,
    /// Its place in a request.
    attribute: String,
    value: String,
}

/// Why nothing was decided.
#[derive(Debug, Serialize)]
pub(super) struct Error {
    status: u16,
    message: String,
}

impl Answer {
    /// What was decided.
    pub(super) fn decided(decision: &Decision) -> Self {
        let conditions = match (decision.outcome, &decision.key) {
            (Outcome::Deny(Reason::ConditionUnmet(unmet)), Some(key)) => {
                conditions(unmet, key.subject())
            }
            _ => Vec::new(),
        };
        let record = decision.key.as_ref().map(|key| key.record());
        Self {
            decision: decision.outcome == Outcome::Allow,
            context: Context {
                reason: reason_name(Some(decision.outcome)),
                key_id: record.map(|record| record.id.to_string()),
                team: record.map(|record| record.team.clone()),
                role: record.map(|record| record.role.clone()),
                conditions,
                error: None,
                revision: decision.revision,
            },
        }
    }

    /// That nothing was decided of one among several.
    pub(super) fn undecided(error: Error, revision: Revision) -> Self {
        let outcome = match error.status {
            400 => Some(Outcome::Deny(Reason::RequestInvalid)),
            _ => None,
        };
        let context = Context {
            reason: reason_name(outcome),
            key_id: None,
            team: None,
            role: None,
            conditions: Vec::new(),
            error: Some(error),
            revision,
        };
        Self { decision: false, context }
    }
}

impl Error {
    /// An error of this status, with what is wrong and what to do.
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status: status.as_u16(), message: message.into() }
    }

    /// As the answer to the whole request.
    pub(super) fn response(self) -> Response {
        let status = StatusCode::from_u16(self.status);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        json(status, &serde_json::json!({ "error": self }))
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::new(StatusCode::BAD_REQUEST, fault.to_string())
    }
}

/// `value` as the body of an answer that nobody keeps.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    // Strings and numbers in structs are always JSON.
    let mut response = Response::new(Body::from(serde_json::to_vec(value).unwrap_or_default()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What each of `set` needs, as alternatives numbered from 1.
fn conditions(set: ConditionSet, subject: &str) -> Vec<Condition> {
    let alternatives = (1..).zip(set.iter());
    let needs = alternatives.flat_map(|(alternative, condition)| {
        condition.needs(subject).map(move |(attribute, value)| Condition {
            alternative,
            attribute: place(attribute),
            value: value.to_owned(),
        })
    });
    needs.collect()
}

/// Where a request carries what the policy calls `attribute`.
fn place(attribute: &str) -> String {
    let name = attribute.strip_prefix("resource.").unwrap_or(attribute);
    format!("resource.properties.{name}")
}
