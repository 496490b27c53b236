//! The fields of a JSON body, if the proxy gave all of it and nobody can read it as anything else.

use std::fmt;

use serde::{
    Deserialize,
    de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{Fault, HttpRequest, request::Ambiguous};
use crate::policy::FieldValue;

/// What Envoy says of the body that it gives, beside the headers of the client.
const PARTIAL: &str = "x-envoy-auth-partial-body";

/// The shortest body of which, without a length, nobody knows that it is whole: what Envoy buffers
/// as `deploy/envoy` has it. It says the same of one that ends there and of one that goes on.
const MAX_UNSIZED: usize = 64 << 10;

/// The most fields that are looked at one by one.
const MAX_FIELDS: usize = 256;

/// The top-level fields of the body of `request`, each once; `None` if it is not seen whole, or is
/// no JSON object.
///
/// # Errors
/// [`Fault::FieldTwice`]: readers differ in which one counts.
pub(super) fn fields(
    request: &HttpRequest<'_>,
) -> Result<Option<Vec<(String, FieldValue)>>, Fault> {
    if !is_whole(request) || !is_json(request).unwrap_or(false) {
        return Ok(None);
    }
    let mut json = serde_json::Deserializer::from_slice(&request.body);
    let Ok(Object(fields)) = Object::deserialize(&mut json) else { return Ok(None) };
    if json.end().is_err() {
        return Ok(None);
    }
    // Names that make a field of the object itself in some languages, not one in it.
    let is_odd = |name: &str| matches!(name, "__proto__" | "constructor" | "prototype");
    if fields.len() > MAX_FIELDS || fields.iter().any(|(name, _)| is_odd(name)) {
        return Ok(None);
    }
    let mut names: Vec<&str> = fields.iter().map(|(name, _)| &**name).collect();
    names.sort_unstable();
    let twice = names.windows(2).find_map(|pair| match pair {
        [one, other] if one == other => Some((*one).to_owned()),
        _ => None,
    });
    match twice {
        Some(name) => Err(Fault::FieldTwice(name)),
        None => Ok(Some(fields)),
    }
}

/// Whether the proxy says that it gives the whole body. A client can say so too, but take nothing
/// back of what the proxy says.
fn is_whole(request: &HttpRequest<'_>) -> bool {
    let mut partial = request.header(PARTIAL).peekable();
    let given = partial.peek().is_some() && partial.all(|partial| partial == b"false");
    let length = request.single("content-length").map(|length| length.map(str::parse::<usize>));
    given
        && match length {
            // A body that fills what the proxy takes may go on behind it.
            Ok(None) => request.body.len() < MAX_UNSIZED,
            Ok(Some(Ok(length))) => length == request.body.len(),
            _ => false,
        }
}

/// Whether every reader takes the body for JSON in UTF-8. As something else (a form, another
/// encoding of characters) the same bytes can hold other fields.
fn is_json(request: &HttpRequest<'_>) -> Result<bool, Ambiguous> {
    let Some(content_type) = request.single("content-type")? else { return Ok(false) };
    let mut parts = content_type.split(';').map(str::trim);
    let json = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    let utf8 = parts.all(|parameter| {
        let Some((name, value)) = parameter.split_once('=') else { return parameter.is_empty() };
        let name = name.trim_end().to_ascii_lowercase();
        // `charset*` is another way to write it.
        !name.starts_with("charset")
            || (name == "charset" && value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8"))
    });
    let encoding = request.single("content-encoding")?;
    let plain = encoding.is_none_or(|encoding| encoding.eq_ignore_ascii_case("identity"));
    Ok(json && utf8 && plain)
}

/// The fields of an object, in their order, with what matters of their values.
struct Object(Vec<(String, FieldValue)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut fields = Vec::new();
        while let Some((name, Value(value))) = map.next_entry()? {
            fields.push((name, value));
        }
        Ok(Object(fields))
    }
}

/// Any value, of which only `true` and `false` are told apart.
struct Value(FieldValue);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value(if value { FieldValue::True } else { FieldValue::False }))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value(FieldValue::Other))
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Value, E> {
        Ok(Value(FieldValue::Other))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Value, E> {
        Ok(Value(FieldValue::Other))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Value, E> {
        Ok(Value(FieldValue::Other))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Value, E> {
        Ok(Value(FieldValue::Other))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value(FieldValue::Other))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value(FieldValue::Other))
    }
}
