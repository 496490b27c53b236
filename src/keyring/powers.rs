//! What a caller may do: the operator everything, a key what the policy says of
//! it, in its own team and service.
//!
//! INVARIANT: nobody gives, or lays hands on, more than it holds. Made inside the
//! commit from the caller's record of that moment.

use crate::{
    change::{Actor, Origin, Refusal},
    clock::Timestamp,
    digest::{Digester, Presented},
    operator::OperatorToken,
    policy::{Policy, Right, Rights, Service},
    record::KeyRecord,
    resolved_key::ResolvedKey,
    store::{CommitError, Reader, find_presented},
};

/// Somebody who calls the admin API.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who it is, as far as its credential says.
    pub identity: Identity,
    /// Its address.
    pub peer: String,
    /// Its request id; empty when it gave none.
    pub request_id: String,
}

/// A credential, checked for its shape only.
#[derive(Clone, Debug)]
pub enum Identity {
    /// The operator token, which was compared already.
    Operator,
    /// An API key, to be proven against its record.
    Key(Presented),
}

/// What a caller may do at one moment.
#[derive(Debug)]
pub enum Powers {
    /// Everything, in every team.
    All,
    /// What this key may do, in its team and service.
    Of(Box<ResolvedKey>),
}

impl Identity {
    /// Who presents `credential`; `None`: it is not the operator token, and has not the shape of a
    /// key.
    pub fn of(credential: &str, operator: &OperatorToken, digester: &Digester) -> Option<Self> {
        if operator.is(credential) {
            return Some(Self::Operator);
        }
        digester.present(credential).ok().map(Self::Key)
    }
}

impl Caller {
    /// How what it does as `actor` is recorded.
    pub(super) fn origin(&self, actor: Actor) -> Origin {
        Origin { actor, peer: self.peer.clone(), request_id: self.request_id.clone() }
    }
}

impl Powers {
    /// The powers of `caller` at `now`.
    ///
    /// # Errors
    /// [`Refusal::Unauthenticated`], or the reader's error.
    pub fn of(
        caller: &Caller,
        reader: &dyn Reader,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Self, CommitError> {
        let presented = match &caller.identity {
            Identity::Operator => return Ok(Self::All),
            Identity::Key(presented) => presented,
        };
        let record =
            find_presented(presented, reader)?.map(|id| reader.get(id)).transpose()?.flatten();
        let proven = record.filter(|key| key.proven_by(&presented.digests, now).is_some());
        let refused = match &proven {
            None => "the key is unknown or was revoked",
            Some(key) if !key.active => "the key is inactive",
            Some(key) if key.is_expired(now) => "the key has expired",
            Some(_) => "",
        };
        match proven {
            Some(key) if refused.is_empty() => {
                Ok(Self::Of(Box::new(ResolvedKey::new(key, policy))))
            }
            _ => Err(Refusal::Unauthenticated(refused).into()),
        }
    }

    /// Refuses unless the caller has the right to `action`, without conditions.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`]
    pub fn require(&self, action: &'static str) -> Result<(), Refusal> {
        let Self::Of(key) = self else { return Ok(()) };
        match key.action(action).map(|action| key.rights().right(action)) {
            Some(Right::Always) => Ok(()),
            _ => Err(Refusal::Forbidden(format!(
                "this needs the right `{action}`, which role `{}` and the key's grants do not give",
                key.record().role
            ))),
        }
    }

    /// Whether the caller may know of `record`.
    pub fn sees(&self, record: &KeyRecord) -> bool {
        self.sees_in(&record.team, &record.service)
    }

    /// Whether the caller may know of the keys of `team` in `service`.
    pub fn sees_in(&self, team: &str, service: &str) -> bool {
        match self {
            Self::All => true,
            Self::Of(caller) => caller.record().team == team && caller.service_name() == service,
        }
    }

    /// Refuses if `record` holds more than the caller.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`]
    pub fn require_over(&self, record: &KeyRecord, policy: &Policy) -> Result<(), Refusal> {
        let Self::Of(caller) = self else { return Ok(()) };
        if caller.record().team != record.team {
            return Err(Refusal::Forbidden(format!(
                "a key of team `{}` has no power over keys of team `{}`",
                caller.record().team,
                record.team
            )));
        }
        if caller.service_name() != record.service {
            return Err(Refusal::Forbidden(format!(
                "a key of service `{}` has no power over keys of service `{}`",
                caller.service_name(),
                record.service
            )));
        }
        let same_subject = caller.subject() == record.subject;
        // What the policy does not know may hold anything tomorrow.
        let covers = |rights| caller.rights().covers(&rights, same_subject);
        if policy.rights(record).is_some_and(covers) {
            return Ok(());
        }
        Err(Refusal::Forbidden(format!(
            "role `{}`{} holds rights that the caller's role `{}` does not: nobody can give, change, rotate or revoke \
             more than they hold themselves",
            record.role,
            if record.grants.is_empty() { "" } else { " with its grants" },
            caller.record().role,
        )))
    }

    /// Whether a key of the caller's team may be given `rights` in `service`, as far as a subject of
    /// its own goes: what [`Powers::require_over`] will say, before there is a key.
    pub fn cover(&self, service: &Service, rights: &Rights) -> bool {
        let Self::Of(caller) = self else { return true };
        caller.service_name() == service.name() && caller.rights().covers(rights, false)
    }

    /// Refuses an expiration after the caller's own; `None` is after any.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`]
    pub fn require_within_life(&self, expires: Option<Timestamp>) -> Result<(), Refusal> {
        let Self::Of(caller) = self else { return Ok(()) };
        let Some(own) = caller.record().expires else { return Ok(()) };
        if expires.is_some_and(|expires| expires <= own) {
            return Ok(());
        }
        Err(Refusal::Forbidden(format!(
            "the caller's own key expires, and nobody can give a key a longer life than their own: set `expire_time` \
             to {own} at the latest"
        )))
    }

    /// The team that the caller is bound to; `None` for the operator.
    pub fn team(&self) -> Option<&str> {
        match self {
            Self::All => None,
            Self::Of(key) => Some(&key.record().team),
        }
    }

    /// The service that the caller is bound to; `None` for the operator.
    pub fn service(&self) -> Option<&str> {
        match self {
            Self::All => None,
            Self::Of(key) => Some(key.service_name()),
        }
    }

    /// How the caller is recorded.
    pub fn actor(&self) -> Actor {
        match self {
            Self::All => Actor::Operator,
            Self::Of(key) => Actor::Key(key.id()),
        }
    }
}
