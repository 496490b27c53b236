//! What is asked of the authorizer.

use crate::policy::{Attributes, WhenConditional};

/// One question.
#[derive(Copy, Clone, Debug, Default)]
pub struct Question<'a> {
    /// The key's text.
    pub key: &'a str,
    /// The action, `resource.verb`.
    pub action: &'a str,
    /// The service that asks; empty is [`DEFAULT_SERVICE`](crate::policy::DEFAULT_SERVICE).
    pub service: &'a str,
    /// What is acted on.
    pub attributes: Attributes<'a>,
}

impl Question<'_> {
    /// The longest name of a service or action, in bytes: whoever takes questions in refuses more.
    pub const MAX_NAME: usize = 128;
    /// The longest attribute, the same.
    pub const MAX_ATTRIBUTE: usize = 256;
    /// The most questions at once.
    pub const MAX_BATCH: usize = 1000;
}

/// What a request needs that a proxy asks about: the right to every one of some actions, on a
/// resource of which nothing is known.
#[derive(Clone, Debug)]
pub struct Demand<'a> {
    /// The service whose operation it is; empty is
    /// [`DEFAULT_SERVICE`](crate::policy::DEFAULT_SERVICE).
    pub service: &'a str,
    /// The actions. None at all is denied.
    pub actions: Vec<&'a str>,
    /// What is done where a right is conditional.
    pub when_conditional: WhenConditional,
}
