//! What Envoy's `Check` costs the sidecar's process beside a native `Authorize`, in the same process
//! and the same run. Starts a real sidecar on loopback. `cargo bench --bench ext_authz`

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark that fails shall stop where it fails, and prints; it shares files with another"
)]

#[path = "load/client.rs"]
mod client;
#[path = "load/process.rs"]
mod process;

use envoy_types::pb::envoy::{
    config::core::v3::{
        Address, HeaderMap, HeaderValue, Metadata, SocketAddress, address,
        socket_address::PortSpecifier,
    },
    service::auth::v3::{AttributeContext, CheckRequest, attribute_context},
};
use octavia_authz::pb::v1::AuthorizeRequest;

use self::{client::Call, process::Process};

const CONNECTIONS: usize = 8;
const STREAMS: usize = 16;
const CALLS: usize = 100_000;
const ROUNDS: usize = 7;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sidecar = Process::sidecar();
    let key = sidecar.create_key("writer");
    let (action, native) = ("articles.create".to_owned(), key.clone());
    let authorize =
        Call::authorize(&AuthorizeRequest { key: native, action, ..Default::default() });
    let plain = Call::check(&check(&key, "GET", "/cms/tags/getAll?limit=10", ""));
    let body = r#"{"title":"A title","content":"Some content","isPublished":false}"#;
    let with_body = Call::check(&check(&key, "POST", "/cms/articles/create", body));
    println!(
        "{CONNECTIONS} connections × {STREAMS} streams, {CALLS} calls a round, µs of server CPU a call:"
    );
    println!("  messages of {}, {} and {} bytes", authorize.len(), plain.len(), with_body.len());
    println!("  round   Authorize    Check    ratio    Check of a body    ratio");
    let (mut ratios, mut body_ratios) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let measure = |call: &Call| {
            let cpu = sidecar.cpu();
            runtime.block_on(client::unary(
                &sidecar.address,
                call,
                CONNECTIONS,
                STREAMS,
                CALLS,
                true,
            ));
            (sidecar.cpu() - cpu).as_secs_f64() * 1e6 / CALLS as f64
        };
        let (native, plain, body) = (measure(&authorize), measure(&plain), measure(&with_body));
        // The first warms up.
        if round > 0 {
            println!(
                "  {round:<8}{native:>9.2}{plain:>9.2}{:>9.3}{body:>19.2}{:>9.3}",
                plain / native,
                body / native
            );
            ratios.push(plain / native);
            body_ratios.push(body / native);
        }
    }
    ratios.sort_by(f64::total_cmp);
    body_ratios.sort_by(f64::total_cmp);
    println!(
        "  median ratios {:.3} and {:.3} (goal: at most 1.5)",
        ratios[ROUNDS / 2],
        body_ratios[ROUNDS / 2]
    );
}

/// What Envoy sends with `encode_raw_headers` for a request of the Python client.
fn check(key: &str, method: &str, path: &str, body: &str) -> CheckRequest {
    let length = body.len().to_string();
    let headers = [
        (":authority", "api.octaviatech.app"),
        (":method", method),
        (":path", path),
        (":scheme", "https"),
        ("accept-encoding", "identity"),
        ("content-type", "application/json"),
        ("user-agent", "Python-urllib/3.11"),
        ("x-api-key", key),
        ("x-forwarded-proto", "https"),
        ("x-request-id", "2f0a1b1c-3a0a-4c37-a1b1-0123456789ab"),
        ("content-length", &length),
        ("x-envoy-auth-partial-body", "false"),
    ];
    let sent = if body.is_empty() { 10 } else { headers.len() };
    let headers = headers[..sent].iter().map(|(name, value)| HeaderValue {
        key: (*name).to_owned(),
        raw_value: value.as_bytes().to_vec(),
        ..HeaderValue::default()
    });
    let http = attribute_context::HttpRequest {
        id: "9837492837492".to_owned(),
        method: method.to_owned(),
        path: path.to_owned(),
        host: "api.octaviatech.app".to_owned(),
        scheme: "https".to_owned(),
        protocol: "HTTP/1.1".to_owned(),
        size: if body.is_empty() { -1 } else { i64::try_from(body.len()).unwrap() },
        raw_body: body.into(),
        header_map: Some(HeaderMap { headers: headers.collect() }),
        ..attribute_context::HttpRequest::default()
    };
    let time = Some(envoy_types::pb::google::protobuf::Timestamp {
        seconds: 1_790_000_000,
        nanos: 123_456_789,
    });
    CheckRequest {
        attributes: Some(AttributeContext {
            source: Some(peer(43_210)),
            destination: Some(peer(8443)),
            request: Some(attribute_context::Request { time, http: Some(http) }),
            metadata_context: Some(Metadata::default()),
            route_metadata_context: Some(Metadata::default()),
            ..AttributeContext::default()
        }),
    }
}

fn peer(port: u32) -> attribute_context::Peer {
    let address = address::Address::SocketAddress(SocketAddress {
        address: "127.0.0.1".to_owned(),
        port_specifier: Some(PortSpecifier::PortValue(port)),
        ..SocketAddress::default()
    });
    let address = Some(Address { address: Some(address) });
    attribute_context::Peer { address, ..attribute_context::Peer::default() }
}
