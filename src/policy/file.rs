//! The policy file: its format, and reading it.
//!
//! What is read here is what the file says, each part with its place in the text; nothing of it has
//! been checked beyond its shape. `draft` puts it on top of the built-in policy.

use std::{fmt, fs::File, io::Read as _, path::Path};

use indexmap::IndexMap;
use serde::{
    Deserialize,
    de::{self, Deserializer, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use toml::Spanned;

use super::{
    MAX_FILE_BYTES, PolicyError, Problem, WhenConditional,
    error::{Fault, Quoted},
};

/// Names and what they stand for, in the order of the file.
pub(super) type Table<T> = IndexMap<Spanned<String>, T>;

/// A whole policy file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    /// Whether the file adds to the built-in policy (the default) or stands instead of it.
    pub(super) built_in: Option<Spanned<bool>>,
    #[serde(default)]
    pub(super) services: Table<ServiceTable>,
}

/// `[services.NAME]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceTable {
    pub(super) title: Option<String>,
    /// Whether to forget what the built-in policy has for this service.
    #[serde(default)]
    pub(super) replace: bool,
    /// Meanings by resource and verb.
    #[serde(default)]
    pub(super) actions: Table<Table<String>>,
    #[serde(default)]
    pub(super) roles: Table<RoleTable>,
    /// Where its HTTP API is.
    #[serde(default)]
    pub(super) http: HttpTable,
    /// The operations of its HTTP API: `METHOD /path`.
    #[serde(default)]
    pub(super) routes: Table<RouteEntry>,
}

/// `[services.NAME.http]`
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpTable {
    /// What stands before the path of every route.
    pub(super) base_paths: Option<Vec<Spanned<String>>>,
    /// The hosts that its routes are asked at.
    pub(super) hosts: Option<Vec<Spanned<String>>>,
}

/// A route: the name of its action alone, or a table.
pub(super) struct RouteEntry(pub(super) RouteTable);

/// `[services.NAME.routes."METHOD /path"]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteTable {
    pub(super) action: String,
    #[serde(default)]
    pub(super) when_conditional: WhenConditional,
    /// What the body's fields need; `*` is any field that is not listed.
    #[serde(default)]
    pub(super) body: Table<FieldEntry>,
}

/// What a field needs: the name of an action alone, for every value, or a table.
pub(super) struct FieldEntry(pub(super) FieldTable);

/// `field = { true = "…", false = "…" }`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FieldTable {
    #[serde(rename = "true")]
    pub(super) when_true: Option<String>,
    #[serde(rename = "false")]
    pub(super) when_false: Option<String>,
}

/// `[services.NAME.roles.NAME]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleTable {
    pub(super) title: Option<String>,
    #[serde(default)]
    pub(super) intended_use: String,
    #[serde(default)]
    pub(super) summary: String,
    /// Actions and patterns that are allowed without a condition.
    #[serde(default)]
    pub(super) allow: Vec<Spanned<String>>,
    /// Actions that are allowed on a condition.
    #[serde(default)]
    pub(super) when: Table<Conditions>,
    /// Actions and patterns that keys of this role can be granted.
    #[serde(default)]
    pub(super) grantable: Vec<Spanned<String>>,
}

/// Names of conditions, any one of which is enough.
pub(super) struct Conditions(pub(super) Vec<Spanned<String>>);

/// A policy's text, and what to call it.
#[derive(Copy, Clone)]
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
}

impl Document {
    /// Whether the built-in policy stays in force beneath this file.
    pub(super) fn keeps_built_in(&self) -> bool {
        self.built_in.as_ref().is_none_or(|keeps| *keeps.get_ref())
    }
}

impl Source<'_> {
    /// Reads the text. Its syntax and shape are checked up to the first mistake.
    pub(super) fn parse(&self) -> Result<Document, Problem> {
        toml::from_str(self.text).map_err(|error| {
            let span = error.span().unwrap_or_default();
            let fault = match (error.message(), self.text.get(span.clone())) {
                // The parser does not say which.
                ("duplicate key", Some(key)) => Fault::DuplicateKey { key: Quoted::new(key) },
                _ => Fault::Toml(Box::new(error)),
            };
            self.problem(span.start, fault)
        })
    }

    /// A mistake `offset` bytes into the text.
    pub(super) fn problem(&self, offset: usize, fault: Fault) -> Problem {
        Problem::new(self.name, line(self.text.as_bytes(), offset), fault)
    }
}

/// The text of the file at `path`.
pub(super) fn read(path: &Path) -> Result<String, PolicyError> {
    let mut bytes = Vec::new();
    File::open(path)
        // One byte more than is taken, to see that there are more.
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|source| PolicyError::Read { path: path.into(), source })?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(PolicyError::TooLarge { path: path.into() });
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = line(error.as_bytes(), error.utf8_error().valid_up_to());
        Problem::new(&path.display().to_string(), line, Fault::NotUtf8).into()
    })
}

/// The line, counted from 1, of the byte at `offset`; the last line, at the end of the text.
fn line(text: &[u8], offset: usize) -> usize {
    let before = offset.min(text.len().saturating_sub(1));
    1 + text.iter().take(before).filter(|&&byte| byte == b'\n').count()
}

impl<'de> Deserialize<'de> for Conditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ConditionsVisitor)
    }
}

/// Reads a list as the derived reader would, but knows the likely mistake: without quotes around
/// the action's name, TOML makes a table of its resource.
struct ConditionsVisitor;

impl<'de> Visitor<'de> for ConditionsVisitor {
    type Value = Conditions;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of conditions after the action's quoted name, like `\"articles.read\" = [\"published\"]`,")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Conditions, A::Error> {
        let mut conditions = Vec::new();
        while let Some(condition) = list.next_element()? {
            conditions.push(condition);
        }
        Ok(Conditions(conditions))
    }
}

impl<'de> Deserialize<'de> for RouteEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RouteVisitor)
    }
}

struct RouteVisitor;

impl<'de> Visitor<'de> for RouteVisitor {
    type Value = RouteEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an action, like `\"articles.read\"`, or a table, like `{ action = \"articles.read\", when_conditional = \"forward\" }`,")
    }

    fn visit_str<E: de::Error>(self, action: &str) -> Result<RouteEntry, E> {
        let (when_conditional, body) = (WhenConditional::default(), Table::new());
        Ok(RouteEntry(RouteTable { action: action.to_owned(), when_conditional, body }))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RouteEntry, A::Error> {
        RouteTable::deserialize(MapAccessDeserializer::new(map)).map(RouteEntry)
    }
}

impl<'de> Deserialize<'de> for FieldEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = FieldEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an action, or a table, like `{ true = \"articles.publish\", false = \"articles.unpublish\" }`,")
    }

    fn visit_str<E: de::Error>(self, action: &str) -> Result<FieldEntry, E> {
        let action = || Some(action.to_owned());
        Ok(FieldEntry(FieldTable { when_true: action(), when_false: action() }))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FieldEntry, A::Error> {
        FieldTable::deserialize(MapAccessDeserializer::new(map)).map(FieldEntry)
    }
}
