//! The fields of a form, or of a query.

use std::borrow::Cow;

use super::address::without_secret;

/// Names and values, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// What `application/x-www-form-urlencoded` says. Anything is something.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(bytes);
        Self(pairs.map(|(name, value)| (name.into_owned(), newlines(value))).collect())
    }

    /// The first value of `name`, without white space around it; empty if there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default().trim()
    }

    /// The same, as an owned text if it is not empty.
    pub(super) fn some(&self, name: &str) -> Option<String> {
        Some(self.get(name).to_owned()).filter(|text| !text.is_empty())
    }

    /// All values of `name`.
    pub(super) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(known, _)| known == name);
        named.map(|(_, value)| value.as_str())
    }

    /// The same with the id of a key wherever its whole text stands; `None`: none does.
    pub(super) fn without_secrets(&self) -> Option<Self> {
        let clean = |value: &String| without_secret(value).unwrap_or_else(|| value.clone());
        let clean: Vec<_> =
            self.0.iter().map(|(name, value)| (name.clone(), clean(value))).collect();
        (clean != self.0).then_some(Self(clean))
    }

    /// Whether `name` is among them.
    pub(super) fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// Whether `name` is `on`.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.get(name) == "on"
    }

    /// The same fields but for `name` and those that are empty.
    pub(super) fn without(&self, name: &str) -> Self {
        let kept = self.0.iter().filter(|(known, value)| known != name && !value.is_empty());
        Self(kept.cloned().collect())
    }

    /// The same fields as a query, with `value` for `name`; without it if that is empty.
    pub(super) fn with(&self, name: &str, value: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.without(name).0);
        if !value.is_empty() {
            query.append_pair(name, value);
        }
        query.finish()
    }
}

/// A browser sends lines with CR LF.
fn newlines(text: Cow<'_, str>) -> String {
    if text.contains('\r') { text.replace("\r\n", "\n") } else { text.into_owned() }
}
