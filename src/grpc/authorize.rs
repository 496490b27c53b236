//! `AuthorizationService`: what microservices ask for every request. Runs on the
//! workers; nothing here waits.

use std::{pin::Pin, sync::Arc};

use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use super::convert;
use crate::{
    authorizer::{Authorizer, Outcome, Question},
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
}

impl Authorization {
    /// The service in front of `authorizer`.
    pub fn new(authorizer: Arc<Authorizer>) -> Self {
        Self { authorizer }
    }

    /// One answer, or the status that stands for none.
    fn answer(&self, request: AuthorizeRequest) -> Result<AuthorizeResponse, Status> {
        let _timer = self.authorizer.timer(Api::Authorize);
        let question = convert::question(&request).map_err(|invalid| {
            self.authorizer.count_undecided(Counted::RequestInvalid);
            convert::invalid_argument(&invalid)
        })?;
        let decision =
            self.authorizer.authorize(&question).map_err(|error| convert::unavailable(&error))?;
        let response = convert::response(&decision);
        Ok(AuthorizeResponse { correlation_id: request.correlation_id, ..response })
    }

    /// One answer among many, where an error must not take the others with it.
    fn answer_one_of_many(&self, request: AuthorizeRequest) -> AuthorizeResponse {
        let correlation_id = convert::correlation_id(&request);
        self.answer(request).unwrap_or_else(|status| {
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

#[tonic::async_trait]
impl AuthorizationService for Authorization {
    async fn authorize(
        &self,
        request: Request<AuthorizeRequest>,
    ) -> Result<Response<AuthorizeResponse>, Status> {
        self.answer(request.into_inner()).map(Response::new)
    }

    async fn batch_authorize(
        &self,
        request: Request<BatchAuthorizeRequest>,
    ) -> Result<Response<BatchAuthorizeResponse>, Status> {
        let requests = request.into_inner().requests;
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
        let responses =
            requests.into_iter().map(|request| self.answer_one_of_many(request)).collect();
        Ok(Response::new(BatchAuthorizeResponse { responses }))
    }

    type StreamAuthorizeStream =
        Pin<Box<dyn Stream<Item = Result<AuthorizeResponse, Status>> + Send>>;

    async fn stream_authorize(
        &self,
        request: Request<Streaming<AuthorizeRequest>>,
    ) -> Result<Response<Self::StreamAuthorizeStream>, Status> {
        let this = self.clone();
        let responses = request.into_inner().map(move |request| {
            request.map(|request| this.answer_one_of_many(request)).map_err(convert::oversize)
        });
        Ok(Response::new(Box::pin(responses)))
    }

    async fn introspect(
        &self,
        request: Request<IntrospectRequest>,
    ) -> Result<Response<IntrospectResponse>, Status> {
        let IntrospectRequest { key, service } = request.into_inner();
        convert::check_len("service", &service, Question::MAX_NAME)
            .map_err(|invalid| convert::invalid_argument(&invalid))?;
        let timer = self.authorizer.timer(Api::Introspect);
        let authenticated = self.authorizer.authenticate(&key, &service);
        drop(timer);
        let response = match authenticated.map_err(|error| convert::unavailable(&error))? {
            Ok(key) => convert::introspection(&key),
            Err(denial) => IntrospectResponse {
                key: denial.key.as_ref().map(|key| convert::api_key(key.record())),
                reason: convert::reason(Outcome::Deny(denial.reason)).into(),
                ..IntrospectResponse::default()
            },
        };
        Ok(Response::new(response))
    }
}
