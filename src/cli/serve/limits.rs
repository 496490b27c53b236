//! The limits as flags.

use std::{num::NonZeroU32, time::Duration};

use crate::{cli::time, config::Limits};

/// How much clients may take.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Keep at most N connections for each API open, and at most 1000 for administration, ops and the
    /// dashboard; one more takes the place of the one that has been idle longest. It is fewer where
    /// the limit of open files, shared among the APIs, leaves no room for that
    #[arg(
        long,
        value_name = "N",
        env = "OCTAVIA_AUTHZ_MAX_CONNECTIONS",
        default_value_t = Limits::DEFAULT.max_connections as u64,
        value_parser = clap::value_parser!(u64).range(1..=1_000_000)
    )]
    pub max_connections: u64,

    /// Let at most N calls for each API wait for an answer; one more is answered RESOURCE_EXHAUSTED,
    /// or 503
    #[arg(
        long,
        value_name = "N",
        env = "OCTAVIA_AUTHZ_MAX_IN_FLIGHT",
        default_value_t = Limits::DEFAULT.max_in_flight as u64,
        value_parser = clap::value_parser!(u64).range(1..=1_000_000)
    )]
    pub max_in_flight: u64,

    /// Let a connection carry at most N calls at once
    #[arg(
        long,
        value_name = "N",
        env = "OCTAVIA_AUTHZ_MAX_STREAMS",
        default_value_t = Limits::DEFAULT.max_streams,
        value_parser = clap::value_parser!(u32).range(1..=10_000)
    )]
    pub max_streams: u32,

    /// Refuse a call whose headers have more than BYTES together; over HTTP/1.1 at least 8192 fit
    #[arg(
        long,
        value_name = "BYTES",
        env = "OCTAVIA_AUTHZ_MAX_HEADER_BYTES",
        default_value_t = Limits::DEFAULT.max_header_bytes,
        value_parser = clap::value_parser!(u32).range(1024..=1 << 20)
    )]
    pub max_header_bytes: u32,

    /// Refuse messages of the authorization API, and bodies of the AuthZEN API, of more than BYTES
    #[arg(
        long,
        value_name = "BYTES",
        env = "OCTAVIA_AUTHZ_MAX_MESSAGE_BYTES",
        default_value_t = Limits::DEFAULT.max_message_bytes as u64,
        value_parser = clap::value_parser!(u64).range(1024..=64 << 20)
    )]
    pub max_message_bytes: u64,

    /// Let a source, which is an address or a user on a Unix socket, fail N times a minute to sign in
    /// to the admin API; then its credentials are not looked at for a while
    #[arg(
        long,
        value_name = "N",
        env = "OCTAVIA_AUTHZ_MAX_FAILED_SIGN_INS",
        default_value_t = Limits::DEFAULT.max_failed_sign_ins
    )]
    pub max_failed_sign_ins: NonZeroU32,

    /// Close a connection that has not made its TLS handshake, and then not begun to speak HTTP,
    /// within DURATION
    #[arg(
        long,
        value_name = "DURATION",
        env = "OCTAVIA_AUTHZ_HANDSHAKE_TIMEOUT",
        default_value = "5s",
        value_parser = time::parse_timeout
    )]
    pub handshake_timeout: Duration,

    /// Answer DEADLINE_EXCEEDED, or 408, to a call that has not arrived, or is not answered, within
    /// DURATION; of a stream this is the head of the answer
    #[arg(
        long,
        value_name = "DURATION",
        env = "OCTAVIA_AUTHZ_REQUEST_TIMEOUT",
        default_value = "10s",
        value_parser = time::parse_timeout
    )]
    pub request_timeout: Duration,
}

impl LimitArgs {
    /// The same as the server has them.
    pub fn limits(&self) -> Limits {
        let size = |number| usize::try_from(number).unwrap_or(usize::MAX);
        Limits {
            max_connections: size(self.max_connections),
            max_side_connections: Limits::DEFAULT.max_side_connections,
            max_in_flight: size(self.max_in_flight),
            max_streams: self.max_streams,
            max_header_bytes: self.max_header_bytes,
            max_message_bytes: size(self.max_message_bytes),
            max_failed_sign_ins: self.max_failed_sign_ins,
            handshake_timeout: self.handshake_timeout,
            request_timeout: self.request_timeout,
        }
    }
}
