//! What went wrong on the way to a sidecar, in words: what happened, to what,
//! and what to do. What the server says is neutralised here. Used by `client`.

use std::{error::Error, io, time::Duration};

use anyhow::{Error as Failure, anyhow};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{
    super::{output::plain, time::spoken},
    server::ServerUrl,
    tls,
};

const IS_IT_RUNNING: &str = "is it running? start it with `octavia-authz serve` or pass --server";

/// Nobody could be connected to.
pub(super) fn unreachable(server: &ServerUrl, error: &(dyn Error + 'static)) -> Failure {
    if let Some(why) = tls::explained(error) {
        return anyhow!("cannot reach the sidecar at {server}: {}", plain(&why));
    }
    let why = root_cause(error);
    anyhow!("cannot reach the sidecar at {server}: {why}; {IS_IT_RUNNING}")
}

/// The connection took too long.
pub(super) fn silent(server: &ServerUrl, waited: Duration) -> Failure {
    let waited = spoken(waited);
    anyhow!("cannot reach the sidecar at {server}: no answer within {waited}; {IS_IT_RUNNING}")
}

/// The answer took too long.
pub(super) fn overdue(server: &ServerUrl, waited: Duration) -> Failure {
    let waited = spoken(waited);
    anyhow!("no answer from {server} within {waited}; pass a longer --timeout to wait longer")
}

/// A change of which nobody knows whether it was made.
pub(super) fn in_doubt(failure: &Failure) -> Failure {
    anyhow!(
        "{failure:#}\n  the change may have been made all the same: look with \
         `octavia-authz keys list` before you repeat it"
    )
}

/// Whether a change that ended like this may have been made.
pub(super) fn leaves_open(status: &Status) -> bool {
    lost(status)
        || matches!(
            status.code(),
            Code::DeadlineExceeded
                | Code::Cancelled
                | Code::Internal
                | Code::Unavailable
                | Code::Unknown
        )
}

/// Whether the connection broke, rather than the server answered.
fn lost(status: &Status) -> bool {
    status.source().is_some()
}

/// The call was answered with an error.
pub(super) fn refused(server: &ServerUrl, status: &Status) -> Failure {
    if let Some(cause) = status.source() {
        if let Some(why) = tls::explained(cause) {
            return anyhow!("cannot reach the sidecar at {server}: {}", plain(&why));
        }
        let why = root_cause(cause);
        let tls = if server.is_plain() { " (with TLS, write `https://…`)" } else { "" };
        return anyhow!(
            "the connection to {server} was lost: {why}; is this the gRPC port of a \
             sidecar{tls}, and does it still run?"
        );
    }
    let (meaning, advice) = meaning(status.code());
    let details = status.get_error_details();
    let fields = details.bad_request().map_or(&[][..], |fields| &fields.field_violations);
    let said = plain(status.message());
    // The message says the same as the fields.
    let mut text = match said.is_empty() || !fields.is_empty() {
        true => meaning.to_owned(),
        false => format!("{meaning}: {said}"),
    };
    if !advice.is_empty() {
        text.push_str("; ");
        text.push_str(advice);
    }
    if !fields.is_empty() {
        text.push(':');
    }
    for violation in fields {
        let (field, why) = (plain(&violation.field), plain(&violation.description));
        text.push_str(&format!("\n  {field}: {why}"));
    }
    Failure::msg(text)
}

/// Why one of many was refused.
pub(super) fn one_of_many(code: Code, message: &str) -> String {
    let (meaning, _) = meaning(code);
    match message {
        "" => meaning.to_owned(),
        said => format!("{meaning}: {}", plain(said)),
    }
}

/// What a code means to the one who called, and what to do about it.
fn meaning(code: Code) -> (&'static str, &'static str) {
    match code {
        Code::InvalidArgument | Code::OutOfRange => ("the request is not valid", ""),
        Code::NotFound => ("not found", ""),
        Code::AlreadyExists => ("it exists already", ""),
        Code::FailedPrecondition => ("not possible in the present state", ""),
        Code::PermissionDenied => ("permission denied", ""),
        Code::Unauthenticated => {
            ("the token is not accepted", "pass another one with --token-file")
        }
        Code::Aborted => ("somebody else was faster", ""),
        Code::ResourceExhausted => ("the sidecar does not take this now", ""),
        Code::Unavailable => ("the sidecar cannot answer now", "try again"),
        // It is the sidecar's own: calls carry none.
        Code::DeadlineExceeded => (
            "the sidecar gave the call up",
            "try again; how long a call may take is its --request-timeout",
        ),
        Code::Cancelled => ("the call was cancelled", "try again"),
        Code::Unimplemented => (
            "the server does not know this call",
            "the admin API is by default at port 50052, the authorization API at 50051: see --server",
        ),
        Code::DataLoss => ("the sidecar has lost data", "see its log"),
        Code::Internal => ("the sidecar failed", "see its log"),
        Code::Unknown | Code::Ok => ("the sidecar answered with an unknown error", "see its log"),
    }
}

/// The last cause in the chain, which says the most.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let Some(io) = cause.downcast_ref::<io::Error>() else {
        return plain(&cause.to_string());
    };
    match io.kind() {
        io::ErrorKind::NotFound => "there is no such socket".into(),
        // Without the number that the system's text ends in.
        kind @ (io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::TimedOut) => kind.to_string(),
        _ => plain(&io.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sidecar_that_gives_a_call_up_is_not_to_be_waited_for_longer() {
        let server = "http://127.0.0.1:50052".parse().unwrap();
        let said = refused(&server, &Status::deadline_exceeded("not answered in time")).to_string();
        assert!(said.contains("not answered in time; try again"), "{said}");
        assert!(said.contains("--request-timeout") && !said.contains("--timeout"), "{said}");
    }
}
