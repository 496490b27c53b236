//! The limits of every connection. tonic has no default for most of them.

use std::time::Duration;

use tonic::transport::Server;

/// The largest message of the authorization API that is read: it holds the
/// largest batch.
pub(super) const MAX_MESSAGE: usize = 1 << 20;
/// The largest message of the admin API that is read: it holds a key whose every
/// field is full.
pub(super) const MAX_ADMIN_MESSAGE: usize = 256 << 10;
/// Calls at once on one connection. With the largest message, what a connection
/// can make us hold.
const MAX_STREAMS: u32 = 128;
/// A call is answered within this, or with CANCELLED: for one message it begins
/// with the headers and covers its arrival; for a stream it ends with the headers
/// of the answer, which do not wait for a message.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// All headers of a call together.
pub(super) const MAX_HEADERS: u32 = 16 << 10;
/// A stream of decisions keeps this much in flight.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// A peer has made its TLS handshake and begun to speak HTTP/2 within this.
pub(super) const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the calls of a client may take whose CA is gone. Streams are cut then.
pub(super) const DISTRUSTED_LINGER: Duration = REQUEST_TIMEOUT;
/// A peer that does not answer pings is gone.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// tonic's server, with these limits.
pub(super) fn server() -> Server {
    Server::builder()
        .timeout(REQUEST_TIMEOUT)
        .max_concurrent_streams(MAX_STREAMS)
        .http2_max_header_list_size(MAX_HEADERS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
}
