//! Black-box tests: real sidecars on free ports, real clients.
//!
//! What needs a program that a machine with Rust alone does not have is ignored,
//! with the reason; `.ci/run` installs it and runs it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a test that fails shall stop where it fails"
)]

mod abuse;
mod admin;
mod audit;
mod authzen;
mod backup;
mod bad_input;
mod command_line;
mod damage;
mod dashboard;
mod dashboard_security;
mod durable;
mod envoy;
mod escalation;
mod ext_authz;
mod golden;
mod guide;
mod held;
mod limits;
mod listeners;
mod metrics;
mod no_stale_allow;
mod ops;
mod pepper;
mod raw;
mod real_input;
mod reload;
mod renewal;
mod secrets;
mod sidecar;
mod sign_ins;
mod telemetry;
mod tls;
mod usage;
mod walk;
