//! The limits of every connection. tonic has no default for most of them.

use std::time::Duration;

use tonic::transport::Server;

/// The largest message that is read: it holds the largest batch.
pub(super) const MAX_MESSAGE: usize = 1 << 20;
/// Calls at once on one connection.
const MAX_STREAMS: u32 = 1024;
/// All headers of a call together.
const MAX_HEADERS: u32 = 16 << 10;
/// A stream of decisions keeps this much in flight.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// A peer has begun to speak HTTP/2 within this.
pub(super) const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// A peer that does not answer pings is gone.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// tonic's server, with these limits.
pub(super) fn server() -> Server {
    Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        .http2_max_header_list_size(MAX_HEADERS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
}
