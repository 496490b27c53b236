//! What `serve` runs on, validated: flags and environment are turned into this
//! once, before any port is bound or file touched.

mod address;
mod limits;

use std::{path::PathBuf, time::Duration};

pub use self::{
    address::{Address, InvalidAddress, UnixSocket},
    limits::Limits,
};
use crate::{
    dashboard::SessionTimes,
    gateway::KeyHeaders,
    telemetry::{Otlp, Ratio},
    tls,
};

/// A sidecar's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where journal, state and generated secrets lie.
    pub data_dir: PathBuf,
    /// Where the authorization API listens. Not empty.
    pub listen: Vec<Address>,
    /// Where the admin API listens; empty is nowhere.
    pub admin_listen: Vec<Address>,
    /// Where the AuthZEN API listens; empty is nowhere.
    pub authzen_listen: Vec<Address>,
    /// Where probes and metrics are; empty is nowhere.
    pub ops_listen: Vec<Address>,
    /// Where the dashboard is; empty is nowhere.
    pub dashboard_listen: Vec<Address>,
    /// How long a visitor of the dashboard stays signed in.
    pub session_times: SessionTimes,
    /// What clients may take.
    pub limits: Limits,
    /// Certificate, key and client CA of all TCP addresses; `None` is plain text.
    pub tls: Option<tls::Files>,
    /// The operator token's file; `None` is `operator.token` in the data
    /// directory, made when it is missing.
    pub operator_token_file: Option<PathBuf>,
    /// The key of digests; `None` is none.
    pub pepper_file: Option<PathBuf>,
    /// The key of digests before; its digests are accepted too.
    pub previous_pepper_file: Option<PathBuf>,
    /// A policy file on top of the built-in policy.
    pub policy: Option<PathBuf>,
    /// The headers in which keys of HTTP requests are looked for.
    pub key_headers: KeyHeaders,
    /// Threads of the authorization path, at least 1.
    pub workers: usize,
    /// Resolved keys that the cache holds.
    pub cache_capacity: u64,
    /// How often last-used times and counts are written.
    pub usage_flush_interval: Duration,
    /// How long it goes on after SIGTERM, and says that it is not ready.
    pub lameduck: Duration,
    /// How long calls in flight may take after that.
    pub drain_timeout: Duration,
    /// How long the audit log is kept; `None` is for ever.
    pub audit_retention: Option<Duration>,
    /// The share of allows that is logged.
    pub log_allows: Ratio,
    /// Where spans go; `None` is nowhere.
    pub otlp: Option<Otlp>,
}
