//! octavia-authz: may this API key do this?
pub mod authorizer;
pub mod cache;
pub mod change;
pub mod cli;
pub mod clock;
pub mod config;
pub mod grpc;
pub mod keyring;
pub mod operator;
pub mod pb;
pub mod policy;
pub mod record;
pub mod resolved_key;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod token;
