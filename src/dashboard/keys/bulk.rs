//! Many keys at once: what would be done to each is shown first.
//!
//! INVARIANT: what is done is what was shown: a key that has changed meanwhile is left alone. The
//! visitor's own key comes last: until then nothing is refused because of what is done to it.

use std::collections::HashSet;

use askama::Template;
use axum::{extract::State, response::Response};
use tokio::task::JoinSet;

use super::KeyView;
use crate::{
    change::Refusal,
    dashboard::{
        App, Frame, Posted, Problem, Section,
        fields::Fields,
        problem::{in_words, page},
    },
    keyring::{Caller, Keyring, KeyringError, Patch},
    record::KeyRecord,
    store::CommitError,
};

/// More do not come from a page of ours.
const MAX_KEYS: usize = 1000;

#[derive(Template)]
#[template(path = "keys/bulk.html", config = "src/dashboard/askama.toml")]
struct BulkPage {
    frame: Frame,
    action: Action,
    /// It was done; else it is shown what would be.
    done: bool,
    can: Vec<KeyView>,
    cannot: Vec<(String, String)>,
    /// The key among them that the visitor is signed in with, and will not be any more.
    own: Option<String>,
    /// How many was mistyped.
    mistyped: bool,
    /// The query of the list that they were selected in.
    back: String,
}

/// What is done to each.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Action {
    Enable,
    Disable,
    Revoke,
}

impl Action {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "enable" => Some(Self::Enable),
            "disable" => Some(Self::Disable),
            "revoke" => Some(Self::Revoke),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Revoke => "revoke",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Enable => "Enable",
            Self::Disable => "Disable",
            Self::Revoke => "Revoke",
        }
    }

    /// Whether nothing would change.
    fn is_done(self, key: &KeyRecord) -> bool {
        match self {
            Self::Enable => key.active,
            Self::Disable => !key.active,
            Self::Revoke => false,
        }
    }

    fn past(self) -> &'static str {
        match self {
            Self::Enable => "enabled",
            Self::Disable => "disabled",
            Self::Revoke => "revoked",
        }
    }

    /// Does it, or says what it would do. Gives the key before.
    async fn change(
        self,
        keyring: &Keyring,
        caller: Caller,
        id: &str,
        etag: String,
        dry_run: bool,
    ) -> Result<KeyRecord, KeyringError> {
        let active = match self {
            Self::Revoke => {
                return keyring.revoke(caller, id, etag, dry_run).await.map(|revoked| revoked.key);
            }
            Self::Enable => true,
            Self::Disable => false,
        };
        let patch = Patch { active: Some(active), ..Patch::default() };
        keyring.update(caller, id, patch, etag, dry_run).await.map(|updated| updated.before)
    }
}

/// Shows what would be done to the keys of the form, or does it.
pub(in crate::dashboard) async fn change(
    State(app): State<App>,
    Posted(visitor, fields): Posted,
) -> Response {
    let Some(action) = Action::parse(fields.get("action")) else {
        return Problem::no_form().page(&visitor);
    };
    let back = Fields::parse(fields.get("back").as_bytes()).with("page", "");
    // `id` of the list, `id:etag` of what was shown.
    let mut keys: Vec<_> =
        fields.all("key").map(|key| key.split_once(':').unwrap_or((key, ""))).collect();
    if keys.is_empty() {
        let text = "Select keys in the list first, and then what to do with them.";
        return Problem::new(
            axum::http::StatusCode::UNPROCESSABLE_ENTITY,
            "No key is selected",
            text,
        )
        .back_to(back)
        .page(&visitor);
    }
    let mut seen = HashSet::new();
    keys.retain(|(id, _)| seen.insert(*id));
    if keys.len() > MAX_KEYS {
        return Problem::no_form().page(&visitor);
    }
    let confirmed = fields.has("confirmed");
    let counted = fields.get("count") == keys.len().to_string();
    let mistyped = confirmed && action == Action::Revoke && !counted;
    let done = confirmed && !mistyped;
    if done && keys.iter().any(|(_, etag)| etag.is_empty()) {
        return Problem::no_form().page(&visitor);
    }
    let change = |(index, (id, etag)): (usize, (&str, &str))| {
        let (keyring, caller) = (app.keyring.clone(), visitor.caller.clone());
        let (id, etag) = (id.to_owned(), etag.to_owned());
        async move {
            let changed = action.change(&keyring, caller, &id, etag, !done).await;
            (index, id, changed)
        }
    };
    let is_own = |id: &str| visitor.own_key().is_some_and(|own| own.as_str() == id);
    let (own, others): (Vec<_>, Vec<_>) =
        keys.into_iter().enumerate().partition(|(_, (id, _))| is_own(id));
    // Side by side, to be made durable together.
    let mut changed = others.into_iter().map(change).collect::<JoinSet<_>>().join_all().await;
    for key in own {
        changed.push(change(key).await);
    }
    changed.sort_unstable_by_key(|(index, ..)| *index);
    let (policy, now) = (app.keyring.policy(), app.clock.now());
    let (mut can, mut cannot) = (Vec::new(), Vec::new());
    for (_, id, changed) in changed {
        match changed {
            Ok(key) if !done && action.is_done(&key) => {
                cannot.push((id, format!("{} is {} already.", key.name, action.past())));
            }
            Ok(key) => can.push(KeyView::new(&key, &app.keyring, &policy, now)),
            Err(error) => cannot.push((id, why(&error))),
        }
    }
    let own = can.iter().find(|key| !done && action != Action::Enable && is_own(&key.id));
    let own = own.map(|key| key.name.clone());
    page(&BulkPage {
        frame: visitor.frame(Section::Keys),
        action,
        done,
        can,
        cannot,
        own,
        mistyped,
        back,
    })
}

fn why(error: &KeyringError) -> String {
    match error {
        KeyringError::Commit(CommitError::Refused(Refusal::StaleEtag { .. })) => {
            "It was changed meanwhile, so it was left alone.".to_owned()
        }
        KeyringError::Commit(CommitError::Refused(Refusal::Unauthenticated(_))) => {
            "The key that you are signed in with is not accepted any more, so this one was left alone."
                .to_owned()
        }
        KeyringError::Commit(CommitError::Refused(refusal)) => in_words(refusal),
        error => Problem::unavailable(error).text,
    }
}
