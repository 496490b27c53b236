//! HTTP requests that a proxy asks about: which key, which operation, what the body adds.
//!
//! INVARIANT: what is not understood is refused. There is exactly one key; a path, a header or a
//! body that two readers could take for two things never makes a request need less.
//! Called by `grpc::ext_authz`; the authorizer decides.

mod body;
mod conditions;
mod key_headers;
mod refusal;
mod request;

use std::sync::Arc;

use self::{conditions::conditions, refusal::Fault};
pub use self::{
    conditions::encoded,
    key_headers::{InvalidKeyHeader, KeyHeader, KeyHeaders},
    refusal::{Refusal, Status},
    request::{HttpRequest, Named},
};
use crate::{
    authorizer::{Admission, Authorizer, Demand, Outcome, Reason, log_unread},
    metrics::{Api, Counted},
    policy::{Body, Policy, path_fault},
    resolved_key::ResolvedKey,
    store::Revision,
};

/// Headers that some servers take another method or path from, where others look for keys, and
/// what only a proxy may say of a body.
const WITHHELD: [&str; 10] = [
    "x-http-method-override",
    "x-http-method",
    "x-http-verb",
    "x-method-override",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
    "x-api-key",
    "proxy-authorization",
    "x-envoy-auth-partial-body",
];

/// How often a request is looked at anew that a change of the policy came between.
const POLICY_TRIES: usize = 8;

/// Decides what a proxy asks.
pub struct Gateway {
    authorizer: Arc<Authorizer>,
    key_headers: KeyHeaders,
}

/// What is decided of an HTTP request.
#[derive(Debug)]
pub struct Verdict {
    /// Whether it may pass, and if not, what to answer.
    pub result: Result<(), Refusal>,
    /// The outcome behind it; `None` when nothing could be decided.
    pub outcome: Option<Outcome>,
    /// The key; `None` unless it has proven itself.
    pub key: Option<Arc<ResolvedKey>>,
    /// The service whose operation it is; empty if it is none, or no valid key asks.
    pub service: String,
    /// The actions that it needs, with commas between; empty as `service` is.
    pub actions: String,
    /// What the service behind has to keep to when it passes; empty is nothing.
    pub conditions: String,
    /// The revision that was decided on; `None` when the store was not asked.
    pub revision: Option<Revision>,
}

impl Gateway {
    /// A gateway in front of `authorizer` that looks for keys in `key_headers`.
    pub fn new(authorizer: Arc<Authorizer>, key_headers: KeyHeaders) -> Self {
        Self { authorizer, key_headers }
    }

    /// Who decides.
    pub fn authorizer(&self) -> &Arc<Authorizer> {
        &self.authorizer
    }

    /// Where keys are looked for.
    pub fn key_headers(&self) -> &KeyHeaders {
        &self.key_headers
    }

    /// The newest revision that is decided on.
    pub fn revision(&self) -> Revision {
        self.authorizer.revision()
    }

    /// The names of headers of `request` that the service behind must not see: those that carry a
    /// key, those that say what only we may say, and those that some servers take another method
    /// or path from than the one that was decided on.
    pub fn withheld<'a>(&self, request: &HttpRequest<'a>) -> impl Iterator<Item = &'a str> {
        let ours = request.headers.iter().map(|(name, _)| *name).filter(|name| is_withheld(name));
        ours.chain(self.key_headers.carriers(request))
    }

    /// Decides whether `request` may pass.
    pub fn check(&self, request: &HttpRequest<'_>) -> Verdict {
        let _timer = self.authorizer.timer(Api::Check);
        let text = match self.key_headers.read(request) {
            Ok(text) => text,
            Err(fault) => {
                self.authorizer.count_undecided(Counted::KeyMalformed);
                return Verdict::no_key(Refusal::credential(fault, &self.key_headers));
            }
        };
        for _ in 0..POLICY_TRIES {
            let policy = self.authorizer.policy();
            let mut asked = None;
            let admitted = self.authorizer.admit(text, || {
                let asked: &Result<_, Fault> = asked.insert(demand(&policy, request));
                asked.as_ref().map_err(Fault::reason)
            });
            let admission = match admitted {
                Ok(admission) => admission,
                Err(error) => {
                    log_unread(&error);
                    return Verdict::undecided();
                }
            };
            match &admission.decision.key {
                // Resolved with one policy, asked with another: half of each decides nothing.
                Some(key) if asked.is_some() && !key.is_of(&policy) => {
                    self.authorizer.forget(key.id());
                }
                _ => return Verdict::new(admission, asked.as_ref()),
            }
        }
        self.authorizer.count_undecided(Counted::Unavailable);
        Verdict::undecided()
    }
}

impl Verdict {
    fn new(admission: Admission<'_>, asked: Option<&Result<Demand<'_>, Fault>>) -> Self {
        let Admission { decision, denied, conditions: sets } = admission;
        let (key, revision) = (decision.key, Some(decision.revision));
        let (result, conditions) = match (decision.outcome, asked) {
            (Outcome::Allow, _) => (Ok(()), conditions(&sets, key.as_deref())),
            (Outcome::Deny(_), Some(Err(fault))) => (Err(Refusal::request(fault)), String::new()),
            (Outcome::Deny(reason), _) => {
                (Err(Refusal::denied(reason, key.as_deref(), denied)), String::new())
            }
        };
        let (service, actions) = match asked {
            Some(Ok(demand)) => (demand.service.to_owned(), demand.actions.join(",")),
            _ => Default::default(),
        };
        let outcome = Some(decision.outcome);
        Self { result, outcome, key, service, actions, conditions, revision }
    }

    /// Of a request that carries no key to look at.
    fn no_key(refusal: Refusal) -> Self {
        Self { outcome: Some(Outcome::Deny(Reason::KeyMalformed)), ..Self::refused(refusal) }
    }

    /// Of a request that nothing could be decided about.
    fn undecided() -> Self {
        Self::refused(Refusal::undecided())
    }

    /// Of a request that cannot be read, whoever sends it.
    pub fn unreadable() -> Self {
        let outcome = Some(Outcome::Deny(Reason::RequestInvalid));
        Self { outcome, ..Self::refused(Refusal::unreadable()) }
    }

    fn refused(refusal: Refusal) -> Self {
        let (service, actions, conditions) = Default::default();
        let (result, outcome, key, revision) = (Err(refusal), None, None, None);
        Self { result, outcome, key, service, actions, conditions, revision }
    }
}

fn is_withheld(name: &str) -> bool {
    const OURS: usize = "x-octavia-".len();
    let is = |name: &str, known: &str| normal(name).eq(known.bytes());
    name.get(..OURS).is_some_and(|name| is(name, "x-octavia-"))
        || WITHHELD.iter().any(|known| is(name, known))
}

/// The bytes of a header's name as servers compare them that make variables of headers: without
/// case, and with `-` for whatever is no letter or digit.
fn normal(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().map(|byte| match byte {
        byte if byte.is_ascii_alphanumeric() => byte.to_ascii_lowercase(),
        _ => b'-',
    })
}

/// What `request` needs.
fn demand<'a>(policy: &'a Policy, request: &HttpRequest<'a>) -> Result<Demand<'a>, Fault> {
    let named = request.named;
    if let Some(unknown) = named.unknown {
        return Err(Fault::Configuration(unknown.to_owned()));
    }
    if !named.service.is_empty() && policy.service(named.service).is_none() {
        return Err(Fault::Configuration(format!("octavia.service={}", named.service)));
    }
    if !named.action.is_empty() {
        // The proxy chose by the path, too.
        path_fault(request.target)?;
        let (service, when_conditional) = (named.service, named.when_conditional);
        return Ok(Demand { service, actions: vec![named.action], when_conditional });
    }
    let route = policy
        .route(request.host, request.method, request.target)?
        .filter(|route| named.service.is_empty() || named.service == route.service())
        .ok_or(Fault::NoOperation)?;
    let fields = if route.reads_body() { body::fields(request)? } else { None };
    let body = fields.as_deref().map_or(Body::Unknown, Body::Object);
    Ok(Demand {
        service: route.service(),
        actions: route.needs(body),
        when_conditional: route.when_conditional(),
    })
}
