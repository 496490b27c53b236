//! Calls that begin and do not go on until a test says so, of no client that would.

use bytes::Bytes;
use h2::{
    SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::{HeaderMap, Request};
use tokio::{net::TcpStream, time::timeout};

use crate::sidecar::PATIENCE;

/// A connection without gRPC.
#[derive(Clone)]
pub struct Connection {
    client: SendRequest<Bytes>,
    address: String,
}

/// A call whose message has not arrived.
pub struct Held {
    answer: ResponseFuture,
    body: SendStream<Bytes>,
}

/// What was answered: the headers, the trailers among them, and the message.
pub struct Answered {
    pub http_status: u16,
    pub headers: HeaderMap,
    /// With what stands before it in gRPC.
    pub body: Vec<u8>,
}

impl Connection {
    pub async fn to(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(async move {
            let _ = connection.await;
        });
        let client = client.ready().await.unwrap();
        Self { client, address: address.to_owned() }
    }

    /// How many calls the other side lets it carry at once.
    pub fn max_streams(&self) -> usize {
        self.client.current_max_send_streams()
    }

    /// Sends the head of a gRPC call.
    pub async fn begin(&mut self, path: &str, headers: &[(&str, &str)]) -> Held {
        let grpc = [("content-type", "application/grpc"), ("te", "trailers")];
        self.begin_http(path, &[&grpc, headers].concat()).await
    }

    /// Sends the head of a POST.
    pub async fn begin_http(&mut self, path: &str, headers: &[(&str, &str)]) -> Held {
        let mut request = Request::post(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.client = timeout(PATIENCE, self.client.clone().ready()).await.unwrap().unwrap();
        let (answer, body) = self.client.send_request(request.body(()).unwrap(), false).unwrap();
        Held { answer, body }
    }
}

impl Held {
    /// Sends bytes, and not the end.
    pub fn send(&mut self, bytes: impl Into<Bytes>) {
        self.body.send_data(bytes.into(), false).unwrap();
    }

    /// Sends a gRPC message and the end, and gives the answer.
    pub async fn finish(self, message: &[u8]) -> Answered {
        let len = u32::try_from(message.len()).unwrap().to_be_bytes();
        self.finish_http([&[0], &len[..], message].concat()).await
    }

    /// Sends the rest of the body and the end, and gives the answer.
    pub async fn finish_http(mut self, rest: impl Into<Bytes>) -> Answered {
        self.body.send_data(rest.into(), true).unwrap();
        self.answered().await
    }

    /// The answer to what has not ended.
    pub async fn answered(self) -> Answered {
        let Self { answer, body: _open } = self;
        let answer = timeout(PATIENCE, answer).await.expect("no answer").unwrap();
        let (head, mut rest) = answer.into_parts();
        let (mut headers, mut body) = (head.headers, Vec::new());
        while let Some(data) = rest.data().await {
            let data = data.unwrap();
            rest.flow_control().release_capacity(data.len()).unwrap();
            body.extend_from_slice(&data);
        }
        if let Some(trailers) = rest.trailers().await.unwrap() {
            headers.extend(trailers);
        }
        Answered { http_status: head.status.as_u16(), headers, body }
    }
}

impl Answered {
    /// The code that the call ended with.
    pub fn code(&self) -> tonic::Code {
        assert_eq!(self.http_status, 200);
        tonic::Code::from_bytes(self.headers["grpc-status"].as_bytes())
    }

    /// What it ended with, in words.
    pub fn message(&self) -> String {
        let message = self.headers.get("grpc-message").map(|message| message.as_bytes());
        percent_encoding::percent_decode(message.unwrap_or_default()).decode_utf8_lossy().into()
    }

    /// The message, of a call that succeeded.
    pub fn decoded<M: prost::Message + Default>(&self) -> M {
        assert_eq!(self.code(), tonic::Code::Ok, "{}", self.message());
        M::decode(&self.body[5..]).unwrap()
    }
}
