//! What can be wrong with a policy file, each mistake with its line and what to do about it.
//!
//! All of it is found at start, before any port is bound. A message is one line: what a file says
//! is quoted with its control characters escaped.

use std::{fmt, io, path::PathBuf};

use super::{ActionSet, MAX_FILE_BYTES};

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The file cannot be read.
    #[error("cannot read policy file `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is longer than [`MAX_FILE_BYTES`].
    #[error("policy file `{}` is larger than {MAX_FILE_BYTES} bytes, the most that is read", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// What the file says is wrong: every mistake found, in the order of their lines.
    #[error("{}", Lines(.0))]
    Invalid(Vec<Problem>),
}

impl From<Problem> for PolicyError {
    fn from(problem: Problem) -> Self {
        Self::Invalid(vec![problem])
    }
}

/// One mistake in a policy file; shown as `file:line: what is wrong`.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}: {fault}")]
pub struct Problem {
    file: Box<str>,
    line: usize,
    fault: Fault,
}

impl Problem {
    pub(super) fn new(file: &str, line: usize, fault: Fault) -> Self {
        Self { file: file.into(), line, fault }
    }

    /// The file, as it was named on the command line.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line, counted from 1.
    pub fn line(&self) -> usize {
        self.line
    }
}

/// What a mistake is.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("the text is not UTF-8")]
    NotUtf8,
    #[error("{}", toml_message(.0))]
    Toml(Box<toml::de::Error>),
    #[error("duplicate key {key}: the file has it further up already")]
    DuplicateKey { key: Quoted },
    #[error("`built_in = false` leaves no service: define one under `[services]`")]
    NoServices,
    #[error(
        "service {service} has no actions: define some under `[services.NAME.actions.RESOURCE]`"
    )]
    NoActions { service: Quoted },
    #[error("service {service} has no roles: define one under `[services.NAME.roles.ROLE]`")]
    NoRoles { service: Quoted },
    #[error(
        "service {service} has {count} actions, and this is the first of more than {}, the most that a service can have",
        ActionSet::CAPACITY
    )]
    TooManyActions { service: Quoted, count: usize },
    #[error("invalid {noun} name {name}: a lowercase letter comes first, then up to 62 lowercase letters, digits{} or `_`", .noun.hyphen())]
    Name { noun: Noun, name: Quoted },
    #[error("unknown action {action} in {list}{suggestion}")]
    UnknownAction { action: Quoted, list: List, suggestion: Suggestion },
    #[error("pattern {pattern} in {list} matches no action{suggestion}")]
    NothingMatches { pattern: Quoted, list: List, suggestion: Suggestion },
    #[error(
        "invalid pattern {pattern} in {list}: `*` stands alone or for all of a resource, as in `articles.*`"
    )]
    Pattern { pattern: Quoted, list: List },
    #[error(
        "pattern {pattern} in {list}: a condition is set for one action at a time, by its name"
    )]
    PatternInWhen { pattern: Quoted, list: List },
    #[error("{entry} is twice in {list}")]
    Twice { entry: Quoted, list: List },
    #[error("action {action} in {list} is in `allow` too{through}: keep one of the two")]
    AllowedAnyway { action: Quoted, list: List, through: Through },
    #[error("action {action} in {list} is already allowed{through}: there is nothing to grant")]
    AlreadyAllowed { action: Quoted, list: List, through: Through },
    #[error("action {action} in {list} has no condition: name one, or move the action to `allow`")]
    NoCondition { action: Quoted, list: List },
    #[error(
        "unknown condition {condition} for action {action} in {list}: the conditions are `published`, `own` and `own_draft`"
    )]
    UnknownCondition { condition: Quoted, action: Quoted, list: List },
    #[error("condition {condition} is twice for action {action} in {list}")]
    ConditionTwice { condition: Quoted, action: Quoted, list: List },
    #[error("invalid base path {path}: it begins with `/`, as in `/cms` or `/v1/{{tenant}}`")]
    BasePath { path: Quoted },
    #[error(
        "invalid host {host}: write a name in lowercase letters without a port, as in `api.example.com`, or `*.example.com` for every host below one"
    )]
    Host { host: Quoted },
    #[error(
        "invalid route {route}: write a method in uppercase letters, a space and a path, as in `GET /articles/{{id}}`"
    )]
    RouteName { route: Quoted },
    #[error(
        "invalid segment {segment} in route {route}: write a placeholder, as in `{{id}}`, or letters, digits and any of `-._~!$&'()*+,=:@`"
    )]
    RouteSegment { segment: Quoted, route: Quoted },
    #[error("a route has at most {max} segments")]
    TooManySegments { max: usize },
    #[error("placeholder {placeholder} is twice in route {route}")]
    PlaceholderTwice { placeholder: Quoted, route: Quoted },
    #[error("unknown action {action} in route {route}{suggestion}")]
    RouteAction { action: Quoted, route: Quoted, suggestion: Suggestion },
    #[error("`*` in `body` of route {route} takes the name of one action")]
    AnyField { route: Quoted },
    #[error(
        "route {route} is route {other} of service {service} already: the same paths match both; drop one, or give the services different `hosts` or `base_paths`"
    )]
    RouteTaken { route: Quoted, other: Quoted, service: Quoted },
}

/// What a name is the name of.
#[derive(Copy, Clone, Debug)]
pub(super) enum Noun {
    Service,
    Role,
    Resource,
    Verb,
}

impl Noun {
    /// Whether such a name may have a hyphen: what stands in an action's name may not.
    pub(super) fn takes_hyphen(self) -> bool {
        matches!(self, Self::Service | Self::Role)
    }

    fn hyphen(self) -> &'static str {
        if self.takes_hyphen() { ", `-`" } else { "" }
    }
}

impl fmt::Display for Noun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Service => "service",
            Self::Role => "role",
            Self::Resource => "resource",
            Self::Verb => "verb",
        })
    }
}

/// Text from the file: in backticks, on one line.
#[derive(Clone, Debug)]
pub(super) struct Quoted(Box<str>);

impl Quoted {
    pub(super) fn new(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0.escape_debug())
    }
}

/// A list of a role: `allow` of role `writer`.
#[derive(Clone, Debug)]
pub(super) struct List {
    pub(super) field: &'static str,
    pub(super) role: Quoted,
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` of role {}", self.field, self.role)
    }
}

/// What may have been meant.
#[derive(Debug)]
pub(super) struct Suggestion(pub(super) Option<Quoted>);

impl fmt::Display for Suggestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(known) => write!(f, ": did you mean {known}?"),
            None => Ok(()),
        }
    }
}

/// The pattern that covers an action, where it is not the action's own name.
#[derive(Debug)]
pub(super) struct Through(pub(super) Option<Quoted>);

impl fmt::Display for Through {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(pattern) => write!(f, ", through {pattern}"),
            None => Ok(()),
        }
    }
}

struct Lines<'a>(&'a [Problem]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

/// The parser's message and, for a value of the wrong type, the path of its key, on one line.
fn toml_message(error: &toml::de::Error) -> String {
    let mut error = error.clone();
    error.set_input(None); // or it would quote the lines of the file
    error.to_string().trim_end().replace('\n', " ")
}
