//! The gRPC services. Only this module, the clients in `cli`, tests and benches
//! name wire types; `convert` is the border.
//!
//! INVARIANT: a service here asks the authorizer, the keyring or the auditor and says what
//! came back; it decides nothing itself.

mod admin;
mod audit;
mod authorize;
mod bearer;
mod codec;
mod convert;
mod counted;
mod ended;
mod ext_authz;
mod import;
mod maintenance;
mod peer;
mod sign_in;
mod traced;

pub use self::{
    admin::Admin,
    audit::Audit,
    authorize::Authorization,
    codec::Codec,
    convert::{hex, verification},
    counted::CountCalls,
    ext_authz::{CHECK, ExtAuthz, ExtAuthzServer, undecided},
    maintenance::Maintenance,
    peer::{Credentials, Peer},
    sign_in::GuardSignIns,
    traced::{Spoken, TraceCalls},
};
pub(crate) use self::{
    bearer::request_id_of, convert::reason_name, peer::in_extensions as peer_in_extensions,
};
