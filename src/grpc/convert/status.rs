//! Errors, outwards: which gRPC status says what.

use std::{error::Error, io};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    change::{FieldViolation, Refusal},
    keyring::KeyringError,
    store::{CommitError, StoreError},
};

/// A field that is not valid.
pub(in crate::grpc) fn violation(
    field: &'static str,
    problem: impl Into<String>,
) -> FieldViolation {
    FieldViolation { field, problem: problem.into() }
}

/// INVALID_ARGUMENT with `google.rpc.BadRequest`.
pub(in crate::grpc) fn invalid_argument(invalid: &FieldViolation) -> Status {
    bad_request(std::slice::from_ref(invalid), &format!("invalid {invalid}"))
}

/// UNAVAILABLE: a key could not be read. The details are for the log.
pub(in crate::grpc) fn unavailable(error: &StoreError) -> Status {
    tracing::error!(error = error as &dyn Error, "a key could not be read");
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
    };
    let message = error.to_string();
    match error {
        CommitError::Refused(refusal) => match &refusal {
            Refusal::Unauthenticated(_) => Status::unauthenticated(message),
            Refusal::Forbidden(_) => Status::permission_denied(message),
            Refusal::NotFound(_) => Status::not_found(message),
            Refusal::StaleEtag { .. } => Status::aborted(message),
            Refusal::Invalid(violations) => bad_request(violations, &message),
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

fn bad_request(violations: &[FieldViolation], message: &str) -> Status {
    let mut details = ErrorDetails::new();
    for violation in violations {
        details.add_bad_request_violation(violation.field, violation.problem.as_str());
    }
    Status::with_error_details(Code::InvalidArgument, message, details)
}
