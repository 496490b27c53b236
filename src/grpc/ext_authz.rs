//! Envoy's external authorization, `envoy.service.auth.v3.Authorization`: the border between its
//! messages and the [`Gateway`]. Runs on the workers; nothing here waits.
//!
//! INVARIANT: a request that may not pass, or could not be decided, is answered as denied and not
//! with a gRPC error, which a proxy may be configured to let through. Headers that say who calls
//! overwrite what the client sent; those that are not set are removed.

mod answer;
mod log;

use std::{borrow::Cow, sync::Arc};

use envoy_types::pb::envoy::service::auth::v3::{
    AttributeContext, CheckRequest, CheckResponse, authorization_server::Authorization,
};
use tonic::{Request, Response, Status};

use super::convert;
use crate::{
    gateway::{Gateway, HttpRequest, Named},
    policy::WhenConditional,
};

/// What a proxy's configuration says begins with this.
const EXTENSION: &str = "octavia.";

/// Answers with the verdicts of a gateway.
#[derive(Clone)]
pub struct ExtAuthz {
    gateway: Arc<Gateway>,
}

impl ExtAuthz {
    /// The service in front of `gateway`.
    pub fn new(gateway: Arc<Gateway>) -> Self {
        Self { gateway }
    }
}

#[tonic::async_trait]
impl Authorization for ExtAuthz {
    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        let attributes = request.into_inner().attributes.unwrap_or_default();
        let Some(request) = http_request(&attributes) else {
            return Err(convert::invalid_argument(&convert::violation(
                "attributes.request.http",
                "must be there: this service decides about HTTP requests",
            )));
        };
        let verdict = self.gateway.check(&request);
        log::decision(&request, &verdict);
        Ok(Response::new(answer::answer(&self.gateway, &request, verdict)))
    }
}

/// The HTTP request that `attributes` describe; `None` if they describe none.
fn http_request(attributes: &AttributeContext) -> Option<HttpRequest<'_>> {
    let http = attributes.request.as_ref()?.http.as_ref()?;
    // With `encode_raw_headers` each header stands by itself; without, those that came twice are
    // joined. A proxy sends one of the two.
    let raw = http.header_map.iter().flat_map(|map| &map.headers).map(|header| {
        let value = header.raw_value.as_slice();
        (&*header.key, if value.is_empty() { header.value.as_bytes() } else { value })
    });
    let joined = http.headers.iter().map(|(name, value)| (&**name, value.as_bytes()));
    let body = match (http.body.as_bytes(), http.raw_body.as_slice()) {
        (body, []) | ([], body) => Cow::Borrowed(body),
        // Which one counts is not said: this is no JSON, so everything is needed.
        (_, _) => Cow::Owned(Vec::new()),
    };
    Some(HttpRequest {
        method: &http.method,
        host: &http.host,
        target: &http.path,
        headers: raw.chain(joined).collect(),
        body,
        named: named(&attributes.context_extensions),
    })
}

fn named(extensions: &std::collections::HashMap<String, String>) -> Named<'_> {
    let mut named = Named::default();
    for (name, value) in extensions {
        match (name.strip_prefix(EXTENSION), &**value) {
            (None, _) => {}
            (Some("service"), service) if !service.is_empty() => named.service = service,
            (Some("action"), action) if !action.is_empty() => named.action = action,
            (Some("when_conditional"), "deny") => named.when_conditional = WhenConditional::Deny,
            (Some("when_conditional"), "forward") => {
                named.when_conditional = WhenConditional::Forward;
            }
            (Some(_), _) => named.unknown = Some(name),
        }
    }
    named
}
