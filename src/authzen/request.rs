//! What is asked: the members of a request that we read, within their limits.
//!
//! `subject` is the key, `action` the action, and of `resource` the properties `owner` and `state`
//! are what conditions are judged by; its `type` and `id` have to be there and decide nothing.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::json::{Fault, check_object, document, elements, members, text};
use crate::{authorizer::Question, decision_log::Decided, policy::Attributes};

/// The one type of subject.
const API_KEY: &str = "api_key";

/// The members of one evaluation: what stands in a request of one, among several, or at the top of
/// several for those that leave it out.
#[derive(Debug, Default)]
pub(super) struct Evaluation<'a> {
    /// A key's text.
    subject: Option<Cow<'a, str>>,
    action: Option<Cow<'a, str>>,
    resource: Option<Resource<'a>>,
    context: Option<Context<'a>>,
}

#[derive(Debug, Default)]
struct Resource<'a> {
    id: Cow<'a, str>,
    owner: Cow<'a, str>,
    state: Cow<'a, str>,
}

#[derive(Debug, Default)]
struct Context<'a> {
    service: Cow<'a, str>,
}

/// A request of one evaluation or of several.
#[derive(Debug)]
pub(super) struct Evaluations<'a> {
    /// What those get that leave it out; without any, the one evaluation.
    pub(super) top: Evaluation<'a>,
    pub(super) several: Vec<&'a RawValue>,
    pub(super) semantic: Semantic,
}

/// Which of several evaluations are made.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Semantic {
    /// All.
    #[default]
    ExecuteAll,
    /// Those up to the first that is denied.
    DenyOnFirstDeny,
    /// Those up to the first that is permitted.
    PermitOnFirstPermit,
}

impl Semantic {
    /// Whether nothing is evaluated after this decision.
    pub(super) fn ends_with(self, decision: bool) -> bool {
        match self {
            Self::ExecuteAll => false,
            Self::DenyOnFirstDeny => !decision,
            Self::PermitOnFirstPermit => decision,
        }
    }
}

impl<'a> Evaluations<'a> {
    /// What `body` asks for.
    ///
    /// # Errors
    /// [`Fault`], in what concerns all of it.
    pub(super) fn read(body: &'a [u8]) -> Result<Self, Fault> {
        let names = ["subject", "action", "resource", "context", "evaluations", "options"];
        let [subject, action, resource, context, several, options] =
            members(document(body)?, names)?;
        let several = several.map(|several| elements(several, Question::MAX_BATCH)).transpose();
        Ok(Self {
            top: Evaluation::of([subject, action, resource, context])?,
            several: several.map_err(|fault| fault.within("evaluations"))?.unwrap_or_default(),
            semantic: read(options, "options", semantic)?.unwrap_or_default(),
        })
    }
}

impl<'a> Evaluation<'a> {
    /// What `body` asks for.
    ///
    /// # Errors
    /// [`Fault`]
    pub(super) fn read(body: &'a [u8]) -> Result<Self, Fault> {
        Self::of_value(document(body)?)
    }

    /// The same of one among several.
    ///
    /// # Errors
    /// [`Fault`]
    pub(super) fn of_value(value: &'a RawValue) -> Result<Self, Fault> {
        members(value, ["subject", "action", "resource", "context"]).and_then(Self::of)
    }

    fn of([subject, action, resource, context]: [Option<&'a RawValue>; 4]) -> Result<Self, Fault> {
        Ok(Self {
            subject: read(subject, "subject", key_text)?,
            action: read(action, "action", action_name)?,
            resource: read(resource, "resource", attributes)?,
            context: read(context, "context", environment)?,
        })
    }

    /// What is said of it in the log, as far as it can be read. What is left out is as in `top`.
    pub(super) fn asked(&'a self, top: &'a Self) -> Decided<'a> {
        let text = |text: Option<&'a Cow<'a, str>>| text.map(|text| &**text).unwrap_or_default();
        let (resource, context) = (self.resource.as_ref(), self.context.as_ref());
        Decided {
            action: text(self.action.as_ref().or(top.action.as_ref())),
            resource_id: text(resource.or(top.resource.as_ref()).map(|it| &it.id)),
            service: text(context.or(top.context.as_ref()).map(|it| &it.service)),
            ..Decided::default()
        }
    }

    /// The question that is asked. What is left out is as in `top`.
    ///
    /// # Errors
    /// [`Fault`]: it stands nowhere.
    pub(super) fn question(&'a self, top: &'a Self) -> Result<Question<'a>, Fault> {
        let missing = |name, what| Fault::missing(name, what);
        let subject = self.subject.as_ref().or(top.subject.as_ref());
        let action = self.action.as_ref().or(top.action.as_ref());
        let resource = self.resource.as_ref().or(top.resource.as_ref());
        let context = self.context.as_ref().or(top.context.as_ref());
        let key = subject.ok_or_else(|| {
            missing("subject", "give `type` (`api_key`) and `id` (the API key's text)")
        })?;
        let action = action
            .ok_or_else(|| missing("action", "give its `name`, such as `articles.publish`"))?;
        let resource = resource
            .ok_or_else(|| missing("resource", "give `type` and `id` of what is acted on"))?;
        Ok(Question {
            key,
            action,
            service: context.map(|context| &*context.service).unwrap_or_default(),
            attributes: Attributes { owner: &resource.owner, state: &resource.state },
        })
    }
}

/// What `read` makes of the member `name`, if it is there.
fn read<'a, T>(
    value: Option<&'a RawValue>,
    name: &str,
    read: impl FnOnce(&'a RawValue) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    value.map(read).transpose().map_err(|fault| fault.within(name))
}

/// The text `name`, which has to be there.
fn needed<'a>(
    value: Option<&'a RawValue>,
    name: &str,
    max: usize,
    what_to_do: &str,
) -> Result<Cow<'a, str>, Fault> {
    optional(value, name, max)?.ok_or_else(|| Fault::missing(name, what_to_do))
}

fn optional<'a>(
    value: Option<&'a RawValue>,
    name: &str,
    max: usize,
) -> Result<Option<Cow<'a, str>>, Fault> {
    read(value, name, |value| text(value, max))
}

fn key_text(value: &RawValue) -> Result<Cow<'_, str>, Fault> {
    let [kind, id, properties] = members(value, ["type", "id", "properties"])?;
    read(properties, "properties", check_object)?;
    let kind = needed(kind, "type", usize::MAX, "give `api_key`")?;
    if kind != API_KEY {
        let problem = "must be `api_key`: subjects are API keys, and their `id` is the key's text";
        return Err(Fault::new(problem).within("type"));
    }
    needed(id, "id", usize::MAX, "give the API key's text")
}

fn action_name(value: &RawValue) -> Result<Cow<'_, str>, Fault> {
    let [name, properties] = members(value, ["name", "properties"])?;
    read(properties, "properties", check_object)?;
    let what_to_do = "name the action as `resource.verb`";
    let name = needed(name, "name", Question::MAX_NAME, what_to_do)?;
    if name.is_empty() {
        return Err(Fault::new(format!("must not be empty: {what_to_do}")).within("name"));
    }
    Ok(name)
}

fn attributes(value: &RawValue) -> Result<Resource<'_>, Fault> {
    let [kind, id, properties] = members(value, ["type", "id", "properties"])?;
    let max = Question::MAX_ATTRIBUTE;
    needed(kind, "type", max, "say what kind of thing it is; it decides nothing")?;
    let id = needed(id, "id", max, "say which one it is; it decides nothing")?;
    let properties = read(properties, "properties", |properties| {
        let [owner, state] = members(properties, ["owner", "state"])?;
        let text = |value, name| optional(value, name, max).map(Option::unwrap_or_default);
        Ok((text(owner, "owner")?, text(state, "state")?))
    });
    let (owner, state) = properties?.unwrap_or_default();
    Ok(Resource { id, owner, state })
}

fn environment(value: &RawValue) -> Result<Context<'_>, Fault> {
    let [service] = members(value, ["service"])?;
    let service = optional(service, "service", Question::MAX_NAME)?;
    Ok(Context { service: service.unwrap_or_default() })
}

fn semantic(options: &RawValue) -> Result<Semantic, Fault> {
    const NAME: &str = "evaluations_semantic";
    let [name] = members(options, [NAME])?;
    match optional(name, NAME, usize::MAX)?.as_deref() {
        None | Some("execute_all") => Ok(Semantic::ExecuteAll),
        Some("deny_on_first_deny") => Ok(Semantic::DenyOnFirstDeny),
        Some("permit_on_first_permit") => Ok(Semantic::PermitOnFirstPermit),
        Some(_) => {
            let known = "must be `execute_all`, `deny_on_first_deny` or `permit_on_first_permit`";
            Err(Fault::new(known).within(NAME))
        }
    }
}
