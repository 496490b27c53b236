//! Which schemes the secrets that there are have.

use super::Scheme;
use crate::record::KeyRecord;

/// How many secrets there are of each scheme, and how many that are not of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    schemes: Vec<(Scheme, u64)>,
    pub(super) foreign: u64,
}

impl Census {
    /// Counts the secrets of `key`.
    pub fn add(&mut self, key: &KeyRecord) {
        for secret in &key.secrets {
            self.add_some(secret.scheme, 1);
            self.foreign += u64::from(secret.foreign);
        }
    }

    /// Adds what was counted elsewhere.
    pub fn merge(&mut self, other: &Self) {
        for (scheme, secrets) in &other.schemes {
            self.add_some(*scheme, *secrets);
        }
        self.foreign += other.foreign;
    }

    /// The schemes that there are, each with its number of secrets.
    pub fn schemes(&self) -> impl Iterator<Item = (Scheme, u64)> + '_ {
        self.schemes.iter().copied()
    }

    fn add_some(&mut self, scheme: Scheme, secrets: u64) {
        match self.schemes.iter_mut().find(|(known, _)| *known == scheme) {
            Some((_, count)) => *count += secrets,
            None => self.schemes.push((scheme, secrets)),
        }
    }
}
