//! The gRPC services. Only this module, the clients in `cli`, tests and benches
//! name wire types; `convert` is the border.
//!
//! INVARIANT: a service here asks the authorizer or the keyring and says what
//! came back; it decides nothing itself.

mod admin;
mod authorize;
mod bearer;
mod codec;
mod convert;
mod import;
mod maintenance;
mod peer;

pub use self::{
    admin::Admin, authorize::Authorization, codec::Codec, convert::hex, maintenance::Maintenance,
    peer::Peer,
};
