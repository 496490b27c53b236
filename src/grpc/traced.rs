//! Makes a span of each call that is traced, of gRPC or of plain HTTP.
//!
//! INVARIANT: changes nothing of call or answer. A span holds no text of a client's: names are those
//! of our own services and routes. <https://opentelemetry.io/docs/specs/semconv/rpc/grpc/>,
//! <https://opentelemetry.io/docs/specs/semconv/http/http-spans/>

use std::{
    collections::HashSet,
    future::Future,
    pin::Pin,
    sync::LazyLock,
    task::{Context, Poll, ready},
};

use axum::extract::MatchedPath;
use http::{Method, Request, Response, StatusCode};
use opentelemetry::{
    KeyValue,
    trace::{Span as _, SpanBuilder, SpanKind, Status as SpanStatus},
};
use opentelemetry_sdk::trace::Span;
use pin_project_lite::pin_project;
use prost::Message as _;
use prost_types::{FileDescriptorSet, MethodDescriptorProto};
use tonic::Code;
use tower::{Layer, Service};

use super::{
    Peer,
    ended::{self, EndedBody, Ends},
};
use crate::{
    pb,
    telemetry::{Noted, Traces},
};

/// The one method that is not of our own contract.
const CHECK: &str = "envoy.service.auth.v3.Authorization/Check";

/// What calls are.
#[derive(Copy, Clone, Debug)]
pub enum Spoken {
    /// gRPC, of these services.
    Grpc(&'static [&'static str]),
    /// HTTP, of routes of axum's.
    Http,
}

/// Puts spans around services.
#[derive(Clone, Debug)]
pub struct TraceCalls {
    traces: Traces,
    spoken: Spoken,
}

/// A service of which calls are traced.
#[derive(Clone, Debug)]
pub struct Traced<S> {
    inner: S,
    trace: TraceCalls,
}

pin_project! {
    /// An answer to come. Not a box: most calls are not traced.
    #[derive(Debug)]
    pub struct Answering<F> {
        #[pin]
        answer: F,
        call: Option<Call>,
    }
}

/// A call under way. If nobody says how it ended, its caller went away.
#[derive(Debug)]
pub struct Call {
    span: Span,
    noted: Noted,
    spoken: Spoken,
}

impl TraceCalls {
    /// Traces by `traces` calls that are `spoken` so.
    pub fn new(traces: Traces, spoken: Spoken) -> Self {
        Self { traces, spoken }
    }

    fn begin<A>(&self, request: &mut Request<A>) -> Option<Call> {
        let context = self.traces.admit(request.headers())?;
        let (name, mut attributes) = match self.spoken {
            Spoken::Grpc(services) => grpc(services, request.uri().path()),
            Spoken::Http => {
                let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
                http(route, request.method(), request.uri().path())
            }
        };
        let address = match request.extensions().get::<Peer>() {
            Some(Peer::Tcp(address) | Peer::Tls(address, _)) => Some(address),
            Some(Peer::Unix(_)) | None => None,
        };
        if let Some(address) = address {
            attributes.push(KeyValue::new("network.peer.address", address.ip().to_string()));
            attributes.push(KeyValue::new("network.peer.port", i64::from(address.port())));
        }
        let builder = SpanBuilder::from_name(name).with_kind(SpanKind::Server);
        let span = self.traces.span(builder.with_attributes(attributes), &context);
        let noted = Noted::new(span.span_context().trace_id());
        request.extensions_mut().insert(noted.clone());
        Some(Call { span, noted, spoken: self.spoken })
    }
}

/// The methods that there are, `service/method`: a client can call others.
static METHODS: LazyLock<HashSet<String>> = LazyLock::new(|| {
    // Those that do not decode are none of reflection's either, and nothing starts.
    let files = FileDescriptorSet::decode(pb::DESCRIPTORS).unwrap_or_default().file;
    let mut methods = HashSet::from([CHECK.to_owned()]);
    for file in &files {
        for service in &file.service {
            let named = |method: &MethodDescriptorProto| {
                format!("{}.{}/{}", file.package(), service.name(), method.name())
            };
            methods.extend(service.method.iter().map(named));
        }
    }
    methods
});

/// The name and the first attributes of a span of `path`, `/service/method`.
fn grpc(services: &[&str], path: &str) -> (String, Vec<KeyValue>) {
    let mut attributes = vec![KeyValue::new("rpc.system", "grpc")];
    let path = path.strip_prefix('/').filter(|path| METHODS.contains(*path));
    let known = path.and_then(|path| path.split_once('/'));
    let Some((service, method)) = known.filter(|(service, _)| services.contains(service)) else {
        return ("unknown".to_owned(), attributes);
    };
    attributes.push(KeyValue::new("rpc.service", service.to_owned()));
    attributes.push(KeyValue::new("rpc.method", method.to_owned()));
    (format!("{service}/{method}"), attributes)
}

/// The same of an HTTP request for `path`, which `route` answers.
fn http(route: Option<&str>, method: &Method, path: &str) -> (String, Vec<KeyValue>) {
    const METHODS: [Method; 6] =
        [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::HEAD, Method::OPTIONS];
    let known = METHODS.iter().find(|known| *known == method).map(ToString::to_string);
    let shown = known.clone().unwrap_or_else(|| "HTTP".to_owned());
    let method = known.unwrap_or_else(|| "_OTHER".to_owned());
    let mut attributes = vec![KeyValue::new("http.request.method", method)];
    let Some(route) = route else { return (shown, attributes) };
    attributes.push(KeyValue::new("http.route", route.to_owned()));
    // With parameters, it holds what a client wrote.
    if route == path {
        attributes.push(KeyValue::new("url.path", route.to_owned()));
    }
    (format!("{shown} {route}"), attributes)
}

impl Call {
    /// Ends it by the code of a gRPC answer.
    fn end_grpc(&mut self, code: Code) {
        let number = i64::from(i32::from(code));
        self.span.set_attribute(KeyValue::new("rpc.grpc.status_code", number));
        // What is the server's fault.
        let failed = matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        );
        if failed {
            self.span.set_status(SpanStatus::error(""));
        }
        self.spoken = Spoken::Http;
    }

    fn say_http(&mut self, status: StatusCode) {
        let number = i64::from(status.as_u16());
        self.span.set_attribute(KeyValue::new("http.response.status_code", number));
        if status.is_server_error() {
            self.span.set_attribute(KeyValue::new("error.type", status.as_str().to_owned()));
            self.span.set_status(SpanStatus::error(""));
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if matches!(self.spoken, Spoken::Grpc(_)) {
            self.end_grpc(Code::Cancelled);
        }
        self.span.set_attributes(self.noted.take());
        self.span.end();
    }
}

impl Ends for Call {
    fn end(mut self, code: Code) {
        if matches!(self.spoken, Spoken::Grpc(_)) {
            self.end_grpc(code);
        }
    }
}

impl<S> Layer<S> for TraceCalls {
    type Service = Traced<S>;

    fn layer(&self, inner: S) -> Traced<S> {
        Traced { inner, trace: self.clone() }
    }
}

impl<S, A, B> Service<Request<A>> for Traced<S>
where
    S: Service<Request<A>, Response = Response<B>>,
{
    type Response = Response<EndedBody<B, Call>>;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        let call = self.trace.begin(&mut request);
        Answering { answer: self.inner.call(request), call }
    }
}

impl<F, B, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<EndedBody<B, Call>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.answer.poll(context))?;
        match this.call.as_mut().map(|call| (call.spoken, call)) {
            Some((Spoken::Grpc(_), _)) => ended::tell(this.call, answer.headers()),
            Some((Spoken::Http, call)) => call.say_http(answer.status()),
            None => {}
        }
        let call = this.call.take();
        Poll::Ready(Ok(answer.map(|inner| EndedBody::new(inner, call))))
    }
}
