//! Why a sidecar cannot start or go on, and whose mistake it is.

use std::{io, sync::Arc};

use super::{BindError, PepperMismatch};
use crate::{
    digest::PepperError,
    operator::OperatorTokenError,
    policy::PolicyError,
    store::{Failure, OpenError},
    tls::TlsError,
    usage::UsageError,
};

/// The sidecar cannot start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The policy file is wrong: configuration.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The data directory cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The operator token's file that was named cannot be used: configuration.
    #[error(transparent)]
    OperatorTokenFile(OperatorTokenError),
    /// No operator token in the data directory.
    #[error(transparent)]
    OperatorToken(#[from] OperatorTokenError),
    /// A pepper file cannot be used: configuration.
    #[error(transparent)]
    PepperFile(#[from] PepperError),
    /// The TLS files cannot be used: configuration.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The pepper is not the data's: configuration.
    #[error(transparent)]
    Pepper(#[from] PepperMismatch),
    /// The usage of keys can be neither read nor begun.
    #[error("cannot keep how keys are used in the data directory")]
    Usage(#[from] UsageError),
    /// A variable of OpenTelemetry's is wrong: configuration.
    #[error("traces cannot be sent: see the variables OTEL_EXPORTER_OTLP_… in the environment")]
    Traces(#[from] opentelemetry_otlp::ExporterBuildError),
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The descriptors for reflection are broken: a defect.
    #[error("reflection cannot be served")]
    Reflection(#[source] tonic_reflection::server::Error),
    /// A thread or runtime cannot be made.
    #[error("cannot start the workers")]
    Workers(#[source] io::Error),
    /// Durability is in doubt.
    #[error(
        "the store has stopped, so the sidecar stops; nothing acknowledged is lost, start it again once the cause is mended"
    )]
    Store(#[source] Arc<Failure>),
}

impl ServerError {
    /// Whether the mistake is in the configuration, not in the world.
    pub fn is_configuration(&self) -> bool {
        matches!(
            self,
            Self::Policy(_)
                | Self::OperatorTokenFile(_)
                | Self::PepperFile(_)
                | Self::Pepper(_)
                | Self::Tls(_)
                | Self::Traces(_)
        )
    }
}
