//! Looks whether the files have changed, and takes the new set if it is whole.
//!
//! INVARIANT: there is always a set; one that is wrong changes nothing but a counter
//! and, once for each thing that is wrong, the log.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{sync::watch, time::MissedTickBehavior};

use super::{
    Files, Set, TlsError,
    expiry::{self, Warnings},
    files::{Look, Seen},
};
use crate::{clock::Clock, metrics::Reloads, telemetry::OncePerSecond};

/// How often the files are read. They are small, and a change counts, not how it is
/// made: renamed, written in place, or a symlink that Kubernetes turns elsewhere.
const PERIOD: Duration = Duration::from_millis(500);

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

impl Reloader {
    /// Reads the first set. Those after it are counted in `reloads`.
    ///
    /// # Errors
    /// [`TlsError`]
    pub fn load(files: Files, clock: Clock, reloads: Reloads) -> Result<Self, TlsError> {
        let contents = files.read()?;
        let set = Set::new(&files, &contents)?;
        say(&set, "TLS is on");
        warn_of_cas(&set, &clock);
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

    /// Takes new sets as long as it is let, and warns of certificates that expire.
    pub async fn run(self) {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut known, mut wrong) = (self.0.first, None);
        let mut warnings = Warnings::default();
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
                Look::New(contents, seen) => match Set::new(&self.0.files, &contents) {
                    Ok(set) => {
                        (known, wrong, warnings) = (seen, None, Warnings::default());
                        self.take(set);
                    }
                    Err(error) => self.refuse(error, &mut wrong),
                },
            }
            self.warn(&mut warnings);
        }
    }

    fn take(&self, set: Set) {
        let set = Arc::new(set);
        // Before it is said: from then on nobody comes in by the set before.
        self.0.sets.send_replace(Arc::clone(&set));
        self.0.reloads.done();
        say(&set, "took a new TLS certificate");
        warn_of_cas(&set, &self.0.clock);
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

    fn warn(&self, warnings: &mut Warnings) {
        let (now, set) = (self.0.clock.now(), self.0.sets.borrow().clone());
        if !warnings.due(now, set.expires()) {
            return;
        }
        let (certificate, expires) = (set.certificate(), set.expires());
        let (subject, serial) = (&certificate.subject, &certificate.serial);
        if expires <= now {
            tracing::warn!(
                subject, serial, %expires,
                "the TLS certificate has expired: clients refuse it; put a new one in its place"
            );
        } else {
            let left = expiry::left(now, expires);
            tracing::warn!(subject, serial, %expires, left, "the TLS certificate expires soon");
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

fn warn_of_cas(set: &Set, clock: &Clock) {
    for ca in set.expired_cas(clock.now()) {
        tracing::warn!(
            subject = ca.subject,
            expires = %ca.expires,
            "a TLS client CA has expired; its clients are let in all the same"
        );
    }
}
