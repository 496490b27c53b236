//! One line of an import: a key as a JSON object.
//!
//! INVARIANT: a problem names the field and shows nothing of its value, which may
//! be the text of a key put into the wrong place. Used by `import`.

use std::{collections::HashMap, fmt, marker::PhantomData};

use prost::Message as _;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

use super::{
    super::super::{output::plain, time::parse_instant},
    messages::MOST_BYTES,
};
use crate::{
    clock::Timestamp,
    expiration::Expiration,
    pb::v1::{self, imported_key::Digest},
    token::KeyId,
};

const FIELDS: &str = "name, role, service, team, grants, expire_time, expiration, status, \
    subject, description, labels, sha256, blake3, id, hint, create_time, last_used_time";

/// The key on a line; `now` is when durations start.
///
/// # Errors
/// What is wrong with the line, and with which of its fields.
pub(in super::super) fn key(line: &[u8], now: Timestamp) -> Result<v1::ImportedKey, String> {
    if line.starts_with(b"\xef\xbb\xbf") {
        return Err(
            "begins with a byte order mark (BOM); save the file as UTF-8 without one".into()
        );
    }
    if is_array(line) {
        return Err("write one object a line (JSON Lines), not a JSON array; \
                    `jq -c '.[]'` makes one of the other"
            .into());
    }
    let Pairs(fields) = serde_json::from_slice::<Pairs<Given>>(line).map_err(|error| {
        // serde's own words might show a value.
        match error.classify() {
            serde_json::error::Category::Data => "not a JSON object".to_owned(),
            _ => format!("not valid JSON, at column {}", error.column()),
        }
    })?;
    let mut builder = Builder::default();
    let mut seen: Vec<&str> = Vec::new();
    for (name, value) in &fields {
        let at = |problem: String| format!("field `{}`: {problem}", plain(name));
        if seen.contains(&name.as_str()) {
            return Err(at("is given twice".to_owned()));
        }
        seen.push(name);
        builder.take(name, value, now).map_err(at)?;
    }
    builder.finish()
}

/// Whether an array begins on the line: then it holds keys in another form.
pub(in super::super) fn is_array(line: &[u8]) -> bool {
    line.trim_ascii_start().starts_with(b"[")
}

/// The key so far, and what is not one field of it.
#[derive(Default)]
struct Builder {
    key: v1::ImportedKey,
    expires: bool,
}

impl Builder {
    fn take(&mut self, name: &str, value: &Given, now: Timestamp) -> Result<(), String> {
        let key = &mut self.key;
        if !FIELDS.split(", ").any(|field| field == name) {
            return Err(format!("there is no such field; there are {FIELDS}"));
        }
        if matches!(value, Given::Null) {
            return Ok(());
        }
        match name {
            "grants" => key.grants = value.texts()?,
            "labels" => key.labels = value.named()?,
            "name" => key.name = value.text()?,
            "role" => key.role = value.text()?,
            "service" => key.service = value.text()?,
            "team" => key.team = value.text()?,
            "subject" => key.subject = value.text()?,
            "description" => key.description = value.text()?,
            "status" => key.status = status(&value.text()?)?.into(),
            "expire_time" | "expiration" => {
                if self.expires {
                    return Err("give either `expire_time` or `expiration`".to_owned());
                }
                self.expires = true;
                let text = value.text()?;
                key.expire_time = match name {
                    "expire_time" => Some(instant(&text)?),
                    _ => expiration(&text, now)?,
                };
            }
            "create_time" => key.create_time = Some(instant(&value.text()?)?),
            "last_used_time" => key.last_used_time = Some(instant(&value.text()?)?),
            "sha256" | "blake3" => {
                if key.digest.is_some() {
                    return Err("give either `sha256` or `blake3`".to_owned());
                }
                let hex = digest(&value.text()?)?;
                key.digest = Some(match name {
                    "sha256" => Digest::Sha256(hex),
                    _ => Digest::Blake3(hex),
                });
            }
            "id" => key.id = id(value.text()?)?,
            "hint" => key.hint = hint(value.text()?)?,
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<v1::ImportedKey, String> {
        let key = self.key;
        for (name, value) in [("name", &key.name), ("role", &key.role)] {
            if value.is_empty() {
                return Err(format!("field `{name}`: is missing"));
            }
        }
        if key.digest.is_none() {
            return Err("field `sha256` or `blake3`: is missing; give the digest of the key's \
                        whole text"
                .to_owned());
        }
        // Half of a message: far more than the sidecar takes of one key.
        if key.encoded_len() > MOST_BYTES / 2 {
            return Err("the key is too large; shorten its description or labels".to_owned());
        }
        Ok(key)
    }
}

fn status(text: &str) -> Result<v1::KeyStatus, String> {
    match text.to_ascii_lowercase().as_str() {
        "active" => Ok(v1::KeyStatus::Active),
        "inactive" => Ok(v1::KeyStatus::Inactive),
        _ => Err("must be `active` or `inactive`".to_owned()),
    }
}

fn instant(text: &str) -> Result<prost_types::Timestamp, String> {
    parse_instant(text).map_err(|error| error.to_string())
}

fn expiration(text: &str, now: Timestamp) -> Result<Option<prost_types::Timestamp>, String> {
    let resolved = text.parse::<Expiration>().and_then(|expiration| expiration.resolve(now));
    let instant = resolved.map_err(|error| error.to_string())?;
    Ok(instant.map(|instant| prost_types::Timestamp {
        seconds: instant.0.div_euclid(1_000),
        nanos: i32::try_from(instant.0.rem_euclid(1_000) * 1_000_000).unwrap_or(0),
    }))
}

fn digest(text: &str) -> Result<String, String> {
    match text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("must be 64 hexadecimal digits".to_owned()),
    }
}

fn id(text: String) -> Result<String, String> {
    match text.parse::<KeyId>() {
        Ok(_) => Ok(text),
        Err(_) => Err("must be the 10 letters and digits after `octv_` in the key's text; leave \
                       it out for a text of another form"
            .to_owned()),
    }
}

fn hint(text: String) -> Result<String, String> {
    match text.chars().count() {
        0..=32 => Ok(text),
        _ => Err("must be at most 32 characters, never the whole text of a key".to_owned()),
    }
}

/// A value of any of the shapes that a field may have.
#[derive(Deserialize)]
#[serde(untagged)]
enum Given {
    Null,
    Text(String),
    Texts(Vec<String>),
    Named(Pairs<String>),
    Other(IgnoredAny),
}

impl Given {
    fn text(&self) -> Result<String, String> {
        match self {
            Given::Text(text) => Ok(text.clone()),
            _ => Err("must be text".to_owned()),
        }
    }

    fn texts(&self) -> Result<Vec<String>, String> {
        match self {
            Given::Texts(texts) => Ok(texts.clone()),
            _ => Err("must be a list of texts".to_owned()),
        }
    }

    fn named(&self) -> Result<HashMap<String, String>, String> {
        let Given::Named(Pairs(pairs)) = self else {
            return Err("must be an object of texts".to_owned());
        };
        let mut named = HashMap::new();
        for (name, value) in pairs {
            if named.insert(name.clone(), value.clone()).is_some() {
                return Err(format!("the label `{}` is given twice", plain(name)));
            }
        }
        Ok(named)
    }
}

/// The members of an object as they stand there, one that is given twice too:
/// a map would silently keep the last.
struct Pairs<V>(Vec<(String, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members(PhantomData))
    }
}

struct Members<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for Members<V> {
    type Value = Pairs<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<V>, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}
