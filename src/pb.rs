//! The generated wire and storage types. Only `grpc`, `cli`, tests and benches
//! name the wire types; only `record`, `store` and `usage` the stored
//! ones.

#![allow(missing_docs, unreachable_pub, reason = "generated code")]
#![allow(clippy::all, clippy::allow_attributes_without_reason, reason = "generated code")]

/// The public contract, `octavia.authz.v1`.
pub mod v1 {
    tonic::include_proto!("octavia.authz.v1");
}

/// What is stored, `octavia.authz.storage.v1`.
pub mod storage {
    tonic::include_proto!("octavia.authz.storage.v1");
}

/// The encoded descriptors of the public contract, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/octavia_authz.bin"));
