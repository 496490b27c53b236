//! Who is signed in.
//!
//! INVARIANT: a session is known by the digest of its random name, which only its cookie holds. It
//! keeps the digests of a credential, never its text, and gives no right by itself: what it may do is
//! found out anew for every page. It ends when nothing was done for a while, after a longest time,
//! and when the visitor signs out. How many there are is bounded: of one credential, and in all. Of
//! too many, one of the team that has most of them ends: no team signs another out, or the operator.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::frame::Notice;
use crate::{
    keyring::Identity,
    token::{KeyId, NoRandomness, random_base62},
};

/// How long a visitor stays signed in.
#[derive(Copy, Clone, Debug)]
pub struct SessionTimes {
    /// So long without doing anything.
    pub idle: Duration,
    /// So long in all.
    pub longest: Duration,
}

/// Of one credential; another makes the one end that did nothing for longest.
const MAX_OF_ONE: usize = 32;
/// In all; another makes one end of the team that has most.
const MAX: usize = 1024;
/// Forms that are remembered as sent.
const MAX_SENT: usize = 32;
/// Characters of a name: 256 bits.
const NAME_LEN: usize = 43;

/// The sessions.
#[derive(Debug)]
pub struct Sessions {
    times: SessionTimes,
    open: Mutex<HashMap<Digest, Session>>,
}

type Digest = [u8; 32];

#[derive(Debug)]
struct Session {
    identity: Identity,
    /// `None`: the operator's.
    team: Option<String>,
    form_token: String,
    opened: Instant,
    used: Instant,
    notice: Option<Notice>,
    sent: VecDeque<(String, Option<KeyId>)>,
}

/// A session that goes on.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    /// Whose it is.
    pub(super) identity: Identity,
    /// What forms have to carry.
    pub(super) form_token: String,
    /// How long it lasts if nothing is done any more.
    pub(super) left: Duration,
}

/// Whether a form comes for the first time.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// It does.
    First,
    /// It came before and is still being done.
    Doing,
    /// It came before and has made this key.
    Done(KeyId),
}

impl Sessions {
    /// None yet; each lasts as `times` say.
    pub fn new(times: SessionTimes) -> Self {
        Self { times, open: Mutex::default() }
    }

    /// Signs `identity` in, which is bound to `team`. Gives the session's name, for its cookie.
    pub(super) fn open(
        &self,
        identity: Identity,
        team: Option<&str>,
        now: Instant,
    ) -> Result<String, NoRandomness> {
        let (name, form_token) = (random()?, random()?);
        let mut open = self.table();
        open.retain(|_, session| session.lasts(self.times, now));
        let own = open.values().filter(|session| same(&session.identity, &identity)).count();
        if own >= MAX_OF_ONE {
            end_idlest(&mut open, |session| same(&session.identity, &identity));
        } else if open.len() >= MAX {
            // The operator's are fewer: so it is a team's as long as there are any.
            let most = team_with_most(&open);
            end_idlest(&mut open, |session| session.team == most);
        }
        let (team, notice, sent) = (team.map(str::to_owned), None, VecDeque::new());
        let session = Session { identity, team, form_token, opened: now, used: now, notice, sent };
        open.insert(digest(&name), session);
        Ok(name)
    }

    /// The session `name`, if it goes on; with `used`, something is done in it now.
    pub(super) fn find(&self, name: &str, now: Instant, used: bool) -> Option<Signed> {
        let (mut open, digest) = (self.table(), digest(name));
        let session = open.get_mut(&digest)?;
        if !session.lasts(self.times, now) {
            open.remove(&digest);
            return None;
        }
        if used {
            session.used = now;
        }
        let (identity, form_token) = (session.identity.clone(), session.form_token.clone());
        Some(Signed { identity, form_token, left: session.left(self.times, now) })
    }

    /// Ends the session `name`.
    pub(super) fn close(&self, name: &str) {
        self.table().remove(&digest(name));
    }

    /// The next page of the session shows `notice`.
    pub(super) fn notify(&self, name: &str, notice: Notice) {
        if let Some(session) = self.table().get_mut(&digest(name)) {
            session.notice = Some(notice);
        }
    }

    /// What the session's page shows, once.
    pub(super) fn take_notice(&self, name: &str) -> Option<Notice> {
        self.table().get_mut(&digest(name))?.notice.take()
    }

    /// A form that may be sent once only, `form`, is sent in the session.
    pub(super) fn send(&self, name: &str, form: &str) -> Sent {
        let mut open = self.table();
        let Some(session) = open.get_mut(&digest(name)) else { return Sent::Doing };
        if let Some((_, done)) = session.sent.iter().find(|(sent, _)| sent == form) {
            return done.map_or(Sent::Doing, Sent::Done);
        }
        if session.sent.len() >= MAX_SENT {
            session.sent.pop_front();
        }
        session.sent.push_back((form.to_owned(), None));
        Sent::First
    }

    /// The form has made `key`; or nothing, and may be sent again.
    pub(super) fn done(&self, name: &str, form: &str, key: Option<KeyId>) {
        let mut open = self.table();
        let Some(session) = open.get_mut(&digest(name)) else { return };
        match key {
            Some(_) => session.sent.iter_mut().filter(|sent| sent.0 == form).for_each(|sent| {
                sent.1 = key;
            }),
            None => session.sent.retain(|(sent, _)| sent != form),
        }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Digest, Session>> {
        // Each change is one step: whoever panicked has left nothing by half.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn lasts(&self, times: SessionTimes, now: Instant) -> bool {
        !self.left(times, now).is_zero()
    }

    fn left(&self, times: SessionTimes, now: Instant) -> Duration {
        let idle = times.idle.saturating_sub(now.saturating_duration_since(self.used));
        let longest = times.longest.saturating_sub(now.saturating_duration_since(self.opened));
        idle.min(longest)
    }
}

/// The team whose keys have the most sessions.
fn team_with_most(open: &HashMap<Digest, Session>) -> Option<String> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for team in open.values().filter_map(|session| session.team.as_deref()) {
        *counts.entry(team).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(team, _)| team.to_owned())
}

/// Ends the one of `those` that did nothing for longest.
fn end_idlest(open: &mut HashMap<Digest, Session>, those: impl Fn(&Session) -> bool) {
    let idlest = open.iter().filter(|(_, session)| those(session));
    let idlest = idlest.min_by_key(|(_, session)| session.used).map(|(digest, _)| *digest);
    if let Some(digest) = idlest {
        open.remove(&digest);
    }
}

/// Whether it is the same credential.
fn same(one: &Identity, other: &Identity) -> bool {
    match (one, other) {
        (Identity::Operator, Identity::Operator) => true,
        (Identity::Key(one), Identity::Key(other)) => {
            one.digests.current() == other.digests.current()
        }
        _ => false,
    }
}

/// A text that nobody guesses.
pub(super) fn random() -> Result<String, NoRandomness> {
    let mut name = [0; NAME_LEN];
    random_base62(&mut name)?;
    Ok(name.iter().copied().map(char::from).collect())
}

/// Whether `text` is as long as what [`random`] gives: what is not is kept nowhere.
pub(super) fn is_random(text: &str) -> bool {
    text.len() == NAME_LEN
}

fn digest(name: &str) -> Digest {
    *blake3::hash(name.as_bytes()).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: SessionTimes =
        SessionTimes { idle: Duration::from_secs(60), longest: Duration::from_secs(600) };

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_session_ends_when_nothing_is_done_and_when_its_longest_time_is_over() {
        let (sessions, start) = (Sessions::new(TIMES), Instant::now());
        let name = sessions.open(Identity::Operator, None, start).unwrap();
        for minute in 1..10 {
            let now = at(start, minute * 59);
            assert!(sessions.find(&name, now, true).is_some(), "minute {minute}");
        }
        assert!(sessions.find(&name, at(start, 599), true).is_none() || 599 - 531 < 60);
        let name = sessions.open(Identity::Operator, None, start).unwrap();
        assert!(sessions.find(&name, at(start, 59), false).is_some());
        // Looking is not doing.
        assert!(sessions.find(&name, at(start, 60), false).is_none());
        assert!(sessions.find(&name, start, false).is_none(), "it does not come back");
        let name = sessions.open(Identity::Operator, None, start).unwrap();
        for second in (0..600).step_by(30) {
            assert!(sessions.find(&name, at(start, second), true).is_some());
        }
        assert!(sessions.find(&name, at(start, 600), true).is_none());
    }

    #[test]
    fn of_too_many_sessions_of_one_credential_the_idlest_ends() {
        let (sessions, start) = (Sessions::new(TIMES), Instant::now());
        let names: Vec<_> = (0..=MAX_OF_ONE)
            .map(|_| sessions.open(Identity::Operator, None, start).unwrap())
            .collect();
        let lasting = names.iter().filter(|name| sessions.find(name, start, false).is_some());
        assert_eq!(lasting.count(), MAX_OF_ONE);
        assert!(sessions.find(names.last().unwrap(), start, false).is_some());
    }

    #[test]
    fn a_form_is_done_once_and_may_be_sent_again_when_it_failed() {
        let (sessions, start) = (Sessions::new(TIMES), Instant::now());
        let name = sessions.open(Identity::Operator, None, start).unwrap();
        assert_eq!(sessions.send(&name, "form"), Sent::First);
        assert_eq!(sessions.send(&name, "form"), Sent::Doing);
        sessions.done(&name, "form", None);
        assert_eq!(sessions.send(&name, "form"), Sent::First);
        sessions.done(&name, "form", Some(KeyId::MIN));
        assert_eq!(sessions.send(&name, "form"), Sent::Done(KeyId::MIN));
        assert_eq!(sessions.send(&name, "another"), Sent::First);
    }
}
