//! Envoy's external authorization, `envoy.service.auth.v3.Authorization`: the border between its
//! messages and the [`Gateway`]. Runs on the workers; nothing here waits.
//!
//! INVARIANT: a request that may not pass, or could not be decided, is answered as denied and not
//! with a gRPC error, which a proxy may be configured to let through. Headers that say who calls
//! overwrite what the client sent; those that are not set are removed.

mod answer;
mod log;
mod undecided;
mod wire;

use std::{borrow::Cow, collections::HashMap, str::Utf8Error, sync::Arc};

use tonic::{Request, Response, Status};

use self::wire::{AttributeContext, CheckRequest, CheckResponse, HeaderValue};
use super::{convert, peer};
use crate::{
    decision_log::{Call, DecisionLog},
    gateway::{Gateway, HttpRequest, Named, Verdict},
    metrics::Counted,
    policy::WhenConditional,
};

/// The service and its server, made by the build.
mod generated {
    #![allow(missing_docs, unreachable_pub, reason = "generated code")]
    #![allow(clippy::all, clippy::allow_attributes_without_reason, reason = "generated code")]
    include!(concat!(env!("OUT_DIR"), "/envoy.service.auth.v3.Authorization.rs"));
}

pub use generated::authorization_server::AuthorizationServer as ExtAuthzServer;

pub use self::undecided::undecided;

/// Where a proxy asks.
pub const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// What a proxy's configuration says begins with this.
const EXTENSION: &str = "octavia.";
const WHEN_CONDITIONAL: &str = "octavia.when_conditional";

/// Answers with the verdicts of a gateway.
#[derive(Clone)]
pub struct ExtAuthz {
    gateway: Arc<Gateway>,
    log: DecisionLog,
}

impl ExtAuthz {
    /// The service in front of `gateway`; what is decided goes into `log`.
    pub fn new(gateway: Arc<Gateway>, log: DecisionLog) -> Self {
        Self { gateway, log }
    }
}

#[tonic::async_trait]
impl generated::authorization_server::Authorization for ExtAuthz {
    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        let (headers, extensions, message) = request.into_parts();
        let (headers, peer) = (headers.as_ref(), peer::in_extensions as _);
        let call = Call { api: "check", headers, extensions: &extensions, peer };
        let attributes = message.attributes.unwrap_or_default();
        let request = match http_request(&attributes) {
            Ok(request) => request,
            Err(error) => {
                tracing::debug!(%error, "an HTTP request cannot be read");
                self.gateway.authorizer().count_undecided(Counted::RequestInvalid);
                let (request, verdict) = (HttpRequest::default(), Verdict::unreadable());
                log::decision(&self.log, &call, &self.gateway, &request, &verdict);
                return Ok(Response::new(answer::answer(&self.gateway, &request, verdict)));
            }
        };
        let Some(request) = request else {
            return Err(convert::invalid_argument(&convert::violation(
                "attributes.request.http",
                "must be there: this service decides about HTTP requests",
            )));
        };
        let verdict = self.gateway.check(&request);
        log::decision(&self.log, &call, &self.gateway, &request, &verdict);
        Ok(Response::new(answer::answer(&self.gateway, &request, verdict)))
    }
}

/// A message that is no `CheckRequest` of Envoy's.
#[derive(Debug, thiserror::Error)]
enum Malformed {
    #[error("a text is not UTF-8")]
    Text(#[from] Utf8Error),
    #[error("the headers are not valid protobuf")]
    Headers(#[from] prost::DecodeError),
}

/// The HTTP request that `attributes` describe; `None` if they describe none.
fn http_request(attributes: &AttributeContext) -> Result<Option<HttpRequest<'_>>, Malformed> {
    let http = attributes.request.as_ref().and_then(|request| request.http.as_ref());
    let Some(http) = http else { return Ok(None) };
    // With `encode_raw_headers` each header stands by itself; without, those that came twice are
    // joined. A proxy sends one of the two.
    let joined = http.headers.iter().map(|HeaderValue { key, value, .. }| (&**key, &**value));
    let headers = wire::raw_headers(&http.header_map)?.into_iter().chain(joined);
    let headers = headers.map(|(name, value)| Ok((str::from_utf8(name)?, value)));
    let body = match (&*http.body, &*http.raw_body) {
        (body, []) | ([], body) => Cow::Borrowed(body),
        // Which one counts is not said: this is no JSON, so everything is needed.
        (_, _) => Cow::Owned(Vec::new()),
    };
    Ok(Some(HttpRequest {
        method: str::from_utf8(&http.method)?,
        host: str::from_utf8(&http.host)?,
        target: str::from_utf8(&http.path)?,
        headers: headers.collect::<Result<_, Utf8Error>>()?,
        body,
        named: named(&attributes.context_extensions),
    }))
}

fn named(extensions: &HashMap<String, String>) -> Named<'_> {
    let mut named = Named::default();
    for (name, value) in extensions {
        match (name.strip_prefix(EXTENSION), &**value) {
            // `Octavia.action`, `octavia_action`: meant for us, and not understood.
            (None, _) if name.to_ascii_lowercase().starts_with("octavia") => {
                named.unknown = Some(name);
            }
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
    if named.action.is_empty() && extensions.contains_key(WHEN_CONDITIONAL) {
        // Routes have a say of their own.
        named.unknown = Some(WHEN_CONDITIONAL);
    }
    named
}
