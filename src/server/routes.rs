//! Which services answer on which listeners, and how large their messages may be.

use std::sync::Arc;

use axum::Router;
use tonic::service::Routes;

use super::{ServerError, body, health::Health, limits};
use crate::{
    authorizer::Authorizer,
    authzen,
    config::Limits,
    dashboard::{self, Dashboard},
    decision_log::DecisionLog,
    gateway::Gateway,
    grpc::{
        Admin, Audit, Authorization, CountCalls, ExtAuthz, ExtAuthzServer, GuardSignIns,
        Maintenance, Spoken, TraceCalls,
    },
    metrics::AdminCalls,
    pb::{
        self,
        v1::{
            api_key_service_server::ApiKeyServiceServer, audit_service_server::AuditServiceServer,
            authorization_service_server::AuthorizationServiceServer,
            maintenance_service_server::MaintenanceServiceServer,
            role_service_server::RoleServiceServer,
        },
    },
    telemetry::Traces,
};

pub(super) const AUTHORIZATION: &str = "octavia.authz.v1.AuthorizationService";
/// Envoy's external authorization.
pub(super) const EXT_AUTHZ: &str = "envoy.service.auth.v3.Authorization";
pub(super) const ADMIN: [&str; 4] = [
    "octavia.authz.v1.ApiKeyService",
    "octavia.authz.v1.AuditService",
    "octavia.authz.v1.RoleService",
    "octavia.authz.v1.MaintenanceService",
];

/// What is traced on the authorization listeners.
const TRACED: [&str; 2] = [AUTHORIZATION, EXT_AUTHZ];

/// What answers on the authorization listeners.
///
/// # Errors
/// [`ServerError::Reflection`]
pub(super) fn authorization(
    gateway: Gateway,
    health: &Health,
    limits: &Limits,
    log: DecisionLog,
    traces: Option<&Traces>,
) -> Result<Router, ServerError> {
    let max = limits.max_message_bytes;
    let authorizer = Arc::clone(gateway.authorizer());
    let ext_authz = ExtAuthz::new(Arc::new(gateway), log.clone());
    let ext_authz = ExtAuthzServer::new(ext_authz).max_decoding_message_size(max);
    let authorization = AuthorizationServiceServer::new(Authorization::new(authorizer, log))
        .max_decoding_message_size(max);
    let routes = Routes::new(authorization).add_service(ext_authz).add_service(health.service());
    let routes = with_reflection(routes, &[AUTHORIZATION])?;
    Ok(traced(routes, traces, Spoken::Grpc(&TRACED)))
}

/// What answers on the AuthZEN listeners.
pub(super) fn authzen(
    authorizer: Arc<Authorizer>,
    log: DecisionLog,
    max: usize,
    traces: Option<&Traces>,
) -> Router {
    let router = traced(authzen::router(authorizer, log), traces, Spoken::Http);
    body::read_whole(router, max)
}

/// What answers on the dashboard's listeners.
pub(super) fn dashboard(dashboard: Dashboard, traces: Option<&Traces>) -> Router {
    let router = traced(dashboard::router(dashboard), traces, Spoken::Http);
    dashboard::guarded(body::read_whole(router, limits::MAX_ADMIN_MESSAGE))
}

/// What answers on the admin listeners.
///
/// # Errors
/// [`ServerError::Reflection`]
pub(super) fn admin(
    service: Admin,
    maintenance: Maintenance,
    audit: Audit,
    health: &Health,
    calls: AdminCalls,
    guard: GuardSignIns,
    traces: Option<&Traces>,
) -> Result<Router, ServerError> {
    let max = limits::MAX_ADMIN_MESSAGE;
    let keys = ApiKeyServiceServer::new(service.clone()).max_decoding_message_size(max);
    let roles = RoleServiceServer::new(service).max_decoding_message_size(max);
    let maintenance = MaintenanceServiceServer::new(maintenance).max_decoding_message_size(max);
    let audit = AuditServiceServer::new(audit).max_decoding_message_size(max);
    let routes = Routes::new(keys)
        .add_service(roles)
        .add_service(maintenance)
        .add_service(audit)
        .add_service(health.service());
    let routes = with_reflection(routes, &ADMIN)?;
    let router = routes.layer(guard).layer(CountCalls::new(calls));
    Ok(traced(router, traces, Spoken::Grpc(&ADMIN)))
}

/// `router`, whose calls are traced if any are.
fn traced(router: Router, traces: Option<&Traces>, spoken: Spoken) -> Router {
    match traces {
        Some(traces) => router.layer(TraceCalls::new(traces.clone(), spoken)),
        None => router,
    }
}

/// Adds reflection, v1 and v1alpha (grpcurl 1.8 speaks only that), of `services`.
fn with_reflection(routes: Routes, services: &[&str]) -> Result<Router, ServerError> {
    let builder = || {
        services
            .iter()
            .fold(tonic_reflection::server::Builder::configure(), |builder, name| {
                builder.with_service_name(*name)
            })
            .with_service_name("grpc.health.v1.Health")
            .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    Ok(routes
        .add_service(builder().build_v1().map_err(ServerError::Reflection)?)
        .add_service(builder().build_v1alpha().map_err(ServerError::Reflection)?)
        .into_axum_router())
}
