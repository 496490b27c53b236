//! A verdict, as Envoy reads it.

use std::collections::HashMap;

use envoy_types::pb::{
    envoy::{
        config::core::v3::{
            HeaderValue, HeaderValueOption, header_value_option::HeaderAppendAction,
        },
        service::auth::v3::{
            CheckResponse, DeniedHttpResponse, OkHttpResponse, check_response::HttpResponse,
        },
        r#type::v3::HttpStatus,
    },
    google::{
        protobuf::{Struct, Value, value::Kind},
        rpc,
    },
};
use tonic::Code;

use crate::{
    gateway::{Gateway, HttpRequest, Refusal, Status, Verdict, encoded},
    grpc::convert,
};

/// What a 401 names as protected.
const REALM: &str = "octavia";

/// Envoy's answer to `request`.
pub(super) fn answer(
    gateway: &Gateway,
    request: &HttpRequest<'_>,
    verdict: Verdict,
) -> CheckResponse {
    let dynamic_metadata = Some(metadata(&verdict));
    let (status, response) = match &verdict.result {
        Ok(()) => {
            (rpc::Status::default(), HttpResponse::OkResponse(pass(gateway, request, &verdict)))
        }
        Err(refusal) => (
            rpc::Status {
                code: code(refusal.status).into(),
                message: refusal.message.clone(),
                details: Vec::new(),
            },
            HttpResponse::DeniedResponse(deny(gateway, refusal)),
        ),
    };
    CheckResponse { status: Some(status), dynamic_metadata, http_response: Some(response) }
}

/// What the service behind gets beside what the client sent, and what it does not get.
fn pass(gateway: &Gateway, request: &HttpRequest<'_>, verdict: &Verdict) -> OkHttpResponse {
    let mut headers = Vec::with_capacity(7);
    if let Some(key) = &verdict.key {
        let record = key.record();
        headers.push(header("x-octavia-key-id", record.id.as_str().to_owned()));
        headers.push(header("x-octavia-team", record.team.clone()));
        headers.push(header("x-octavia-role", record.role.clone()));
        headers.push(header("x-octavia-subject", encoded(&record.subject)));
        headers.push(header("x-octavia-service", record.service.clone()));
    }
    headers.push(header("x-octavia-action", verdict.actions.clone()));
    if !verdict.conditions.is_empty() {
        headers.push(header("x-octavia-conditions", verdict.conditions.clone()));
    }
    // Envoy sets first and removes then: what is set must not be among what is removed.
    let set = |name: &str| {
        headers.iter().filter_map(|option| option.header.as_ref()).any(|header| header.key == name)
    };
    let mut headers_to_remove: Vec<String> =
        gateway.withheld(request).filter(|name| !set(name)).map(str::to_owned).collect();
    if verdict.conditions.is_empty() {
        headers_to_remove.push("x-octavia-conditions".to_owned());
    }
    headers_to_remove.sort_unstable();
    headers_to_remove.dedup();
    OkHttpResponse { headers, headers_to_remove, ..OkHttpResponse::default() }
}

fn deny(gateway: &Gateway, refusal: &Refusal) -> DeniedHttpResponse {
    let mut headers = vec![
        header("content-type", "application/json".to_owned()),
        header("cache-control", "no-store".to_owned()),
    ];
    if refusal.status == Status::Unauthorized {
        headers.push(header("www-authenticate", gateway.key_headers().challenges(REALM)));
    }
    let code = refusal.status.code();
    // The envelope of the answers of Octavia's API.
    let body = serde_json::json!({
        "success": false,
        "statusCode": code,
        "message": refusal.message,
        "data": null,
    });
    let status = Some(HttpStatus { code: code.into() });
    DeniedHttpResponse { status, headers, body: body.to_string() }
}

/// A header that stands in place of whatever the client sent under its name.
fn header(name: &str, value: String) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue { key: name.to_owned(), value, raw_value: Vec::new() }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    }
}

/// For the proxy's access log and the filters behind.
fn metadata(verdict: &Verdict) -> Struct {
    let record = verdict.key.as_ref().map(|key| key.record());
    let texts = [
        ("reason", convert::reason_name(verdict.outcome).to_owned()),
        ("service", verdict.service.clone()),
        ("action", verdict.actions.clone()),
        ("key_id", record.map(|record| record.id.to_string()).unwrap_or_default()),
        ("team", record.map(|record| record.team.clone()).unwrap_or_default()),
        ("role", record.map(|record| record.role.clone()).unwrap_or_default()),
    ];
    let fields = texts
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(name, text)| (name.to_owned(), Value { kind: Some(Kind::StringValue(text)) }));
    Struct { fields: fields.collect::<HashMap<_, _>>() }
}

fn code(status: Status) -> Code {
    match status {
        Status::Unauthorized => Code::Unauthenticated,
        Status::Forbidden => Code::PermissionDenied,
        Status::Unavailable => Code::Unavailable,
    }
}
