//! A collector that is not ours: OpenTelemetry's own protocol files and Python's grpcio.

use std::{
    env,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::Value;

/// Prints its port, and then each span as a line of JSON.
const COLLECTOR: &str = r#"
import json, grpc
from concurrent import futures
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service

def value(v):
    return getattr(v, v.WhichOneof("value"))

def attributes(list):
    return {a.key: value(a.value) for a in list}

def export(request, context):
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                print(json.dumps({
                    "name": span.name, "kind": span.kind, "status": span.status.code,
                    "trace": span.trace_id.hex(), "span": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(), "state": span.trace_state,
                    "took": span.end_time_unix_nano - span.start_time_unix_nano,
                    "attributes": attributes(span.attributes),
                    "resource": attributes(resource.resource.attributes),
                    "raw": str(span)}), flush=True)
    return service.ExportTraceServiceResponse()

export = grpc.unary_unary_rpc_method_handler(
    export, service.ExportTraceServiceRequest.FromString,
    service.ExportTraceServiceResponse.SerializeToString)
name = "opentelemetry.proto.collector.trace.v1.TraceService"
server = grpc.server(futures.ThreadPoolExecutor(1))
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(name, {"Export": export})])
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
server.wait_for_termination()
"#;

/// A collector. Killed when dropped.
pub struct Collector {
    child: Child,
    pub endpoint: String,
    spans: Arc<Mutex<Vec<Value>>>,
}

impl Collector {
    pub fn start() -> Self {
        let interpreter = env::var_os("OCTAVIA_TEST_PYTHON").unwrap_or_else(|| "python3".into());
        let mut command = Command::new(interpreter);
        let mut child = command.args(["-c", COLLECTOR]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().expect("a port").unwrap();
        let spans = Arc::new(Mutex::new(Vec::new()));
        let take = Arc::clone(&spans);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                take.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Self { child, endpoint: format!("http://127.0.0.1:{port}"), spans }
    }

    /// Those of this name. What was sent before the sidecar ended is printed: it was answered.
    pub fn spans(&self, name: &str) -> Vec<Value> {
        self.all().into_iter().filter(|span| span["name"] == name).collect()
    }

    /// All of them.
    pub fn all(&self) -> Vec<Value> {
        self.spans.lock().unwrap().clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
