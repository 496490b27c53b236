//! `envoy.service.auth.v3.Authorization/Check` as a proxy calls it, Envoy's own messages on the
//! wire: every operation with every role, every body, and what only a proxy that is not Envoy, or
//! is configured otherwise, would send.

mod bodies;
mod keys;
mod named;
mod operations;
mod undecided;

use std::collections::{BTreeMap, HashMap};

use envoy_types::pb::{
    envoy::{
        config::core::v3::{HeaderMap, HeaderValue, header_value_option::HeaderAppendAction},
        service::auth::v3::{
            AttributeContext, CheckRequest, CheckResponse, attribute_context,
            authorization_client::AuthorizationClient, check_response::HttpResponse,
        },
    },
    google::protobuf::value::Kind,
};
use prost::Message as _;
use tonic::transport::Channel;

use crate::sidecar::Sidecar;

pub const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// A request that a proxy asks about.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub host: String,
    pub path: String,
    /// Each as it came.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Those that came twice with a comma between.
    pub joined: HashMap<String, String>,
    pub body: String,
    pub raw_body: Vec<u8>,
    pub extensions: HashMap<String, String>,
}

/// What the proxy is told.
#[derive(Debug)]
pub struct Told {
    /// 200 for what may pass.
    pub status: u16,
    /// For what may pass, headers of the request; else of the answer.
    pub headers: BTreeMap<String, String>,
    pub removed: Vec<String>,
    pub body: String,
    pub metadata: BTreeMap<String, String>,
}

pub async fn client(sidecar: &Sidecar) -> AuthorizationClient<Channel> {
    AuthorizationClient::new(sidecar.channel().await)
}

/// What the sidecar tells a proxy that sends `message`, whatever it is.
pub async fn ask_raw(sidecar: &Sidecar, message: Vec<u8>) -> Told {
    let answer = crate::raw::unary(&sidecar.channel().await, CHECK, "", message).await.unwrap();
    Told::of(CheckResponse::decode(&*answer).unwrap())
}

impl Asked {
    /// A request that carries `key` where most do.
    pub fn new(method: &str, path: &str, key: &str) -> Self {
        Self {
            method: method.to_owned(),
            host: "api.octaviatech.app".to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            joined: HashMap::new(),
            body: String::new(),
            raw_body: Vec::new(),
            extensions: HashMap::new(),
        }
        .header("x-api-key", key)
    }

    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    /// A whole body of JSON, as Envoy buffers it.
    pub fn json(self, body: &str) -> Self {
        let with = self.header("content-type", "application/json");
        with.header("content-length", body.len().to_string()).buffered(body)
    }

    /// A body that the proxy says is whole.
    pub fn buffered(mut self, body: &str) -> Self {
        self.raw_body = body.into();
        self.header("x-envoy-auth-partial-body", "false")
    }

    pub fn extension(mut self, name: &str, value: &str) -> Self {
        self.extensions.insert(name.to_owned(), value.to_owned());
        self
    }

    fn message(&self) -> CheckRequest {
        let raw = self.headers.iter().map(|(key, raw_value)| HeaderValue {
            key: key.clone(),
            raw_value: raw_value.clone(),
            ..HeaderValue::default()
        });
        let http = attribute_context::HttpRequest {
            method: self.method.clone(),
            host: self.host.clone(),
            path: self.path.clone(),
            headers: self.joined.clone(),
            header_map: Some(HeaderMap { headers: raw.collect() }),
            body: self.body.clone(),
            raw_body: self.raw_body.clone(),
            size: -1,
            ..attribute_context::HttpRequest::default()
        };
        let request = attribute_context::Request { http: Some(http), ..Default::default() };
        CheckRequest {
            attributes: Some(AttributeContext {
                request: Some(request),
                context_extensions: self.extensions.clone(),
                ..AttributeContext::default()
            }),
        }
    }

    /// Its message on the wire.
    pub fn encoded(&self) -> Vec<u8> {
        self.message().encode_to_vec()
    }

    /// What the sidecar tells a proxy that asks this.
    pub async fn ask(&self, client: &AuthorizationClient<Channel>) -> Told {
        let answer = client.clone().check(self.message()).await.unwrap();
        Told::of(answer.into_inner())
    }
}

impl Told {
    pub fn of(answer: CheckResponse) -> Self {
        let fields = answer.dynamic_metadata.unwrap().fields.into_iter();
        let metadata = fields.map(|(name, value)| match value.kind {
            Some(Kind::StringValue(text)) => (name, text),
            other => panic!("{name}: {other:?}"),
        });
        let headers =
            |options: Vec<envoy_types::pb::envoy::config::core::v3::HeaderValueOption>| {
                let headers = options.into_iter().map(|option| {
                    // Never beside what a client sent.
                    assert_eq!(option.append_action(), HeaderAppendAction::OverwriteIfExistsOrAdd);
                    let header = option.header.unwrap();
                    (header.key, header.value)
                });
                headers.collect()
            };
        let code = answer.status.unwrap().code;
        match answer.http_response.unwrap() {
            HttpResponse::OkResponse(ok) => {
                assert_eq!(code, 0);
                Self {
                    status: 200,
                    headers: headers(ok.headers),
                    removed: ok.headers_to_remove,
                    body: String::new(),
                    metadata: metadata.collect(),
                }
            }
            HttpResponse::DeniedResponse(denied) => {
                let status = denied.status.unwrap().code;
                assert_eq!(
                    code,
                    [(401, 16), (403, 7), (503, 14)].into_iter().collect::<HashMap<_, _>>()
                        [&status]
                );
                Self {
                    status: u16::try_from(status).unwrap(),
                    headers: headers(denied.headers),
                    removed: Vec::new(),
                    body: denied.body,
                    metadata: metadata.collect(),
                }
            }
            HttpResponse::ErrorResponse(error) => panic!("{error:?}"),
        }
    }

    pub fn reason(&self) -> &str {
        &self.metadata["reason"]
    }

    /// What people are told of a denial, whose form is checked.
    pub fn message(&self) -> String {
        let envelope: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        let message = envelope["message"].as_str().unwrap().to_owned();
        let expected = serde_json::json!({
            "success": false, "statusCode": self.status, "message": message, "data": null,
        });
        assert_eq!(envelope, expected);
        assert!(self.body.starts_with(r#"{"success":false,"statusCode":"#), "{}", self.body);
        assert_eq!(self.headers["content-type"], "application/json");
        assert_eq!(self.headers.contains_key("www-authenticate"), self.status == 401);
        message
    }
}

#[tokio::test]
async fn a_question_about_no_http_request_is_a_denial() {
    let sidecar = Sidecar::start();
    let mut client = client(&sidecar).await;
    for message in [
        CheckRequest::default(),
        CheckRequest { attributes: Some(AttributeContext::default()) },
        CheckRequest {
            attributes: Some(AttributeContext {
                request: Some(attribute_context::Request::default()),
                ..AttributeContext::default()
            }),
        },
    ] {
        let told = Told::of(client.check(message).await.unwrap().into_inner());
        assert_eq!((told.status, &*told.metadata["reason"]), (503, "REQUEST_INVALID"));
        assert!(told.body.contains("attributes.request.http"), "{}", told.body);
    }
}
