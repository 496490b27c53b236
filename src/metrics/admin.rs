//! How many admin calls there were, by method and code, and how long they took.
//!
//! INVARIANT: methods are those of the contract, all others one; a call is counted once, when its
//! answer ends or is given up. Filled by `grpc::CountCalls`.

use std::{
    array,
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{MetricType, exemplar::Exemplar},
};
use prost::Message as _;
use prost_types::FileDescriptorSet;

use super::{decisions::OTHER, histogram::Histogram};
use crate::pb;

const BOUNDS: &[u64] = &[
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    1_000_000_000,
    10_000_000_000,
];

/// gRPC's codes, by number.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
const CANCELLED: usize = 1;
const UNKNOWN: usize = 2;

/// The metrics of admin calls. Clones are the same.
#[derive(Clone, Debug)]
pub struct AdminCalls(Arc<Methods>);

#[derive(Debug)]
struct Methods {
    /// The number of each in `methods`, by path.
    numbers: HashMap<String, usize>,
    /// The last one is for all others.
    methods: Vec<Method>,
}

#[derive(Debug)]
struct Method {
    name: String,
    codes: [AtomicU64; CODES.len()],
    took: Histogram,
}

/// A call under way. One that is dropped before its end was given up.
#[derive(Debug)]
#[must_use = "dropped, it is a call that was given up"]
pub struct Call {
    methods: Arc<Methods>,
    number: usize,
    started: Instant,
    code: usize,
}

impl Method {
    fn new(name: &str) -> Self {
        let codes = array::from_fn(|_| AtomicU64::new(0));
        Self { name: name.to_owned(), codes, took: Histogram::new(BOUNDS) }
    }
}

impl Default for AdminCalls {
    fn default() -> Self {
        let (mut numbers, mut methods) = (HashMap::new(), Vec::new());
        // INVARIANT: the build made it.
        let files = FileDescriptorSet::decode(pb::DESCRIPTORS).unwrap_or_default().file;
        for file in &files {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    numbers.insert(path, methods.len());
                    methods.push(Method::new(method.name()));
                }
            }
        }
        methods.push(Method::new(OTHER));
        Self(Arc::new(Methods { numbers, methods }))
    }
}

impl AdminCalls {
    /// A call of the method at `path` begins.
    pub fn start(&self, path: &str) -> Call {
        let other = self.0.methods.len().saturating_sub(1);
        let number = self.0.numbers.get(path).copied().unwrap_or(other);
        Call { methods: Arc::clone(&self.0), number, started: Instant::now(), code: CANCELLED }
    }

    /// How many calls of `method` ended with the code of this name.
    pub fn count(&self, method: &str, code: &str) -> u64 {
        let method = self.0.methods.iter().find(|known| known.name == method);
        let code = CODES.iter().position(|known| *known == code).unwrap_or(UNKNOWN);
        method.and_then(|method| method.codes.get(code)).map_or(0, |count| count.load(Relaxed))
    }
}

impl Call {
    /// Its answer has ended with gRPC's `code`.
    pub fn end(mut self, code: i32) {
        self.code =
            usize::try_from(code).ok().filter(|code| *code < CODES.len()).unwrap_or(UNKNOWN);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let Some(method) = self.methods.methods.get(self.number) else { return };
        if let Some(count) = method.codes.get(self.code) {
            count.fetch_add(1, Relaxed);
        }
        method.took.observe_since(self.started);
    }
}

impl EncodeMetric for AdminCalls {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for method in &self.0.methods {
            for (code, count) in CODES.iter().zip(&method.codes) {
                let count = count.load(Relaxed);
                if count > 0 {
                    let labels = [("method", &*method.name), ("code", code)];
                    let none: Option<&Exemplar<[(&str, &str); 0], f64>> = None;
                    encoder.encode_family(&labels)?.encode_counter(&count, none)?;
                }
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

/// How long the same calls took.
#[derive(Debug)]
pub(super) struct AdminTimes(pub(super) AdminCalls);

impl EncodeMetric for AdminTimes {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for method in self.0.0.methods.iter().filter(|method| method.took.count() > 0) {
            method.took.encode(&mut encoder.encode_family(&[("method", &*method.name)])?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_of_the_contract_has_its_name_and_all_others_share_one() {
        let calls = AdminCalls::default();
        calls.start("/octavia.authz.v1.ApiKeyService/CreateApiKey").end(0);
        calls.start("/octavia.authz.v1.ApiKeyService/NoSuch").end(12);
        calls.start("/grpc.health.v1.Health/Check").end(0);
        calls.start("octv_a_key").end(12);
        drop(calls.start("/octavia.authz.v1.AuditService/WatchAuditEvents"));
        assert_eq!(calls.count("CreateApiKey", "OK"), 1);
        assert_eq!((calls.count(OTHER, "UNIMPLEMENTED"), calls.count(OTHER, "OK")), (2, 1));
        assert_eq!(calls.count("WatchAuditEvents", "CANCELLED"), 1);
    }

    #[test]
    fn methods_are_told_apart_by_their_names_alone() {
        let calls = AdminCalls::default();
        let mut names: Vec<_> = calls.0.methods.iter().map(|method| &method.name).collect();
        names.sort();
        let count = names.len();
        names.dedup();
        assert!(names.len() == count && count > 15, "{names:?}");
    }

    #[test]
    fn a_code_that_grpc_does_not_have_is_unknown() {
        let calls = AdminCalls::default();
        calls.start("").end(17);
        calls.start("").end(-1);
        assert_eq!(calls.count(OTHER, "UNKNOWN"), 2);
    }
}
