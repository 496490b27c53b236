//! `AuthorizationService`: what microservices ask for every request. Runs on the
//! workers; nothing here waits.

use std::{pin::Pin, sync::Arc};

use http::{Extensions, HeaderMap};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use super::{convert, peer};
use crate::{
    authorizer::{Authorizer, Outcome, Question, Reason},
    decision_log::{Call, Decided, DecisionLog},
    metrics::{Api, Counted},
    pb::v1::{
        AuthorizeRequest, AuthorizeResponse, BatchAuthorizeRequest, BatchAuthorizeResponse,
        DecisionReason, IntrospectRequest, IntrospectResponse,
        authorization_service_server::AuthorizationService,
    },
};

/// Answers with the decisions of an authorizer.
#[derive(Clone)]
pub struct Authorization {
    authorizer: Arc<Authorizer>,
    log: DecisionLog,
}

impl Authorization {
    /// The service in front of `authorizer`; what is decided goes into `log`.
    pub fn new(authorizer: Arc<Authorizer>, log: DecisionLog) -> Self {
        Self { authorizer, log }
    }

    /// One answer, or the status that stands for none.
    fn answer(
        &self,
        call: &Call<'_>,
        request: AuthorizeRequest,
    ) -> Result<AuthorizeResponse, Status> {
        let timer = self.authorizer.timer(Api::Authorize);
        let asked = Decided {
            service: &request.service,
            action: &request.action,
            resource_id: request.resource.as_ref().map(|it| it.id.as_str()).unwrap_or_default(),
            correlation_id: &request.correlation_id,
            ..Decided::default()
        };
        let question = convert::question(&request).map_err(|invalid| {
            self.authorizer.count_undecided(Counted::RequestInvalid);
            self.log_undecided(call, asked, Some(Outcome::Deny(Reason::RequestInvalid)));
            convert::invalid_argument(&invalid)
        })?;
        let decision = self.authorizer.authorize(&question).map_err(|error| {
            self.log_undecided(call, asked, None);
            convert::unavailable(&error)
        })?;
        drop(timer);
        self.log.write(
            call,
            &Decided {
                outcome: Some(decision.outcome),
                key: decision.key.as_deref(),
                revision: decision.revision,
                ..asked
            },
        );
        let response = convert::response(&decision);
        Ok(AuthorizeResponse { correlation_id: request.correlation_id, ..response })
    }

    fn log_undecided(&self, call: &Call<'_>, asked: Decided<'_>, outcome: Option<Outcome>) {
        let revision = self.authorizer.revision();
        self.log.write(call, &Decided { outcome, revision, ..asked });
    }

    /// One answer among many, where an error must not take the others with it.
    fn answer_one_of_many(&self, call: &Call<'_>, request: AuthorizeRequest) -> AuthorizeResponse {
        let correlation_id = convert::correlation_id(&request);
        self.answer(call, request).unwrap_or_else(|status| {
            let reason = match status.code() {
                tonic::Code::InvalidArgument => DecisionReason::RequestInvalid,
                _ => DecisionReason::Unavailable,
            };
            let revision = self.authorizer.revision();
            AuthorizeResponse {
                reason: reason.into(),
                revision,
                correlation_id,
                ..AuthorizeResponse::default()
            }
        })
    }
}

/// A call of ours, for the log.
fn call<'a>(api: &'static str, headers: &'a HeaderMap, extensions: &'a Extensions) -> Call<'a> {
    Call { api, headers, extensions, peer: peer::in_extensions }
}

#[tonic::async_trait]
impl AuthorizationService for Authorization {
    async fn authorize(
        &self,
        request: Request<AuthorizeRequest>,
    ) -> Result<Response<AuthorizeResponse>, Status> {
        let (headers, extensions, request) = request.into_parts();
        let call = call("authorize", headers.as_ref(), &extensions);
        self.answer(&call, request).map(Response::new)
    }

    async fn batch_authorize(
        &self,
        request: Request<BatchAuthorizeRequest>,
    ) -> Result<Response<BatchAuthorizeResponse>, Status> {
        let (headers, extensions, message) = request.into_parts();
        let call = call("batch_authorize", headers.as_ref(), &extensions);
        let requests = message.requests;
        let max = Question::MAX_BATCH;
        if requests.len() > max {
            return Err(convert::invalid_argument(&convert::violation(
                "requests",
                format!(
                    "holds {} requests; at most {max}: send several batches, or a stream",
                    requests.len()
                ),
            )));
        }
        let answer = |request| self.answer_one_of_many(&call, request);
        let responses = requests.into_iter().map(answer).collect();
        Ok(Response::new(BatchAuthorizeResponse { responses }))
    }

    type StreamAuthorizeStream =
        Pin<Box<dyn Stream<Item = Result<AuthorizeResponse, Status>> + Send>>;

    async fn stream_authorize(
        &self,
        request: Request<Streaming<AuthorizeRequest>>,
    ) -> Result<Response<Self::StreamAuthorizeStream>, Status> {
        let this = self.clone();
        let (headers, extensions, requests) = request.into_parts();
        let responses = requests.map(move |request| {
            let call = call("stream_authorize", headers.as_ref(), &extensions);
            let answer = |request| this.answer_one_of_many(&call, request);
            request.map(answer).map_err(convert::oversize)
        });
        Ok(Response::new(Box::pin(responses)))
    }

    async fn introspect(
        &self,
        request: Request<IntrospectRequest>,
    ) -> Result<Response<IntrospectResponse>, Status> {
        let (headers, extensions, request) = request.into_parts();
        let call = call("introspect", headers.as_ref(), &extensions);
        let IntrospectRequest { key, service } = request;
        let revision = self.authorizer.revision();
        convert::check_len("service", &service, Question::MAX_NAME)
            .map_err(|invalid| convert::invalid_argument(&invalid))?;
        let timer = self.authorizer.timer(Api::Introspect);
        let authenticated = self.authorizer.authenticate(&key, &service);
        drop(timer);
        let response = match authenticated.map_err(|error| convert::unavailable(&error))? {
            Ok(key) => convert::introspection(&key),
            Err(denial) => {
                let outcome = Outcome::Deny(denial.reason);
                let key = denial.key.as_deref();
                let (service, asked) = (service.as_str(), Some(outcome));
                let decided =
                    Decided { outcome: asked, key, service, revision, ..Decided::default() };
                self.log.write(&call, &decided);
                IntrospectResponse {
                    key: key.map(|key| convert::api_key(key.record())),
                    reason: convert::reason(outcome).into(),
                    ..IntrospectResponse::default()
                }
            }
        };
        Ok(Response::new(response))
    }
}
