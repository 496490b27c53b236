//! Calls whose messages are bytes: what no generated client would send.

use http::uri::PathAndQuery;
use octavia_authz::pb::v1::{AuthorizeResponse, BatchAuthorizeResponse};
use prost::{
    Message as _,
    bytes::{Buf as _, BufMut as _},
    encoding::{WireType, encode_key, encode_varint},
};
use tonic::{
    Request, Response, Status, Streaming,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};

pub const AUTHORIZE: &str = "/octavia.authz.v1.AuthorizationService/Authorize";
pub const BATCH: &str = "/octavia.authz.v1.AuthorizationService/BatchAuthorize";
pub const STREAM: &str = "/octavia.authz.v1.AuthorizationService/StreamAuthorize";

/// Sends and receives messages as they are.
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut message = vec![0; source.remaining()];
        source.copy_to_slice(&mut message);
        Ok(Some(message))
    }
}

/// One message to any path. `bearer` may be empty.
pub async fn unary(
    channel: &Channel,
    path: &str,
    bearer: &str,
    message: Vec<u8>,
) -> Result<Vec<u8>, Status> {
    let mut request = Request::new(message);
    if !bearer.is_empty() {
        let credential = format!("Bearer {bearer}").parse().unwrap();
        request.metadata_mut().insert("authorization", credential);
    }
    call(channel, path, request).await
}

/// A request to any path, with what it carries.
pub async fn call(
    channel: &Channel,
    path: &str,
    request: Request<Vec<u8>>,
) -> Result<Vec<u8>, Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let path: PathAndQuery = path.parse().unwrap();
    grpc.unary(request, path, Bytes).await.map(Response::into_inner)
}

/// One Authorize.
pub async fn authorize(channel: &Channel, message: Vec<u8>) -> Result<AuthorizeResponse, Status> {
    let answer = unary(channel, AUTHORIZE, "", message).await?;
    Ok(AuthorizeResponse::decode(answer.as_slice()).unwrap())
}

/// One BatchAuthorize.
pub async fn batch(channel: &Channel, message: Vec<u8>) -> Result<BatchAuthorizeResponse, Status> {
    let answer = unary(channel, BATCH, "", message).await?;
    Ok(BatchAuthorizeResponse::decode(answer.as_slice()).unwrap())
}

/// One StreamAuthorize of all the messages.
pub async fn stream(channel: &Channel, messages: Vec<Vec<u8>>) -> Streaming<Vec<u8>> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let request = Request::new(tokio_stream::iter(messages));
    let path = PathAndQuery::from_static(STREAM);
    grpc.streaming(request, path, Bytes).await.unwrap().into_inner()
}

/// A field of bytes, a string or a message, as protobuf has it.
pub fn field(number: u32, value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    let mut encoded = Vec::new();
    encode_key(number, WireType::LengthDelimited, &mut encoded);
    encode_varint(value.len() as u64, &mut encoded);
    encoded.extend_from_slice(value);
    encoded
}

/// A field of a whole number.
pub fn number(number: u32, value: u64) -> Vec<u8> {
    let mut encoded = Vec::new();
    encode_key(number, WireType::Varint, &mut encoded);
    encode_varint(value, &mut encoded);
    encoded
}
