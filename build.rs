//! Compiles `proto/` with protox, so that no `protoc` is needed on the machine.

use std::{env, fs, path::PathBuf};

use prost::Message as _;
use tonic_build::manual::{Builder, Method, Service};

/// The public contract: its descriptors are served by reflection.
const PUBLIC: [&str; 5] = [
    "octavia/authz/v1/api_key.proto",
    "octavia/authz/v1/authorization.proto",
    "octavia/authz/v1/admin.proto",
    "octavia/authz/v1/audit.proto",
    "octavia/authz/v1/maintenance.proto",
];
/// What is stored: nobody's business but the store's.
const STORED: [&str; 1] = ["octavia/authz/storage/v1/record.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let public = protox::compile(PUBLIC, ["proto"])?;
    fs::write(out.join("octavia_authz.bin"), public.encode_to_vec())?;
    tonic_prost_build::configure().codec_path("crate::grpc::Codec").compile_fds(public)?;

    let stored = protox::compile(STORED, ["proto"])?;
    tonic_prost_build::configure().build_client(false).build_server(false).compile_fds(stored)?;

    // Envoy's service: its messages are in `grpc::ext_authz::wire`.
    let check = Method::builder()
        .name("check")
        .route_name("Check")
        .input_type("crate::grpc::ext_authz::wire::CheckRequest")
        .output_type("crate::grpc::ext_authz::wire::CheckResponse")
        .codec_path("crate::grpc::Codec")
        .build();
    let ext_authz = Service::builder()
        .name("Authorization")
        .package("envoy.service.auth.v3")
        .method(check)
        .build();
    Builder::new().build_client(false).compile(&[ext_authz]);
    Ok(())
}
