//! TLS of the listeners: certificate, key and client CA, read again while the
//! sidecar runs.
//!
//! INVARIANT: the three files are taken as a set that fits together, or not at all.
//! No session goes over from one set to the next, so that nobody comes in by one that
//! a CA that is gone has vouched for. Called by `server`.

mod certificate;
mod expiry;
mod files;
pub(crate) mod pem;
mod reload;
mod set;

pub use certificate::Certificate;
pub(crate) use certificate::name_of;
pub use files::Files;
pub use reload::Reloader;
pub use set::{Set, TlsError};
