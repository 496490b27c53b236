//! The log and the traces of a real sidecar: what was decided and changed, readers that do not
//! read, collectors that are there, dead or silent.

mod audit;
mod collector;
mod dead;
mod decisions;
mod otlp;
mod start;
mod unread;

use serde_json::Value;

pub use self::collector::Collector;
use crate::sidecar::{Sidecar, wait_until};

/// The events of `target` in a log of JSON lines.
fn events(log: &str, target: &str) -> Vec<Value> {
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter(|event| event["target"] == target).collect()
}

const DECISION: &str = "octavia_authz::decision";
const AUDIT: &str = "octavia_authz::audit";

/// Waits until the log of `sidecar` has a line with this text.
fn wait_for(sidecar: &Sidecar, text: &str) {
    wait_until(text, || sidecar.log().contains(text));
}
