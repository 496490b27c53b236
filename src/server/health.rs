//! The health of the services, as gRPC tells it.

use tonic_health::{
    ServingStatus,
    pb::health_server::{self, HealthServer},
    server::{HealthReporter, HealthService},
};

use super::routes::{ADMIN, AUTHORIZATION, EXT_AUTHZ};

/// The health of every service, the same on every listener.
pub(super) struct Health {
    reporter: HealthReporter,
}

impl Health {
    /// Of services that are not known yet.
    pub(super) fn new() -> Self {
        Self { reporter: HealthReporter::new() }
    }

    /// Tells it of every service.
    pub(super) async fn set(&self, status: ServingStatus) {
        for service in ["", AUTHORIZATION, EXT_AUTHZ].into_iter().chain(ADMIN) {
            self.reporter.set_service_status(service, status).await;
        }
    }

    /// Ends every Watch after what it was told last: it is no call that has an
    /// answer to wait for, and would hold up the stop.
    pub(super) async fn end_watches(&self) {
        let mut reporter = self.reporter.clone();
        for service in ["", AUTHORIZATION, EXT_AUTHZ].into_iter().chain(ADMIN) {
            reporter.clear_service_status(service).await;
        }
    }

    /// What answers for it.
    pub(super) fn service(&self) -> HealthServer<impl health_server::Health> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }
}
