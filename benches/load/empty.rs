//! The baseline: the sidecar's own workers and limits around a handler that
//! decides nothing.

use std::pin::Pin;

use octavia_authz::{
    config::{Address, Limits},
    metrics::Listeners,
    pb::v1::{
        AuthorizeRequest, AuthorizeResponse, BatchAuthorizeRequest, BatchAuthorizeResponse,
        IntrospectRequest, IntrospectResponse,
        authorization_service_server::{AuthorizationService, AuthorizationServiceServer},
    },
    server::{Api, Listener, Protocol, Workers},
};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming, service::Routes};

struct Empty;

#[tonic::async_trait]
impl AuthorizationService for Empty {
    async fn authorize(
        &self,
        _: Request<AuthorizeRequest>,
    ) -> Result<Response<AuthorizeResponse>, Status> {
        Ok(Response::new(AuthorizeResponse::default()))
    }

    async fn batch_authorize(
        &self,
        _: Request<BatchAuthorizeRequest>,
    ) -> Result<Response<BatchAuthorizeResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    type StreamAuthorizeStream =
        Pin<Box<dyn Stream<Item = Result<AuthorizeResponse, Status>> + Send>>;

    async fn stream_authorize(
        &self,
        _: Request<Streaming<AuthorizeRequest>>,
    ) -> Result<Response<Self::StreamAuthorizeStream>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn introspect(
        &self,
        _: Request<IntrospectRequest>,
    ) -> Result<Response<IntrospectResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }
}

/// Serves until it is killed.
pub fn serve() {
    let json = octavia_authz::telemetry::LogFormat::Json;
    let _log = octavia_authz::telemetry::start(json, "info").unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let routes = Routes::new(AuthorizationServiceServer::new(Empty));
        let metrics = Listeners::default().of("authorization");
        let router = routes.into_axum_router();
        let api = Api::new("empty", Protocol::Grpc, router, Limits::DEFAULT, metrics);
        let (_draining, drain) = tokio::sync::watch::channel(None);
        let workers = std::thread::available_parallelism().unwrap().get();
        let workers = Workers::start(workers, &drain).unwrap();
        let listener = Listener::bind(&Address::Tcp("127.0.0.1:0".to_owned())).unwrap();
        tracing::info!(listen = %listener.address(), "serving");
        listener.accept(|socket| workers.dispatch(socket, &api)).await;
    });
}
