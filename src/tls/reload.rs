//! Looks whether the files have changed, and takes the new set if it is whole.
//!
//! INVARIANT: there is always a set; one that is wrong, or does not hold while the present
//! one does, changes nothing but a counter and, once for each thing that is wrong, the log.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{sync::watch, time::MissedTickBehavior};

use super::{
    Files, Set, TlsError,
    expiry::{self, Warnings},
    files::{Contents, Look, Seen},
    set::Validity,
};
use crate::{
    clock::{Clock, Timestamp},
    metrics::Reloads,
    telemetry::OncePerSecond,
};

/// How often the files are read. They are small, and a change counts, not how it is
/// made: renamed, written in place, or a symlink that Kubernetes turns elsewhere.
const PERIOD: Duration = Duration::from_millis(500);

/// A certificate that will hold within this is no mistake: clocks differ.
const SOON: i64 = 5 * 60 * 1000;

/// The newest set, for whoever makes handshakes. Clones are the same.
#[derive(Clone)]
pub struct Reloader(Arc<Inner>);

struct Inner {
    files: Files,
    clock: Clock,
    /// What the set at the start was made of.
    first: Seen,
    sets: watch::Sender<Arc<Set>>,
    reloads: Reloads,
    failed: OncePerSecond,
    distrusted: OncePerSecond,
}

/// When it was warned of the present set.
#[derive(Default)]
struct Warned {
    certificate: Warnings,
    cas: Warnings,
}

impl Reloader {
    /// Reads the first set. Those after it are counted in `reloads`.
    ///
    /// # Errors
    /// [`TlsError`]
    pub fn load(files: Files, clock: Clock, reloads: Reloads) -> Result<Self, TlsError> {
        let contents = files.read()?;
        let set = Set::new(&files, &contents)?;
        say(&set, "TLS is on");
        Ok(Self(Arc::new(Inner {
            first: contents.seen(),
            files,
            clock,
            sets: watch::Sender::new(Arc::new(set)),
            reloads,
            failed: OncePerSecond::default(),
            distrusted: OncePerSecond::default(),
        })))
    }

    /// The newest set, and those to come.
    pub fn sets(&self) -> watch::Receiver<Arc<Set>> {
        self.0.sets.subscribe()
    }

    /// Says, not more than once a second, that a handshake failed.
    pub(crate) fn log_failed(&self, peer: SocketAddr, error: &io::Error) {
        // Whoever only looks whether a port is open is no trouble.
        if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) {
            return tracing::debug!(%peer, %error, "a TLS handshake was given up");
        }
        if let Some(unlogged) = self.0.failed.admit() {
            let reason = error.to_string();
            tracing::warn!(%peer, reason, unlogged, "a TLS handshake failed");
        }
    }

    /// Says, not more than once a second, that an open connection is no longer wanted.
    pub(crate) fn log_distrusted(&self, peer: SocketAddr) {
        if let Some(unlogged) = self.0.distrusted.admit() {
            tracing::info!(
                %peer,
                unlogged,
                "the CA of a TLS client is gone: its connection is drained"
            );
        }
    }

    /// Takes new sets as long as it is let, and warns of certificates that do not hold, or not for
    /// long.
    pub async fn run(self) {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut known, mut wrong) = (self.0.first, None);
        let mut warned = Warned::default();
        loop {
            ticks.tick().await;
            let inner = Arc::clone(&self.0);
            // Reading may block, and a look at something new does.
            let Ok(look) = tokio::task::spawn_blocking(move || inner.files.look(known)).await
            else {
                continue;
            };
            match look {
                Look::Unsettled => {}
                Look::Same => wrong = None,
                Look::Unreadable(error) => self.refuse(error, &mut wrong),
                Look::New(contents, seen) => match self.successor(&contents) {
                    Ok(Some(set)) => {
                        (known, wrong, warned) = (seen, None, Warned::default());
                        self.take(set);
                    }
                    // It is new again at the next look.
                    Ok(None) => {}
                    Err(error) => self.refuse(error, &mut wrong),
                },
            }
            self.warn(&mut warned);
        }
    }

    /// The set that `contents` make, to take the place of the present one; `None`: not yet, but
    /// soon.
    fn successor(&self, contents: &Contents) -> Result<Option<Set>, TlsError> {
        let Inner { files, clock, sets, .. } = &*self.0;
        let (set, now) = (Set::new(files, contents)?, clock.now());
        // Clients that refuse the present one are no worse off with another.
        if sets.borrow().validity(now) != Validity::Holds {
            return Ok(Some(set));
        }
        let why = match set.validity(now) {
            Validity::Holds => return Ok(Some(set)),
            Validity::NotYet if set.begins().0.saturating_sub(now.0) <= SOON => return Ok(None),
            Validity::NotYet => {
                format!("does not hold before {}, and is taken once it does", set.begins())
            }
            Validity::Expired => format!("has expired at {}", set.expires()),
        };
        Err(TlsError::Wrong { what: "certificate", path: files.cert.clone(), why })
    }

    fn take(&self, set: Set) {
        let set = Arc::new(set);
        // Before it is said: from then on nobody comes in by the set before.
        self.0.sets.send_replace(Arc::clone(&set));
        self.0.reloads.done();
        say(&set, "took a new TLS certificate");
    }

    fn refuse(&self, error: TlsError, wrong: &mut Option<TlsError>) {
        if wrong.as_ref() == Some(&error) {
            return;
        }
        self.0.reloads.failed();
        tracing::warn!(
            reason = error.to_string(),
            "the TLS files have changed and cannot be used; the last good ones stay in use"
        );
        *wrong = Some(error);
    }

    fn warn(&self, warned: &mut Warned) {
        let (now, set) = (self.0.clock.now(), self.0.sets.borrow().clone());
        if set.expired_cas(now).next().is_some() && warned.cas.due_every(expiry::DAY, now) {
            warn_of_cas(&set, now);
        }
        let (certificate, expires) = (set.certificate(), set.expires());
        let (subject, serial) = (&certificate.subject, &certificate.serial);
        match set.validity(now) {
            Validity::NotYet if warned.certificate.due_every(expiry::HOUR, now) => tracing::warn!(
                subject, serial, begins = %set.begins(),
                "the TLS certificate does not hold yet: clients refuse it; put one that does in its \
                 place"
            ),
            Validity::Holds if warned.certificate.due(now, expires) => {
                let left = expiry::left(now, expires);
                tracing::warn!(subject, serial, %expires, left, "the TLS certificate expires soon");
            }
            Validity::Expired if warned.certificate.due(now, expires) => tracing::warn!(
                subject, serial, %expires,
                "the TLS certificate has expired: clients refuse it; put a new one in its place"
            ),
            _ => {}
        }
    }
}

fn say(set: &Set, what: &'static str) {
    let certificate = set.certificate();
    tracing::info!(
        subject = certificate.subject,
        serial = certificate.serial,
        expires = %set.expires(),
        client_certificates = set.asks_clients(),
        "{what}"
    );
}

fn warn_of_cas(set: &Set, now: Timestamp) {
    for ca in set.expired_cas(now) {
        tracing::warn!(
            subject = ca.subject,
            expires = %ca.expires,
            "a TLS client CA has expired; its clients are let in all the same"
        );
    }
}

#[cfg(test)]
mod tests;
