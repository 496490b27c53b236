//! Which events, as typed. Used by `audit list` and `audit watch`.

use jiff::Timestamp;

use super::{
    super::bad_usage,
    moment::{From, Until},
};
use crate::{
    pb::v1::{AuditEventKind, AuditFilter},
    token::KeyId,
};

/// Which events.
#[derive(Debug, Default, clap::Args)]
pub struct FilterArgs {
    /// Show only events about the key ID: the 10 characters after `octv_` in its
    /// text [default: about any]
    // Checked later: clap shows what it refuses, which may be the text of a key.
    #[arg(long, value_name = "ID", hide_env_values = true)]
    pub key: Option<String>,

    /// Show only what ACTOR did or tried: `operator`, `key:ID`, `repair` or
    /// `system` [default: anybody]
    #[arg(long)]
    pub actor: Option<String>,

    /// Show only events of KIND; several with commas: `create`, `update`,
    /// `rotate`, `revoke`, `import`, `carry-over`, `redigest` [default: all]
    #[arg(
        long = "kind",
        value_name = "KIND",
        value_enum,
        value_delimiter = ',',
        hide_possible_values = true
    )]
    pub kinds: Vec<Kind>,

    /// Show only events about keys of TEAM [default: all that the caller may see]
    #[arg(long)]
    pub team: Option<String>,

    /// Show only events not before WHEN: an instant `2027-01-31T12:00:00Z`, a
    /// date `2027-01-31` (UTC), or as long ago as `30m`, `12h`, `90d` or `2w`
    /// [default: from the first on]
    #[arg(long, value_name = "WHEN")]
    pub from: Option<From>,

    /// Show only events before WHEN, written as for --from; a date stands for its
    /// end [default: up to the last]
    #[arg(long, value_name = "WHEN")]
    pub until: Option<Until>,

    /// Show only what was refused [default: also what was done]
    #[arg(long, conflicts_with = "done")]
    pub refused: bool,

    /// Show only what was done [default: also what was refused]
    #[arg(long)]
    pub done: bool,

    /// Show only events with the request id R [default: any]
    #[arg(long, value_name = "R")]
    pub request_id: Option<String>,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A key was created.
    Create,
    /// Fields of a key were changed.
    Update,
    /// A key was given a new secret.
    Rotate,
    /// A key was revoked.
    Revoke,
    /// A key was imported.
    Import,
    /// A repair carried a key over.
    CarryOver,
    /// A secret's digest was made anew.
    Redigest,
}

impl FilterArgs {
    /// The wire's filter, seen from `now`.
    ///
    /// # Errors
    /// What is given for a key is no id, or a time is too far away.
    pub(super) fn to_wire(&self, now: Timestamp) -> anyhow::Result<AuditFilter> {
        if self.key.as_ref().is_some_and(|id| id.parse::<KeyId>().is_err()) {
            return Err(bad_usage!(
                "the --key ID is not one: it must be the key's id alone, the 10 letters and \
                 digits after `octv_` in its text"
            ));
        }
        let text = |given: &Option<String>| given.clone().unwrap_or_default();
        Ok(AuditFilter {
            key_id: text(&self.key),
            actor: text(&self.actor),
            kinds: self.kinds.iter().map(|kind| kind.to_wire().into()).collect(),
            team: text(&self.team),
            from_time: self.from.map(|from| from.0.instant(now)).transpose()?,
            until_time: self.until.map(|until| until.0.instant(now)).transpose()?,
            refused: (self.refused || self.done).then_some(self.refused),
            request_id: text(&self.request_id),
        })
    }
}

impl Kind {
    fn to_wire(self) -> AuditEventKind {
        match self {
            Self::Create => AuditEventKind::Create,
            Self::Update => AuditEventKind::Update,
            Self::Rotate => AuditEventKind::Rotate,
            Self::Revoke => AuditEventKind::Revoke,
            Self::Import => AuditEventKind::Import,
            Self::CarryOver => AuditEventKind::CarryOver,
            Self::Redigest => AuditEventKind::Redigest,
        }
    }
}
