//! The one thread that changes journal and state.
//!
//! INVARIANT: for every group, in this order: rules run, one frame is appended
//! and synced, the state takes it, subscribers are told, callers are answered.
//! When it is in doubt whether a frame is durable, or the state does not take
//! it, the thread stops for good and says so.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Changed, CommitError, Committed, Rule, StateError, StoreError, Subscriber,
    group::Group,
    journal::{AppendError, Head, Index, Journal},
    state::{Applied, State},
    told,
};
use crate::{
    change::{Change, ChangeKind, Effect},
    metrics::{CommitResult, StoreMetrics},
    pb::storage::{self, change::Effect as Stored},
    record::KeyRecord,
    token::redacted,
};

/// At most so many changes share an fdatasync.
const MAX_GROUP: usize = 256;
/// A group is closed when its records are this long.
const MAX_GROUP_BYTES: usize = 4 << 20;

/// A longer refusal is recorded cut.
const MAX_MESSAGE: usize = 2 << 10;

/// With less than this free on the disk, nothing is changed any more.
const RESERVE: u64 = 32 << 20;

type Answer = Result<Vec<Committed>, CommitError>;
type Reply = oneshot::Sender<Answer>;

/// An answer that waits for its group to be durable.
struct Pending {
    reply: Reply,
    answer: Answer,
    asked: Instant,
    /// It knows of a change in the group.
    rests_on_group: bool,
}

/// What the thread is asked to do.
pub(super) enum Job {
    /// Run a rule and make its change durable.
    Commit { rule: Rule, reply: Reply, asked: Instant },
    /// Flush, and end.
    Close,
}

/// What the thread shows to the others.
pub(super) struct Published {
    revision: AtomicU64,
    position: Mutex<(Applied, Head)>,
    pub(super) subscribers: RwLock<Vec<Subscriber>>,
}

/// Why the store has stopped.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The journal may or may not have the last changes.
    #[error("it is in doubt whether the journal was written")]
    Journal(#[source] io::Error),
    /// The journal has changes that the state did not take.
    #[error("the state did not take a change that is in the journal")]
    State(#[source] StateError),
    /// A defect of this program.
    #[error("the writer ended unexpectedly")]
    Writer,
}

pub(super) struct Writer {
    pub(super) dir: PathBuf,
    pub(super) journal: Journal,
    pub(super) state: Arc<State>,
    pub(super) applied: Applied,
    pub(super) published: Arc<Published>,
    pub(super) index: Arc<Index>,
    pub(super) failure: watch::Sender<Option<Arc<Failure>>>,
    pub(super) metrics: StoreMetrics,
}

impl Published {
    pub(super) fn new(applied: Applied, head: Head) -> Self {
        Self {
            revision: AtomicU64::new(applied.sequence),
            position: Mutex::new((applied, head)),
            subscribers: RwLock::default(),
        }
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    pub(super) fn position(&self) -> (Applied, Head) {
        *self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, applied: Applied, head: Head, changed: &[Changed<'_>]) {
        for subscriber in self.subscribers.read().unwrap_or_else(PoisonError::into_inner).iter() {
            changed.iter().for_each(subscriber);
        }
        // Last: who reads this revision finds no cache that is behind it.
        *self.position.lock().unwrap_or_else(PoisonError::into_inner) = (applied, head);
        self.revision.store(applied.sequence, Ordering::Release);
    }
}

/// Says that the writer is gone, however it went.
struct Obituary(watch::Sender<Option<Arc<Failure>>>);

impl Drop for Obituary {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.send_replace(Some(Arc::new(Failure::Writer)));
        }
    }
}

impl Writer {
    /// Works until it is closed or has failed.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let _obituary = Obituary(self.failure.clone());
        let mut open = true;
        while open && let Some(first) = jobs.blocking_recv() {
            let mut waiting = Vec::new();
            let mut next = Some(first);
            while let Some(job) = next {
                match job {
                    Job::Commit { rule, reply, asked } => waiting.push((rule, reply, asked)),
                    Job::Close => open = false,
                }
                next = if open && waiting.len() < MAX_GROUP { jobs.try_recv().ok() } else { None };
            }
            let mut waiting = waiting.into_iter().peekable();
            while waiting.peek().is_some() {
                if let Err(failure) = self.commit_group(&mut waiting) {
                    tracing::error!(error = %failure, "the store has stopped");
                    self.failure.send_replace(Some(Arc::new(failure)));
                    return;
                }
            }
        }
        if let Err(error) = self.state.flush() {
            // Nothing is lost: the next start replays the journal.
            tracing::warn!(%error, "the state could not be flushed");
        }
    }

    /// Makes one group of those who wait durable, and answers them.
    fn commit_group(
        &mut self,
        waiting: &mut impl Iterator<Item = (Rule, Reply, Instant)>,
    ) -> Result<(), Failure> {
        let state = Arc::clone(&self.state);
        let mut group = Group::new(&state, self.applied);
        let mut changes = Vec::new();
        let mut answers = Vec::new();
        for (rule, reply, asked) in waiting {
            let answer = decide(rule, &mut group, &mut changes);
            // A refusal, too, may rest on a change before it.
            let rests_on_group = !changes.is_empty();
            answers.push(Pending { reply, answer, asked, rests_on_group });
            if group.len() >= MAX_GROUP_BYTES {
                break;
            }
        }
        let result = if changes.is_empty() {
            Ok(())
        } else {
            self.make_durable(group, changes, &mut answers)
        };
        for Pending { reply, answer, asked, .. } in answers {
            self.metrics.committed(result_of(&answer), asked);
            // A caller that went away does not hear of its change; it is made all the same.
            let _ = reply.send(answer);
        }
        result
    }

    /// Journal, then state, then subscribers. What cannot be done becomes the
    /// answer of those whose change it was.
    fn make_durable(
        &mut self,
        group: Group<'_>,
        changes: Vec<storage::Change>,
        answers: &mut [Pending],
    ) -> Result<(), Failure> {
        let state_digest = group.applied().digest.to_bytes().to_vec();
        let commit = storage::Commit { changes, state_digest };
        match room_on_disk(&self.dir).and_then(|()| self.journal.append(&commit)) {
            Ok(()) => {}
            Err(AppendError::NotWritten(error)) => {
                tracing::error!(%error, "the journal could not be written; the changes were refused");
                refuse(answers, || CommitError::NotWritten(copy_of(&error)));
                return Ok(());
            }
            Err(AppendError::InDoubt(error)) => {
                refuse(answers, || CommitError::InDoubt);
                return Err(Failure::Journal(error));
            }
        }
        match group.apply() {
            Ok(applied) => self.applied = applied,
            Err(error) => {
                refuse(answers, || CommitError::InDoubt);
                return Err(Failure::State(error));
            }
        }
        let committed = answers.iter().filter_map(|pending| pending.answer.as_ref().ok()).flatten();
        let changed: Vec<_> = committed.filter_map(changed).collect();
        self.published.publish(self.applied, self.journal.head(), &changed);
        // Behind it: the audit log shows nothing that is not published.
        self.index.extend(&self.journal.placed(), &commit);
        told::tell(&commit.changes);
        Ok(())
    }
}

/// What has become of a commit, for metrics. A refusal that is recorded is one, too.
fn result_of(answer: &Answer) -> CommitResult {
    let refused = |committed: &Committed| matches!(committed.effect, Effect::Refuse { .. });
    match answer {
        Ok(changes) if !changes.is_empty() && changes.iter().all(refused) => CommitResult::Refused,
        Ok(_) => CommitResult::Done,
        Err(CommitError::Refused(_)) => CommitResult::Refused,
        Err(_) => CommitResult::Failed,
    }
}

/// Takes back the answers that rest on changes which were not made.
fn refuse(answers: &mut [Pending], error: impl Fn() -> CommitError) {
    for pending in answers.iter_mut().filter(|pending| pending.rests_on_group) {
        pending.answer = Err(error());
    }
}

/// Refuses to write on a disk that is nearly full. sled needs many times the room
/// of the journal, writes later, and does not recover when there is none.
fn room_on_disk(dir: &Path) -> Result<(), AppendError> {
    let disk = rustix::fs::statvfs(dir).map_err(|error| AppendError::NotWritten(error.into()))?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) >= RESERVE {
        return Ok(());
    }
    let problem =
        format!("fewer than {} MiB are free on the disk of `{}`", RESERVE >> 20, dir.display());
    Err(AppendError::NotWritten(io::Error::new(io::ErrorKind::StorageFull, problem)))
}

/// Runs a rule and, if it gives changes, takes them into the group.
fn decide(mut rule: Rule, group: &mut Group<'_>, changes: &mut Vec<storage::Change>) -> Answer {
    let decided = rule(group)?;
    // All that can fail comes first: no rule is taken in by half.
    let read = |change: &Change| match (&change.effect, change.key_id) {
        (Effect::Refuse { .. }, _) | (_, None) => Ok(None),
        (_, Some(id)) => group.read(id).map_err(StoreError::from),
    };
    let befores = decided.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let mut committed = Vec::with_capacity(decided.len());
    for (mut change, before) in decided.into_iter().zip(befores) {
        let revision = group.applied().sequence + 1;
        match (&mut change.effect, change.key_id) {
            (Effect::Refuse { .. }, _) | (_, None) => group.pass(revision, MAX_MESSAGE),
            (Effect::Put(key), Some(id)) => {
                key.revision = revision;
                group.push(revision, id, before.as_ref(), Some(key));
            }
            (Effect::Remove, Some(id)) => group.push(revision, id, before.as_ref(), None),
        }
        let before = before.map(|stored| stored.record);
        changes.push(stored(&change, revision, before.as_ref()));
        committed.push(Committed { revision, before, effect: change.effect });
    }
    Ok(committed)
}

fn changed(committed: &Committed) -> Option<Changed<'_>> {
    let (before, after) = (committed.before.as_ref(), committed.after());
    let key_id = after.or(before)?.id;
    Some(Changed { key_id, before, after, revision: committed.revision })
}

fn copy_of(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(
        || io::Error::new(error.kind(), error.to_string()),
        io::Error::from_raw_os_error,
    )
}

fn shortened(mut text: String) -> String {
    if text.len() > MAX_MESSAGE {
        text.truncate(text.floor_char_boundary(MAX_MESSAGE));
        text.push('…');
    }
    text
}

fn without_secrets(text: String) -> String {
    redacted(&text).unwrap_or(text)
}

/// The form in which a kind goes into the journal.
pub(super) fn stored_kind(kind: ChangeKind) -> storage::ChangeKind {
    match kind {
        ChangeKind::Create => storage::ChangeKind::Create,
        ChangeKind::Update => storage::ChangeKind::Update,
        ChangeKind::Rotate => storage::ChangeKind::Rotate,
        ChangeKind::Revoke => storage::ChangeKind::Revoke,
        ChangeKind::CarryOver => storage::ChangeKind::CarryOver,
        ChangeKind::Import => storage::ChangeKind::Import,
        ChangeKind::Redigest => storage::ChangeKind::Redigest,
    }
}

/// The form in which a change goes into the journal.
pub(super) fn stored(
    change: &Change,
    sequence: u64,
    before: Option<&KeyRecord>,
) -> storage::Change {
    let kind = stored_kind(change.kind);
    let effect = match &change.effect {
        Effect::Put(key) => Stored::Put(key.to_stored()),
        Effect::Remove => Stored::Removed(storage::Removed {}),
        Effect::Refuse { refusal, unrecorded } => Stored::Refused(storage::StoredRefusal {
            code: refusal.code(),
            // It may quote what the caller gave.
            message: shortened(without_secrets(refusal.to_string())),
            unrecorded: *unrecorded,
        }),
    };
    storage::Change {
        sequence,
        time_ms: change.time.0,
        kind: kind.into(),
        actor: change.origin.actor.to_string(),
        peer: change.origin.peer.clone(),
        request_id: without_secrets(change.origin.request_id.clone()),
        key_id: change.key_id.map(|id| id.to_string()).unwrap_or_default(),
        team: change.team.clone(),
        service: change.service.clone(),
        effect: Some(effect),
        before: before.map(|before| {
            let mut before = before.to_stored();
            // Nothing is proven by what was.
            before.secrets.iter_mut().for_each(|secret| secret.digest.clear());
            before
        }),
    }
}
