//! An operation of a service's HTTP API, and what it needs.
//!
//! INVARIANT: an operation needs one action at least; a body that cannot be seen whole needs every
//! action that the operation can need. Source: the rules of `operations.tsv` in `tests/data`.

use std::fmt;

use super::path::fold;

/// An operation: a method, a path, and the actions that it needs.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    pub(super) service: Box<str>,
    pub(super) method: Box<str>,
    pub(super) path: Box<str>,
    pub(super) action: Box<str>,
    pub(super) when_conditional: WhenConditional,
    pub(super) body: Option<BodyRules>,
}

/// What is done with a request whose key has the right on a condition: a proxy does not know the
/// attributes of the resource.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenConditional {
    /// It is refused.
    #[default]
    Deny,
    /// It passes, with the condition in a header: the service behind keeps to it.
    Forward,
}

/// What the fields of a JSON object need.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct BodyRules {
    pub(super) fields: Vec<(Box<str>, FieldRule)>,
    /// What a field that is not listed needs. Without it the operation's own action is always
    /// needed; with it, only by a body that needs nothing else.
    pub(super) other: Option<Box<str>>,
}

/// What a field needs by its value; any other value than these two needs both.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FieldRule {
    pub(super) when_true: Option<Box<str>>,
    pub(super) when_false: Option<Box<str>>,
    /// Its name, as [`alike`] has it.
    pub(super) alike: Box<str>,
}

/// A field's value, as far as it matters.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum FieldValue {
    /// `true`
    True,
    /// `false`
    False,
    /// Anything else, `null` included.
    Other,
}

/// What is known of a request's body.
#[derive(Copy, Clone, Debug)]
pub enum Body<'a> {
    /// Nothing for certain: missing, cut, too large, or no JSON object.
    Unknown,
    /// A JSON object with these fields, each once.
    Object(&'a [(String, FieldValue)]),
}

impl Route {
    /// The service whose operation it is.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The HTTP method.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Its path after the service's base path; `{name}` stands for one segment.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The action of its own.
    pub fn action(&self) -> &str {
        &self.action
    }

    /// What is done where the right is conditional.
    pub fn when_conditional(&self) -> WhenConditional {
        self.when_conditional
    }

    /// Whether what it needs depends on the body.
    pub fn reads_body(&self) -> bool {
        self.body.is_some()
    }

    /// The actions that a request with this `body` needs, all of them, its own first. Never empty.
    pub fn needs(&self, body: Body<'_>) -> Vec<&str> {
        let Some(rules) = &self.body else { return vec![&self.action] };
        let mut needs: Vec<&str> = Vec::new();
        match body {
            Body::Unknown => {
                needs.push(&self.action);
                needs.extend(rules.all());
            }
            Body::Object(fields) => {
                let by_fields: Vec<&str> =
                    fields.iter().flat_map(|(name, value)| rules.needs(name, *value)).collect();
                if rules.other.is_none() || by_fields.is_empty() {
                    needs.push(&self.action);
                }
                needs.extend(by_fields);
            }
        }
        let mut seen = Vec::new();
        needs.retain(|action| {
            !seen.contains(action) && {
                seen.push(*action);
                true
            }
        });
        needs
    }
}

/// As a policy file has it: `GET /articles/{id}`.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

impl BodyRules {
    fn needs(&self, name: &str, value: FieldValue) -> impl Iterator<Item = &str> {
        let exact = self.fields.iter().find(|(known, _)| &**known == name).map(|(_, rule)| rule);
        let (first, second) = match (exact, value) {
            (None, _) => (&self.other, &None),
            (Some(rule), FieldValue::True) => (&rule.when_true, &None),
            (Some(rule), FieldValue::False) => (&rule.when_false, &None),
            (Some(rule), FieldValue::Other) => (&rule.when_true, &rule.when_false),
        };
        // Some readers take a name in another form for the same: then it is both.
        let folded = exact.is_none().then(|| alike(name));
        let alike = self
            .fields
            .iter()
            .filter(move |(_, rule)| folded.as_ref().is_some_and(|folded| **folded == *rule.alike));
        let alike = alike.flat_map(|(_, rule)| rule.actions());
        first.iter().chain(second).map(|action| &**action).chain(alike)
    }

    /// Every action that is named.
    fn all(&self) -> impl Iterator<Item = &str> {
        let by_fields = self.fields.iter().flat_map(|(_, rule)| rule.actions());
        by_fields.chain(self.other.as_deref())
    }
}

/// `name` as readers compare it that do not mind case, or how words are set apart.
pub(super) fn alike(name: &str) -> String {
    let mut folded = fold(name);
    folded.retain(|c| !matches!(c, '_' | '-' | ' '));
    folded
}

impl FieldRule {
    fn actions(&self) -> impl Iterator<Item = &str> {
        self.when_true.iter().chain(&self.when_false).map(|action| &**action)
    }
}
