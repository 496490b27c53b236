//! What stands around the content of every page.

use super::{Visitor, assets};
use crate::{change::Actor, keyring::Powers};

/// The frame of a page.
pub(super) struct Frame {
    /// Which part of the dashboard it belongs to.
    pub(super) section: Section,
    /// Who is signed in; `None` is nobody.
    pub(super) who: Option<Who>,
    /// What the page says first.
    pub(super) notice: Option<Notice>,
}

/// A part of the dashboard, in the order of its navigation.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Keys,
    Roles,
    Audit,
    Simulate,
    None,
}

/// Who is signed in, as its pages show it.
pub(super) struct Who {
    /// `Operator`, or the key's name.
    pub(super) name: String,
    /// What it is.
    pub(super) about: String,
    pub(super) form_token: String,
    /// Seconds that the session lasts if nothing is done any more.
    pub(super) left: u64,
    pub(super) reads_audit: bool,
    pub(super) creates: bool,
}

/// Something that was done, in a sentence.
pub(super) type Notice = String;

impl Frame {
    /// Of somebody who is not signed in.
    pub(super) fn of_nobody() -> Self {
        Self { section: Section::None, who: None, notice: None }
    }

    pub(super) fn of(visitor: &Visitor, section: Section, notice: Option<Notice>) -> Self {
        let (name, about) = match &visitor.powers {
            Powers::All => ("Operator".to_owned(), "every right in every team".to_owned()),
            Powers::Of(key) => {
                let record = key.record();
                let role = key.service().and_then(|service| service.role(&record.role));
                let role = role.map_or(record.role.as_str(), |role| role.title());
                (record.name.clone(), format!("{role}, team {}", record.team))
            }
        };
        let who = Who {
            name,
            about,
            form_token: visitor.form_token.clone(),
            left: visitor.left.as_secs(),
            reads_audit: visitor.may("audit.read"),
            creates: visitor.may("api_keys.create"),
        };
        Self { section, who: Some(who), notice }
    }

    pub(super) fn style(&self) -> &str {
        assets::style()
    }

    pub(super) fn script(&self) -> &str {
        assets::script()
    }

    pub(super) fn icon(&self) -> &str {
        assets::icon()
    }

    /// What every form of the page carries.
    pub(super) fn form_token(&self) -> &str {
        self.who.as_ref().map_or("", |who| who.form_token.as_str())
    }

    /// Whether the visitor may create keys.
    pub(super) fn creates(&self) -> bool {
        self.who.as_ref().is_some_and(|who| who.creates)
    }

    /// For the link of `section` in the navigation.
    pub(super) fn is_at(&self, section: &str) -> bool {
        let name = match self.section {
            Section::Keys => "keys",
            Section::Roles => "roles",
            Section::Audit => "audit",
            Section::Simulate => "simulate",
            Section::None => "",
        };
        name == section
    }
}

/// An actor in words for people.
pub(super) fn actor(actor: Actor) -> String {
    match actor {
        Actor::Operator => "Operator".to_owned(),
        Actor::Key(id) => format!("Key {id}"),
        Actor::Repair => "Repair".to_owned(),
        Actor::System => "The sidecar".to_owned(),
    }
}
