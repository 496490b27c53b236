//! What a client is told that may not pass: a status, and what to do.
//!
//! INVARIANT: nothing told to a caller without a valid key says whether a key ever existed, or what
//! an operation needs. No message holds what the client sent, but a field's name.

use super::{KeyHeaders, key_headers::CredentialFault};
use crate::{authorizer::Reason, policy::PathFault, resolved_key::ResolvedKey, token::redacted};

/// The answer to a request that may not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: Status,
    /// What is wrong and what to do, for people.
    pub message: String,
}

/// The HTTP status of a refusal.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// 401: no valid key.
    Unauthorized,
    /// 403: a valid key without the right.
    Forbidden,
    /// 503: could not decide.
    Unavailable,
}

/// What is wrong with a request, whatever its key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("{0}: send a plain path")]
    Path(#[from] PathFault),
    #[error("this method and path are no operation of the API: check both")]
    NoOperation,
    #[error("the body has the field `{}` twice: send each field once", shown(.0))]
    FieldTwice(String),
    #[error(
        "the proxy is configured with something that the authorization service does not know: `{}`",
        shown(.0)
    )]
    Configuration(String),
}

/// The longest part of a client's text that is told.
const MAX_SHOWN: usize = 64;

fn shown(text: &str) -> String {
    let text = redacted(text).unwrap_or_else(|| text.to_owned());
    text.escape_debug().take(MAX_SHOWN).collect()
}

impl Status {
    /// As a number.
    pub fn code(self) -> u16 {
        match self {
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::Unavailable => 503,
        }
    }
}

impl Fault {
    /// Why a valid key is denied.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Path(_) | Self::NoOperation => Reason::ActionUnknown,
            Self::FieldTwice(_) | Self::Configuration(_) => Reason::RequestInvalid,
        }
    }
}

impl Refusal {
    /// Of a request without a key to look at.
    pub(super) fn credential(fault: CredentialFault, headers: &KeyHeaders) -> Self {
        let usage: Vec<_> = headers.iter().map(|header| header.usage()).collect();
        let usage = usage.join(" or ");
        let message = match fault {
            CredentialFault::Missing => format!("no API key: send one, as {usage}"),
            CredentialFault::Several => {
                format!("more than one API key: send exactly one, as {usage}")
            }
            CredentialFault::Misplaced => {
                format!("an API key stands where none is looked for: send exactly one, as {usage}")
            }
            CredentialFault::NotText => NO_KEY.to_owned(),
        };
        Self { status: Status::Unauthorized, message }
    }

    /// Of a request that nothing could be decided about.
    pub(super) fn undecided() -> Self {
        let message = "could not decide whether this request is allowed: try again in a moment";
        Self { status: Status::Unavailable, message: message.to_owned() }
    }

    /// Of a request that cannot be read.
    pub(super) fn unreadable() -> Self {
        let message = "the request has text that is not UTF-8: send plain text";
        Self { status: Status::Forbidden, message: message.to_owned() }
    }

    /// Of a request that is denied to every key.
    pub(super) fn request(fault: &Fault) -> Self {
        Self { status: Status::Forbidden, message: fault.to_string() }
    }

    /// Of a request that is denied to this key. `action` is the one that it may not do.
    pub(super) fn denied(reason: Reason, key: Option<&ResolvedKey>, action: Option<&str>) -> Self {
        let action = action.unwrap_or_default();
        let role = key.map(|key| key.record().role.as_str()).unwrap_or_default();
        let (status, message) = match reason {
            Reason::KeyMalformed => (Status::Unauthorized, NO_KEY.to_owned()),
            Reason::KeyUnknown => (
                Status::Unauthorized,
                "this API key is not valid: check it, or create a new one".to_owned(),
            ),
            Reason::KeyInactive => (
                Status::Unauthorized,
                "this API key is switched off: activate it, or use another".to_owned(),
            ),
            Reason::KeyExpired => (
                Status::Unauthorized,
                "this API key has expired: set a later expiration, or create a new one".to_owned(),
            ),
            Reason::ServiceMismatch => (
                Status::Forbidden,
                "this API key is for another service: use one whose scope is this service"
                    .to_owned(),
            ),
            Reason::ActionUnknown => (
                Status::Forbidden,
                format!(
                    "`{}` is no action of the service: the policy or the proxy has to be mended",
                    shown(action)
                ),
            ),
            Reason::ActionDenied => (
                Status::Forbidden,
                format!(
                    "this API key's role, {role}, may not do this (`{}`): use a key with a role that may",
                    shown(action)
                ),
            ),
            Reason::ConditionUnmet(_) => (
                Status::Forbidden,
                format!(
                    "this API key's role, {role}, may do this (`{}`) only to some resources, which cannot be told apart here: use a key with a role that always may",
                    shown(action)
                ),
            ),
            Reason::RequestInvalid => {
                (Status::Forbidden, "the request contradicts itself".to_owned())
            }
        };
        Self { status, message }
    }
}

const NO_KEY: &str = "this is no API key: check that it was copied whole";
