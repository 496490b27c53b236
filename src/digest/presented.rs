//! What a caller presents, digested.

use super::{Digest, Scheme};
use crate::token::KeyId;

/// What a caller presents: which key it says it has, and the proof.
#[derive(Clone, Debug)]
pub struct Presented {
    /// Finds the record. `None`: the text is not one of ours; the digests find it.
    pub id: Option<KeyId>,
    /// To be compared with the record's.
    pub digests: Digests,
}

/// The digests of one text, in every scheme that some key has.
#[derive(Clone, Debug)]
pub struct Digests {
    pub(super) scheme: Scheme,
    pub(super) digest: Digest,
    /// Empty, and so without allocation, where every key is up to date.
    pub(super) others: Vec<(Scheme, Digest)>,
}

impl Digests {
    /// Whether one of them is `digest`, which was made by `scheme`. Which schemes
    /// there are is no secret; the comparison takes the same time for every
    /// digest.
    pub fn prove(&self, scheme: Scheme, digest: &Digest) -> bool {
        if self.scheme == scheme {
            return self.digest == *digest;
        }
        self.others.iter().any(|(other, made)| *other == scheme && made == digest)
    }

    /// The one in the scheme in force.
    pub fn current(&self) -> (Scheme, Digest) {
        (self.scheme, self.digest)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Digest> {
        std::iter::once(&self.digest).chain(self.others.iter().map(|(_, digest)| digest))
    }
}
