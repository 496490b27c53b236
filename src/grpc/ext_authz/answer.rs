//! A verdict, as Envoy reads it.

use bytes::Bytes;
use tonic::Code;

use super::wire::{
    CheckResponse, DeniedHttpResponse, Field, HeaderValue, HeaderValueOption, HttpStatus,
    OVERWRITE_IF_EXISTS_OR_ADD, OkHttpResponse, RpcStatus, Struct, Value,
};
use crate::{
    gateway::{Gateway, HttpRequest, Refusal, Status, Verdict, encoded},
    grpc::convert,
};

/// What a 401 names as protected.
const REALM: &str = "octavia";
const CONDITIONS: &str = "x-octavia-conditions";

/// What is said about the key and the operation, in headers and as metadata. Empty is unknown.
#[derive(Default)]
struct Identity {
    key_id: Bytes,
    team: Bytes,
    role: Bytes,
    subject: Bytes,
    actions: Bytes,
}

/// Envoy's answer to `request`.
pub(super) fn answer(
    gateway: &Gateway,
    request: &HttpRequest<'_>,
    verdict: Verdict,
) -> CheckResponse {
    let reason = convert::reason_name(verdict.outcome);
    let text = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let identity = match verdict.key.as_ref().map(|key| key.record()) {
        Some(record) => Identity {
            key_id: text(record.id.as_str()),
            team: text(&record.team),
            role: text(&record.role),
            subject: encoded(&record.subject).into(),
            actions: verdict.actions.into(),
        },
        None => Identity { actions: verdict.actions.into(), ..Identity::default() },
    };
    let service = Bytes::from(verdict.service);
    let metadata = [
        ("reason", Bytes::from_static(reason.as_bytes())),
        ("service", service.clone()),
        ("action", identity.actions.clone()),
        ("key_id", identity.key_id.clone()),
        ("team", identity.team.clone()),
        ("role", identity.role.clone()),
    ];
    let dynamic_metadata = Some(fields(metadata));
    match verdict.result {
        Ok(()) => {
            // A valid key's service is the operation's, but where the policy names none.
            let service = verdict.key.map(|key| text(key.service_name())).unwrap_or(service);
            let ok = pass(gateway, request, identity, service, verdict.conditions);
            let status = Some(RpcStatus::default());
            CheckResponse { status, ok: Some(ok), denied: None, dynamic_metadata }
        }
        Err(refusal) => {
            let denied = Some(deny(gateway, &refusal));
            let code = code(refusal.status).into();
            let status = Some(RpcStatus { code, message: refusal.message });
            CheckResponse { status, ok: None, denied, dynamic_metadata }
        }
    }
}

/// What the service behind gets beside what the client sent, and what it does not get.
fn pass(
    gateway: &Gateway,
    request: &HttpRequest<'_>,
    identity: Identity,
    service: Bytes,
    conditions: String,
) -> OkHttpResponse {
    let mut headers = Vec::with_capacity(7);
    headers.push(header("x-octavia-key-id", identity.key_id));
    headers.push(header("x-octavia-team", identity.team));
    headers.push(header("x-octavia-role", identity.role));
    headers.push(header("x-octavia-subject", identity.subject));
    headers.push(header("x-octavia-service", service));
    headers.push(header("x-octavia-action", identity.actions));
    let is_set = |name: &str| headers.iter().any(|set| set.is(name));
    // Envoy sets first and removes then: what is set must not be among what is removed.
    let withheld = gateway.withheld(request).filter(|name| *name != CONDITIONS && !is_set(name));
    let mut headers_to_remove: Vec<Bytes> =
        withheld.map(|name| Bytes::copy_from_slice(name.as_bytes())).collect();
    if conditions.is_empty() {
        headers_to_remove.push(Bytes::from_static(CONDITIONS.as_bytes()));
    } else {
        headers.push(header(CONDITIONS, conditions.into()));
    }
    headers_to_remove.sort_unstable();
    headers_to_remove.dedup();
    OkHttpResponse { headers, headers_to_remove }
}

fn deny(gateway: &Gateway, refusal: &Refusal) -> DeniedHttpResponse {
    let challenges = (refusal.status == Status::Unauthorized)
        .then(|| header("www-authenticate", gateway.key_headers().challenges(REALM).into()));
    denied(refusal.status, &refusal.message, challenges.into_iter().collect())
}

/// What a client gets in place of the service's answer: the envelope of the answers of Octavia's API,
/// with `headers` besides its own.
pub(super) fn denied(
    status: Status,
    message: &str,
    mut headers: Vec<HeaderValueOption>,
) -> DeniedHttpResponse {
    headers.push(header("content-type", Bytes::from_static(b"application/json")));
    headers.push(header("cache-control", Bytes::from_static(b"no-store")));
    let code = status.code();
    let message = serde_json::Value::from(message);
    let body =
        format!(r#"{{"success":false,"statusCode":{code},"message":{message},"data":null}}"#);
    let status = Some(HttpStatus { code: code.into() });
    DeniedHttpResponse { status, headers, body }
}

/// A header that stands in place of whatever the client sent under its name.
fn header(name: &'static str, value: Bytes) -> HeaderValueOption {
    let key = Bytes::from_static(name.as_bytes());
    let header = Some(HeaderValue { key, value, raw_value: Bytes::new() });
    HeaderValueOption { header, append_action: OVERWRITE_IF_EXISTS_OR_ADD }
}

impl HeaderValueOption {
    fn is(&self, name: &str) -> bool {
        self.header.as_ref().is_some_and(|header| header.key == name.as_bytes())
    }
}

/// For the proxy's access log and the filters behind: what is known of `texts`.
pub(super) fn fields<const N: usize>(texts: [(&'static str, Bytes); N]) -> Struct {
    let texts = texts.into_iter().filter(|(_, text)| !text.is_empty());
    let fields = texts.map(|(name, string_value)| Field {
        key: Bytes::from_static(name.as_bytes()),
        value: Some(Value { string_value }),
    });
    Struct { fields: fields.collect() }
}

fn code(status: Status) -> Code {
    match status {
        Status::Unauthorized => Code::Unauthenticated,
        Status::Forbidden => Code::PermissionDenied,
        Status::Unavailable => Code::Unavailable,
    }
}
