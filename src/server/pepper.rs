//! Whether the peppers that were given are those that the data needs.
//!
//! INVARIANT: nothing is served as long as a key could not be proven for want of a
//! pepper: it would look unknown.

use std::path::{Path, PathBuf};

use super::ServerError;
use crate::{
    digest::{Digester, PepperId, Scheme},
    store::{Changed, Embedded, Store as _},
};

/// The pepper is not the data's.
#[derive(Debug, thiserror::Error)]
pub enum PepperMismatch {
    /// None was given.
    #[error(
        "the keys in `{}` are digested with the pepper {needed}, and none was given: pass it with --pepper-file",
        dir.display()
    )]
    Missing {
        /// The data directory.
        dir: PathBuf,
        /// The fingerprint of the pepper that it needs.
        needed: PepperId,
    },
    /// Another one was given.
    #[error(
        "the keys in `{}` are digested with the pepper {needed}, not with {given}: pass it with --pepper-file or, to \
         change over to {given}, with --previous-pepper-file",
        dir.display()
    )]
    Other {
        /// The data directory.
        dir: PathBuf,
        /// The fingerprint of the pepper that it needs.
        needed: PepperId,
        /// That of the one that was given.
        given: PepperId,
    },
    /// Some keys still need another one.
    #[error(
        "{secrets} secrets in `{}` are still digested with the pepper {needed}: pass it with --previous-pepper-file until \
         `octavia-authz status` shows no outdated digests",
        dir.display()
    )]
    StillNeeded {
        /// The data directory.
        dir: PathBuf,
        /// How many.
        secrets: u64,
        /// The fingerprint of the pepper that they need.
        needed: PepperId,
    },
}

/// Refuses peppers that do not fit the keys of `store`, which `digester` counts from
/// now on.
pub(super) fn check(store: &Embedded, digester: &Digester, dir: &Path) -> Result<(), ServerError> {
    let dir = || dir.to_owned();
    if let Some(needed) = store.pepper()?
        && !digester.knows(Scheme::Keyed(needed))
    {
        return Err(match digester.pepper() {
            None => PepperMismatch::Missing { dir: dir(), needed },
            Some(given) => PepperMismatch::Other { dir: dir(), needed, given },
        }
        .into());
    }
    for (scheme, secrets) in store.census().schemes() {
        if let Scheme::Keyed(needed) = scheme
            && !digester.knows(scheme)
        {
            return Err(PepperMismatch::StillNeeded { dir: dir(), secrets, needed }.into());
        }
    }
    digester.begin(store.census());
    if store.pepper()? != digester.pepper() {
        store.set_pepper(digester.pepper())?;
    }
    let digester = digester.clone();
    store.subscribe(Box::new(move |changed: &Changed<'_>| {
        digester.count(changed.before, changed.after);
    }));
    Ok(())
}
