//! octavia-authz: may this API key do this?
pub mod pb;
