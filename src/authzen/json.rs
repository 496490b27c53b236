//! JSON, read strictly and only where it matters: values that nobody asks for are skipped.
//!
//! INVARIANT: no fault quotes what the client sent, which holds keys: serde_json's own messages do,
//! so they are not passed on. A member that is read stands there once.

use std::{borrow::Cow, fmt};

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

/// What is wrong with a request, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    place: String,
    problem: Cow<'static, str>,
}

impl Fault {
    /// Of the value that is looked at.
    pub(super) fn new(problem: impl Into<Cow<'static, str>>) -> Self {
        Self { place: String::new(), problem: problem.into() }
    }

    /// Of its member `name`, which is not there.
    pub(super) fn missing(name: &str, what_to_do: &str) -> Self {
        Self::new(format!("is missing: {what_to_do}")).within(name)
    }

    /// The same fault, seen from the value that holds this one as `name`.
    pub(super) fn within(mut self, name: &str) -> Self {
        let dot = if self.place.is_empty() { "" } else { "." };
        self.place = format!("{name}{dot}{}", self.place);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() {
            write!(f, "the body {}", self.problem)
        } else {
            write!(f, "`{}` {}", self.place, self.problem)
        }
    }
}

/// The JSON text in `body`.
pub(super) fn document(body: &[u8]) -> Result<&RawValue, Fault> {
    if body.is_empty() {
        return Err(Fault::new("is empty: send a JSON object"));
    }
    let text = str::from_utf8(body).map_err(|error| {
        Fault::new(format!("is not UTF-8 from byte {} on: send JSON", error.valid_up_to() + 1))
    })?;
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Fault::new(format!("is not JSON: see line {line}, column {column}"))
    })
}

/// The members of the object `value` that are called `names`. One that is null is left out.
pub(super) fn members<'a, const N: usize>(
    value: &'a RawValue,
    names: [&str; N],
) -> Result<[Option<&'a RawValue>; N], Fault> {
    if !value.get().starts_with('{') {
        return Err(Fault::new("must be an object"));
    }
    let mut twice = None;
    let members = Members { names: &names, twice: &mut twice };
    match serde_json::Deserializer::from_str(value.get()).deserialize_map(members) {
        Ok(found) => Ok(found.map(|value| value.filter(|value| value.get() != "null"))),
        Err(_) => Err(match twice.and_then(|twice| names.get(twice)) {
            Some(name) => Fault::new("stands there twice: send it once").within(name),
            None => Fault::new("has a member whose name is no text"),
        }),
    }
}

/// The elements of the array `value`.
pub(super) fn elements(value: &RawValue, max: usize) -> Result<Vec<&RawValue>, Fault> {
    if !value.get().starts_with('[') {
        return Err(Fault::new("must be an array"));
    }
    let elements = Elements { max };
    // It is one: `document` has seen to that.
    let (elements, len) = serde_json::Deserializer::from_str(value.get())
        .deserialize_seq(elements)
        .map_err(|_| Fault::new("must be an array"))?;
    if len > max {
        return Err(Fault::new(format!(
            "holds {len} elements; at most {max}: send several requests"
        )));
    }
    Ok(elements)
}

/// The text that `value` is, of at most `max` bytes.
pub(super) fn text(value: &RawValue, max: usize) -> Result<Cow<'_, str>, Fault> {
    let quoted = value.get().strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let text = match quoted {
        None => return Err(Fault::new("must be a string")),
        Some(plain) if !plain.contains('\\') => Cow::Borrowed(plain),
        Some(_) => serde_json::from_str(value.get())
            .map(Cow::Owned)
            .map_err(|_| Fault::new("holds an escape that stands for no character"))?,
    };
    if text.len() > max {
        return Err(Fault::new(format!("has {} bytes; at most {max}", text.len())));
    }
    Ok(text)
}

/// Whether `value` is an object.
pub(super) fn check_object(value: &RawValue) -> Result<(), Fault> {
    members(value, []).map(|[]| ())
}

struct Members<'n, const N: usize> {
    names: &'n [&'n str; N],
    /// Which of the names stands there twice.
    twice: &'n mut Option<usize>,
}

impl<'de, const N: usize> Visitor<'de> for Members<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        while let Some(known) = map.next_key_seed(Name(self.names))? {
            let place = known.and_then(|known| Some((known, found.get_mut(known)?)));
            match place {
                None => drop(map.next_value::<IgnoredAny>()?),
                Some((_, place @ None)) => *place = Some(map.next_value()?),
                Some((known, Some(_))) => {
                    *self.twice = Some(known);
                    return Err(A::Error::custom("twice"));
                }
            }
        }
        Ok(found)
    }
}

/// Which of the names a member has.
struct Name<'n>(&'n [&'n str]);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|known| *known == name))
    }
}

struct Elements {
    max: usize,
}

impl<'de> Visitor<'de> for Elements {
    /// The first `max`, and how many there are.
    type Value = (Vec<&'de RawValue>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while elements.len() < self.max {
            match list.next_element()? {
                Some(element) => elements.push(element),
                None => break,
            }
        }
        let mut len = elements.len();
        while list.next_element::<IgnoredAny>()?.is_some() {
            len += 1;
        }
        Ok((elements, len))
    }
}
