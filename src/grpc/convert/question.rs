//! What a request for a decision asks, inwards.

use super::violation;
use crate::{
    authorizer::Question, change::FieldViolation, pb::v1::AuthorizeRequest, policy::Attributes,
};

/// The longest name of a service or action.
const MAX_NAME: usize = Question::MAX_NAME;
/// The longest attribute, its name or value, and the longest correlation id.
const MAX_ATTRIBUTE: usize = Question::MAX_ATTRIBUTE;
/// The most attributes of a resource.
const MAX_ATTRIBUTES: usize = 64;

/// What `request` asks, if it is within the limits.
pub(in crate::grpc) fn question(
    request: &AuthorizeRequest,
) -> Result<Question<'_>, FieldViolation> {
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
pub(in crate::grpc) fn check_len(
    field: &'static str,
    text: &str,
    max: usize,
) -> Result<(), FieldViolation> {
    if text.len() <= max {
        Ok(())
    } else {
        Err(violation(field, format!("has {} bytes; at most {max}", text.len())))
    }
}

/// The correlation id to answer with: none that is over its limit.
pub(in crate::grpc) fn correlation_id(request: &AuthorizeRequest) -> String {
    if request.correlation_id.len() <= MAX_ATTRIBUTE {
        request.correlation_id.clone()
    } else {
        String::new()
    }
}
