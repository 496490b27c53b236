//! The health of the services, as gRPC tells it.

use tonic_health::{
    ServingStatus::{self, NotServing, Serving},
    pb::health_server::{self, HealthServer},
    server::{HealthReporter, HealthService},
};

use super::{
    phase::Phase,
    routes::{ADMIN, AUTHORIZATION, EXT_AUTHZ},
};

/// What probes ask for; the services of the APIs are ready when the sidecar is.
const STARTUP: &str = "startup";
const READINESS: &str = "readiness";
const LIVENESS: &str = "liveness";

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
    pub(super) async fn set(&self, phase: Phase) {
        let is = |serving| if serving { Serving } else { NotServing };
        let ready = is(phase == Phase::Serving);
        for service in ["", READINESS, AUTHORIZATION, EXT_AUTHZ].into_iter().chain(ADMIN) {
            self.tell(service, ready).await;
        }
        self.tell(STARTUP, is(phase != Phase::Starting)).await;
        if phase == Phase::Starting {
            self.tell(LIVENESS, Serving).await;
        }
    }

    /// Says whether the workers are alive.
    pub(super) async fn set_alive(&self, alive: bool) {
        self.tell(LIVENESS, if alive { Serving } else { NotServing }).await;
    }

    async fn tell(&self, service: &str, status: ServingStatus) {
        self.reporter.set_service_status(service, status).await;
    }

    /// Ends every Watch after what it was told last: it is no call that has an
    /// answer to wait for, and would hold up the stop.
    pub(super) async fn end_watches(&self) {
        let mut reporter = self.reporter.clone();
        let ours = ["", STARTUP, READINESS, LIVENESS, AUTHORIZATION, EXT_AUTHZ];
        for service in ours.into_iter().chain(ADMIN) {
            reporter.clear_service_status(service).await;
        }
    }

    /// What answers for it.
    pub(super) fn service(&self) -> HealthServer<impl health_server::Health> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }
}
