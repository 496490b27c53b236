//! The limits that are no flag: nobody needs them to be another.

use std::time::Duration;

/// The largest message of the admin API that is read: it holds a key whose every
/// field is full.
pub(super) const MAX_ADMIN_MESSAGE: usize = 256 << 10;
/// A stream of decisions keeps this much in flight.
pub(super) const STREAM_WINDOW: u32 = 256 << 10;
/// What a connection can make us hold of messages that have not arrived whole.
pub(super) const CONNECTION_WINDOW: u32 = 1 << 20;
/// A peer that does not answer pings is gone.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(30);
pub(super) const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long HTTP/1.1 may be silent from an answer to the next request.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the calls of a client may take whose CA is gone. Streams are cut then.
pub(super) const DISTRUSTED_LINGER: Duration = Duration::from_secs(10);
/// How long a new connection waits for one that ends. Those after it wait, too, in the kernel.
pub(super) const ADMISSION: Duration = Duration::from_secs(2);
/// How long a connection that makes room for another may take to end.
pub(super) const EVICTED_LINGER: Duration = Duration::from_secs(1);
