//! Errors, outwards: which gRPC status says what.

use std::{error::Error, io};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    authorizer::log_unread,
    change::{FieldViolation, Refusal},
    keyring::KeyringError,
    store::{CommitError, StoreError},
    token::redacted,
};

/// How many bytes of violations are told. They travel twice, once as base64.
const MAX_VIOLATIONS: usize = 1536;

/// A field that is not valid.
pub(in crate::grpc) fn violation(
    field: &'static str,
    problem: impl Into<String>,
) -> FieldViolation {
    FieldViolation { field, problem: problem.into() }
}

/// INVALID_ARGUMENT with `google.rpc.BadRequest`.
pub(in crate::grpc) fn invalid_argument(invalid: &FieldViolation) -> Status {
    bad_request(std::slice::from_ref(invalid))
}

/// What is wrong with the fields of a request, to be told at once.
#[derive(Default)]
pub(in crate::grpc) struct Violations(Vec<FieldViolation>);

impl Violations {
    pub(in crate::grpc) fn add(&mut self, violation: FieldViolation) {
        self.0.push(violation);
    }

    /// The value. For one that is not valid a stand-in, which `admit` holds back.
    pub(in crate::grpc) fn check<T: Default>(&mut self, value: Result<T, FieldViolation>) -> T {
        value.unwrap_or_else(|violation| {
            self.add(violation);
            T::default()
        })
    }

    /// `value`, if nothing is wrong.
    pub(in crate::grpc) fn admit<T>(self, value: T) -> Result<T, Status> {
        if self.0.is_empty() { Ok(value) } else { Err(bad_request(&self.0)) }
    }
}

/// UNAVAILABLE: a key could not be read. The details are for the log.
pub(in crate::grpc) fn unavailable(error: &StoreError) -> Status {
    log_unread(error);
    Status::unavailable("the store could not be read; nothing was decided")
}

/// tonic says OUT_OF_RANGE of a message that is too large; the contract says
/// INVALID_ARGUMENT.
pub(in crate::grpc) fn oversize(status: Status) -> Status {
    if status.code() == Code::OutOfRange {
        Status::invalid_argument(status.message())
    } else {
        status
    }
}

/// What a failed call on the keyring is on the wire.
pub(in crate::grpc) fn status(error: KeyringError) -> Status {
    let error = match error {
        KeyringError::Commit(error) => error,
        KeyringError::NoRandomness(error) => return Status::unavailable(error.to_string()),
        KeyringError::TooManyLooks => return Status::resource_exhausted(error.to_string()),
        KeyringError::BrokenOff => return Status::internal(error.to_string()),
        KeyringError::ImportedWithoutUsage(ref source) => {
            tracing::warn!(
                error = source as &dyn Error,
                "the use of imported keys was not written"
            );
            return Status::unavailable(error.to_string());
        }
    };
    let message = error.to_string();
    let message = redacted(&message).unwrap_or(message);
    match error {
        CommitError::Refused(refusal) => match &refusal {
            Refusal::Unauthenticated(_) => Status::unauthenticated(message),
            Refusal::Forbidden(_) => Status::permission_denied(message),
            Refusal::NotFound(_) => Status::not_found(message),
            Refusal::StaleEtag { .. } => Status::aborted(message),
            Refusal::Invalid(violations) => bad_request(violations),
        },
        CommitError::Read(StoreError::Unavailable(_)) => Status::unavailable(message),
        CommitError::Read(error) => unavailable(&error),
        CommitError::NotWritten(source) => match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Status::resource_exhausted(message),
            _ => Status::unavailable(message),
        },
        CommitError::InDoubt => Status::unknown(message),
        CommitError::Closed => Status::unavailable(message),
    }
}

/// Names as many violations as fit: a status travels in headers, and clients
/// take 8 KiB of them.
fn bad_request(violations: &[FieldViolation]) -> Status {
    let mut details = ErrorDetails::new();
    let mut message = String::new();
    for (told, violation) in violations.iter().enumerate() {
        // It may quote what the caller gave.
        let clean = |text: String| redacted(&text).unwrap_or(text);
        let text = clean(violation.to_string());
        if told > 0 && message.len() + text.len() > MAX_VIOLATIONS {
            let more = violations.len() - told;
            message.push_str(&format!("; and {more} more"));
            break;
        }
        message.push_str(if told == 0 { "invalid " } else { "; " });
        message.push_str(&text);
        details.add_bad_request_violation(violation.field, clean(violation.problem.clone()));
    }
    Status::with_error_details(Code::InvalidArgument, message, details)
}
