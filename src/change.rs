//! A change to a key: who did what to which key, and why one is refused.
//!
//! A change is a journal record and an audit event at once. The keyring makes
//! them, the store makes them durable.

use std::{fmt, str::FromStr};

use crate::{clock::Timestamp, record::KeyRecord, token::KeyId};

/// One change, before the store gives it its sequence number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What is done, or was tried.
    pub kind: ChangeKind,
    /// When.
    pub time: Timestamp,
    /// Who does it, from where.
    pub origin: Origin,
    /// To which key; `None` for a new one that is refused.
    pub key_id: Option<KeyId>,
    /// The team of the key.
    pub team: String,
    /// Its service.
    pub service: String,
    /// What becomes of it.
    pub effect: Effect,
}

/// What a change does to its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The key is this from now on.
    Put(Box<KeyRecord>),
    /// The key is no more.
    Remove,
    /// Nothing: the change is recorded because it was refused.
    Refuse {
        /// Why.
        refusal: Refusal,
        /// How many refusals of the same actor before it were not recorded.
        unrecorded: u64,
    },
}

/// Who asks for a change, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Who.
    pub actor: Actor,
    /// The peer's address.
    pub peer: String,
    /// The caller's request id; empty when it gave none.
    pub request_id: String,
}

/// Somebody who changes keys. As text: `operator`, `key:<id>`, `repair`, `system`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// The holder of the operator token.
    Operator,
    /// The holder of an API key.
    Key(KeyId),
    /// The `repair` command.
    Repair,
    /// The sidecar by itself.
    System,
}

/// What a change does.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// Creates a key.
    Create,
    /// Changes fields of a key.
    Update,
    /// Replaces a key's secret.
    Rotate,
    /// Deletes a key for good.
    Revoke,
    /// Carries a key over into a repaired journal, unchanged.
    CarryOver,
    /// Takes over a key that was issued elsewhere.
    Import,
    /// Makes a secret's digest anew.
    Redigest,
}

/// Why a change is not made. The state is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The caller's credential is not, or no longer, accepted.
    #[error("the credential is not accepted: {0}")]
    Unauthenticated(&'static str),
    /// The caller may not do this. Says why.
    #[error("{0}")]
    Forbidden(String),
    /// No such key, as far as the caller may know.
    #[error("there is no key `{0}`")]
    NotFound(String),
    /// The key was changed since the caller read it.
    #[error(
        "the key was changed meanwhile: its etag is `{current}`, not `{given}`; read it again and repeat with its new etag"
    )]
    StaleEtag {
        /// What the caller gave.
        given: String,
        /// What it is.
        current: String,
    },
    /// Fields that are not valid, each with what is wrong.
    #[error("invalid {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<FieldViolation>),
}

/// A field that is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {problem}")]
pub struct FieldViolation {
    /// The field's name in the contract.
    pub field: &'static str,
    /// What is wrong, and what would be right.
    pub problem: String,
}

/// The text is not that of an actor.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an actor")]
pub struct UnknownActor;

impl Refusal {
    /// The gRPC status code that says this, by which it is recorded too.
    pub fn code(&self) -> i32 {
        match self {
            Self::Invalid(_) => 3,
            Self::NotFound(_) => 5,
            Self::Forbidden(_) => 7,
            Self::StaleEtag { .. } => 10,
            Self::Unauthenticated(_) => 16,
        }
    }

    /// A refusal of a single field.
    pub fn field(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldViolation { field, problem: problem.into() }])
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => f.write_str("operator"),
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Repair => f.write_str("repair"),
            Self::System => f.write_str("system"),
        }
    }
}

impl FromStr for Actor {
    type Err = UnknownActor;

    fn from_str(text: &str) -> Result<Self, UnknownActor> {
        match text {
            "operator" => Ok(Self::Operator),
            "repair" => Ok(Self::Repair),
            "system" => Ok(Self::System),
            _ => {
                let id = text.strip_prefix("key:").ok_or(UnknownActor)?;
                Ok(Self::Key(id.parse().map_err(|_| UnknownActor)?))
            }
        }
    }
}
