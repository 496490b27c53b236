//! How much clients may take of a sidecar.

use std::{num::NonZeroU32, time::Duration};

/// The limits of each API. Every flag of `serve` that is a limit is one of these.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections of an API at once; the idlest makes room for one more.
    pub max_connections: usize,
    /// The same, of an API that decides nothing and has people and probes as its clients.
    pub max_side_connections: usize,
    /// Calls of an API that wait for an answer at once; one more is turned away.
    pub max_in_flight: usize,
    /// Calls on one connection at once.
    pub max_streams: u32,
    /// All headers of a call together, in bytes.
    pub max_header_bytes: u32,
    /// The largest message, or body, in bytes.
    pub max_message_bytes: usize,
    /// Sign-ins to the admin API that may fail in a minute, for each source.
    pub max_failed_sign_ins: NonZeroU32,
    /// A client has made its TLS handshake, and begun to speak HTTP, within this.
    pub handshake_timeout: Duration,
    /// A call has arrived and is answered within this; of a stream, the head of the answer.
    pub request_timeout: Duration,
}

impl Limits {
    /// All messages of an API that have not arrived whole, together, in bytes; a small one is taken
    /// all the same.
    pub fn max_held_bytes(&self) -> usize {
        self.max_message_bytes.saturating_mul(64)
    }

    /// The limits of an API that decides nothing: administration, ops, the dashboard.
    pub fn aside(self) -> Self {
        let max_connections = self.max_connections.min(self.max_side_connections);
        Self { max_connections, ..self }
    }

    /// What `serve` has where nothing is given. A message of 1 MiB holds the largest batch.
    pub const DEFAULT: Self = Self {
        max_connections: 10_000,
        max_side_connections: 1000,
        max_in_flight: 4096,
        max_streams: 128,
        max_header_bytes: 16 << 10,
        max_message_bytes: 1 << 20,
        max_failed_sign_ins: NonZeroU32::new(20).unwrap(),
        handshake_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(10),
    };
}
