//! The messages of `envoy.service.auth.v3`, as far as they are read or set here.
//!
//! Every request carries one of these, and all of Envoy's types cost it twice as much as what is
//! looked at: what is not here is skipped, and texts stay in the buffer that they came in, so
//! `string` fields are `bytes`, which are the same on the wire. Tests and benches speak to this with
//! Envoy's own types.

use std::collections::HashMap;

use bytes::Bytes;
use prost::{DecodeError, decode_length_delimiter};

/// `CheckRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub struct CheckRequest {
    #[prost(message, optional, tag = "1")]
    pub attributes: Option<AttributeContext>,
}

/// `AttributeContext`
#[derive(Clone, PartialEq, prost::Message)]
pub struct AttributeContext {
    #[prost(message, optional, tag = "4")]
    pub request: Option<Request>,
    #[prost(map = "string, string", tag = "10")]
    pub context_extensions: HashMap<String, String>,
}

/// `AttributeContext.Request`
#[derive(Clone, PartialEq, prost::Message)]
pub struct Request {
    #[prost(message, optional, tag = "2")]
    pub http: Option<HttpRequest>,
}

/// `AttributeContext.HttpRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub struct HttpRequest {
    #[prost(bytes = "bytes", tag = "2")]
    pub method: Bytes,
    /// The entries of a map: those that came twice are joined.
    #[prost(message, repeated, tag = "3")]
    pub headers: Vec<HeaderValue>,
    #[prost(bytes = "bytes", tag = "4")]
    pub path: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    pub host: Bytes,
    #[prost(bytes = "bytes", tag = "11")]
    pub body: Bytes,
    #[prost(bytes = "bytes", tag = "12")]
    pub raw_body: Bytes,
    /// With `encode_raw_headers`, in place of `headers`: a `config.core.v3.HeaderMap`, see
    /// [`raw_headers`].
    #[prost(bytes = "bytes", tag = "13")]
    pub header_map: Bytes,
}

/// `config.core.v3.HeaderValue`, and an entry of a map of texts.
#[derive(Clone, PartialEq, prost::Message)]
pub struct HeaderValue {
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub raw_value: Bytes,
}

/// `CheckResponse`, whose `http_response` is `denied` or `ok`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CheckResponse {
    #[prost(message, optional, tag = "1")]
    pub status: Option<RpcStatus>,
    #[prost(message, optional, tag = "2")]
    pub denied: Option<DeniedHttpResponse>,
    #[prost(message, optional, tag = "3")]
    pub ok: Option<OkHttpResponse>,
    #[prost(message, optional, tag = "4")]
    pub dynamic_metadata: Option<Struct>,
}

/// `google.rpc.Status`
#[derive(Clone, PartialEq, prost::Message)]
pub struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
}

/// `DeniedHttpResponse`
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeniedHttpResponse {
    #[prost(message, optional, tag = "1")]
    pub status: Option<HttpStatus>,
    #[prost(message, repeated, tag = "2")]
    pub headers: Vec<HeaderValueOption>,
    #[prost(string, tag = "3")]
    pub body: String,
}

/// `type.v3.HttpStatus`
#[derive(Clone, PartialEq, prost::Message)]
pub struct HttpStatus {
    #[prost(int32, tag = "1")]
    pub code: i32,
}

/// `OkHttpResponse`
#[derive(Clone, PartialEq, prost::Message)]
pub struct OkHttpResponse {
    #[prost(message, repeated, tag = "2")]
    pub headers: Vec<HeaderValueOption>,
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub headers_to_remove: Vec<Bytes>,
}

/// `config.core.v3.HeaderValueOption`
#[derive(Clone, PartialEq, prost::Message)]
pub struct HeaderValueOption {
    #[prost(message, optional, tag = "1")]
    pub header: Option<HeaderValue>,
    #[prost(int32, tag = "3")]
    pub append_action: i32,
}

/// `HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD`
pub(super) const OVERWRITE_IF_EXISTS_OR_ADD: i32 = 2;

/// `google.protobuf.Struct`, whose fields are the entries of a map.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Struct {
    #[prost(message, repeated, tag = "1")]
    pub fields: Vec<Field>,
}

/// An entry of a `Struct`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Field {
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    #[prost(message, optional, tag = "2")]
    pub value: Option<Value>,
}

/// `google.protobuf.Value` that is a text.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Value {
    #[prost(bytes = "bytes", tag = "3")]
    pub string_value: Bytes,
}

/// Name and value.
type RawHeader<'a> = (&'a [u8], &'a [u8]);

/// Name and value of each header of an encoded `HeaderMap`, where they stand. A `Check` carries a
/// dozen: made into messages they cost more than all else that is read.
///
/// # Errors
/// The map is not valid protobuf.
pub(super) fn raw_headers(map: &[u8]) -> Result<Vec<RawHeader<'_>>, DecodeError> {
    let mut headers = Vec::with_capacity(16);
    for_each_field(map, |tag, header| {
        if tag == 1 {
            let (mut key, mut value, mut raw_value): (&[u8], &[u8], &[u8]) = Default::default();
            for_each_field(header, |tag, text| {
                match tag {
                    1 => key = text,
                    2 => value = text,
                    3 => raw_value = text,
                    _ => {}
                }
                Ok(())
            })?;
            headers.push((key, if raw_value.is_empty() { value } else { raw_value }));
        }
        Ok(())
    })?;
    Ok(headers)
}

/// Shows the tag and content of every field of `message` that has a length; numbers are skipped.
fn for_each_field<'a>(
    mut message: &'a [u8],
    mut show: impl FnMut(usize, &'a [u8]) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    while !message.is_empty() {
        // Keys are numbers as lengths are.
        let key = decode_length_delimiter(&mut message)?;
        let length = match key & 7 {
            0 => {
                decode_length_delimiter(&mut message)?;
                continue;
            }
            1 => 8,
            2 => decode_length_delimiter(&mut message)?,
            // 5 is four bytes. Groups are not part of this protocol: they end it.
            5 => 4,
            _ => message.len().saturating_add(1),
        };
        let Some((content, rest)) = message.split_at_checked(length) else {
            // The error of a length that the message does not have.
            return decode_length_delimiter(&[][..]).map(drop);
        };
        message = rest;
        if key & 7 == 2 {
            show(key >> 3, content)?;
        }
    }
    Ok(())
}
