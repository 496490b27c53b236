//! The OpenID AuthZEN API, asked over plain sockets: the specification's endpoints, semantics and
//! errors, and the same decisions as over gRPC.

mod bad_input;
pub mod client;
mod connections;
mod discovery;
mod evaluations;
mod python;
mod same;

use serde_json::{Value, json};

use crate::sidecar::Sidecar;

pub const EVALUATION: &str = "/access/v1/evaluation";
const EVALUATIONS: &str = "/access/v1/evaluations";
const CONFIGURATION: &str = "/.well-known/authzen-configuration";

/// A sidecar that speaks it.
fn start() -> Sidecar {
    Sidecar::start_with(&["--authzen-listen", "127.0.0.1:0"])
}

/// The members of an evaluation without attributes.
pub fn question(key: &str, action: &str) -> Value {
    json!({
        "subject": { "type": "api_key", "id": key },
        "action": { "name": action },
        "resource": { "type": "article", "id": "1" },
    })
}
