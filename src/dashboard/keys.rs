//! The pages about keys.

pub(super) mod bulk;
mod chart;
pub(super) mod edit;
pub(super) mod expires;
pub(super) mod key;
pub(super) mod list;
pub(super) mod new;
pub(super) mod revoke;
pub(super) mod rotate;
pub(super) mod secret;

use std::convert::Infallible;

use askama::{Template, filters::HtmlSafe};
use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};

use super::{App, roles, time::Moment};
use crate::{
    clock::Timestamp, keyring::Keyring, policy::Policy, record::KeyRecord, usage::KeyUsage,
};

/// A key, as lists and its own page show it.
pub(super) struct KeyView {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) team: String,
    pub(super) service: String,
    pub(super) role: String,
    /// How many actions it was granted beside its role's.
    pub(super) grants: usize,
    pub(super) status: Status,
    pub(super) created: Moment,
    /// `None`: lifetime.
    pub(super) expires: Option<Moment>,
    /// It expires within a month, and has not yet.
    pub(super) expires_soon: bool,
    pub(super) last_used: LastUsed,
    pub(super) etag: String,
}

/// What a key's users would say it is. In a page it is an element of its own.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Template)]
#[template(
    ext = "html",
    source = r#"<span class="badge {{ self.class() }}">{{ self.word() }}</span>"#
)]
pub(super) enum Status {
    Active,
    Inactive,
    Expired,
}

/// When a key was last used. In a page it is words with an element for the instant.
#[derive(Template)]
#[template(
    ext = "html",
    source = "{% match self %}{% when Self::At(at) %}{{ at }}\
              {% when Self::Never(None) %}never\
              {% when Self::Never(Some(since)) %}not since {{ since }}\
              {% when Self::Unknown %}unknown now{% endmatch %}"
)]
pub(super) enum LastUsed {
    At(Moment),
    /// Never, as far as is known: since it was created, or since this.
    Never(Option<Moment>),
    /// It cannot be read now.
    Unknown,
}

/// The id in a page's path. What is no text is no key's.
pub(super) struct KeyId(pub(super) String);

impl FromRequestParts<App> for KeyId {
    type Rejection = Infallible;

    async fn from_request_parts(head: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let id = Path::from_request_parts(head, app).await;
        Ok(Self(id.map_or_else(|_| "?".to_owned(), |Path(id)| id)))
    }
}

impl HtmlSafe for Status {}
impl HtmlSafe for LastUsed {}

impl Status {
    pub(super) fn of(key: &KeyRecord, now: Timestamp) -> Self {
        match key {
            _ if key.is_expired(now) => Self::Expired,
            key if !key.active => Self::Inactive,
            _ => Self::Active,
        }
    }

    /// By which the style knows it.
    fn class(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Expired => "expired",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Inactive => "Inactive",
            Self::Expired => "Expired",
        }
    }
}

impl LastUsed {
    /// The instant, if it is one.
    pub(super) fn exact(&self) -> Option<&str> {
        match self {
            Self::At(at) => Some(&at.exact),
            Self::Never(_) | Self::Unknown => None,
        }
    }

    pub(super) fn of(
        usage: Option<&(KeyUsage, Timestamp)>,
        key: &KeyRecord,
        now: Timestamp,
    ) -> Self {
        match usage {
            None => Self::Unknown,
            Some((KeyUsage { last_used: Some(at), .. }, _)) => Self::At(Moment::new(*at, now)),
            Some((_, since)) if *since > key.created => Self::Never(Some(Moment::new(*since, now))),
            Some(_) => Self::Never(None),
        }
    }
}

impl KeyView {
    pub(super) fn new(key: &KeyRecord, keyring: &Keyring, policy: &Policy, now: Timestamp) -> Self {
        let (service, role) = roles::titles(policy, &key.service, &key.role);
        let soon = i64::try_from(crate::keyring::EXPIRING_WITHIN.as_millis()).unwrap_or(i64::MAX);
        let is_soon = |at: Timestamp| at > now && at.0.saturating_sub(now.0) <= soon;
        Self {
            id: key.id.to_string(),
            name: key.name.clone(),
            team: key.team.clone(),
            service,
            role,
            grants: key.grants.len(),
            status: Status::of(key, now),
            created: Moment::new(key.created, now),
            expires: key.expires.map(|at| Moment::end(at, now)),
            expires_soon: key.expires.is_some_and(is_soon),
            last_used: LastUsed::of(keyring.usage(key).as_ref(), key, now),
            etag: key.etag(),
        }
    }
}
