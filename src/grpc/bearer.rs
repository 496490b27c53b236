//! Who calls the admin API: the bearer of a request, as far as its shape says.
//!
//! INVARIANT: exactly one `authorization` header, of scheme Bearer, that is the
//! operator token or has the shape of a key. Whether a key is good, the keyring
//! finds out inside the change.

use tonic::{Request, Status, metadata::MetadataMap};

use super::Peer;
use crate::{
    digest::Digester,
    keyring::{Caller, Identity},
    operator::OperatorToken,
    token::redacted,
};

/// A longer request id is cut.
const MAX_REQUEST_ID: usize = 128;

/// The caller of `request`.
///
/// # Errors
/// UNAUTHENTICATED
pub(super) fn caller<T>(
    request: &Request<T>,
    operator: &OperatorToken,
    digester: &Digester,
) -> Result<Caller, Status> {
    let identity = identity(request.metadata(), operator, digester);
    let identity = identity.map_err(Status::unauthenticated)?;
    let peer = request.extensions().get::<Peer>().map(ToString::to_string).unwrap_or_default();
    let request_id = request.metadata().get("x-request-id").and_then(|id| id.to_str().ok());
    Ok(Caller { identity, peer, request_id: request_id_of(request_id) })
}

/// The request id in a header `x-request-id`, as it is recorded; empty without one.
pub(crate) fn request_id_of(header: Option<&str>) -> String {
    let id = header.unwrap_or_default();
    // Before it is cut: half a secret is not recognised any more.
    let id = redacted(id).unwrap_or_else(|| id.to_owned());
    id.chars().take(MAX_REQUEST_ID).collect()
}

fn identity(
    metadata: &MetadataMap,
    operator: &OperatorToken,
    digester: &Digester,
) -> Result<Identity, &'static str> {
    let mut headers = metadata.get_all("authorization").iter();
    let header =
        headers.next().ok_or("send `authorization: Bearer <operator token or API key>`")?;
    if headers.next().is_some() {
        return Err("send one `authorization` header, not several");
    }
    let header = header.to_str().map_err(|_| "the `authorization` header is not text")?;
    let (scheme, credential) = header.split_once(' ').unwrap_or((header, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err("the `authorization` header must be of scheme Bearer");
    }
    let credential = credential.trim();
    Identity::of(credential, operator, digester)
        .ok_or("the credential is neither the operator token nor an API key")
}
