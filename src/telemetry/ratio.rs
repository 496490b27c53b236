//! Picks samples at random.
//!
//! INVARIANT: a pick takes no lock and reads no clock; one of nothing costs a comparison. Not for
//! secrets: what is picked can be foretold.

use std::{
    cell::Cell,
    fmt,
    hash::{BuildHasher as _, RandomState},
    str::FromStr,
};

/// A share of calls, 0 to 1.
#[derive(Copy, Clone, Debug, Default, PartialEq)]
pub struct Ratio {
    share: f64,
    /// A random number below this is picked; `None` picks all.
    below: Option<u64>,
}

/// The text is not that of a ratio.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a number from 0 (none) to 1 (all), such as 0.01")]
pub struct InvalidRatio;

thread_local! {
    static STATE: Cell<u64> = const { Cell::new(0) };
}

impl Ratio {
    /// None at all.
    pub const NONE: Self = Self { share: 0.0, below: Some(0) };

    /// As a number from 0 to 1.
    pub fn share(self) -> f64 {
        self.share
    }

    /// Whether this one is picked.
    #[inline]
    pub fn pick(self) -> bool {
        match self.below {
            Some(0) => false,
            Some(below) => random() < below,
            None => true,
        }
    }
}

impl FromStr for Ratio {
    type Err = InvalidRatio;

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share is as exact as it has to be, and within 0 and 1"
    )]
    fn from_str(text: &str) -> Result<Self, InvalidRatio> {
        let share: f64 = text.parse().map_err(|_| InvalidRatio)?;
        if !(0.0..=1.0).contains(&share) {
            return Err(InvalidRatio);
        }
        // Never nothing for a share that is something.
        let below = ((share * u64::MAX as f64) as u64).max(u64::from(share > 0.0));
        Ok(Self { share, below: (share < 1.0).then_some(below) })
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.share.fmt(f)
    }
}

/// xorshift64*, of each thread its own. <https://vigna.di.unimi.it/ftp/papers/xorshift.pdf>
fn random() -> u64 {
    STATE.with(|state| {
        let mut x = state.get();
        if x == 0 {
            x = RandomState::new().hash_one(0) | 1;
        }
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        state.set(x);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(ratio: &str) -> usize {
        let ratio: Ratio = ratio.parse().unwrap();
        (0..100_000).filter(|_| ratio.pick()).count()
    }

    #[test]
    fn a_ratio_is_met_and_its_ends_are_exact() {
        assert_eq!((picked("0"), picked("1"), picked("1.0")), (0, 100_000, 100_000));
        assert!((500..1500).contains(&picked("0.01")));
        assert!((49_000..51_000).contains(&picked("0.5")));
        assert!(!Ratio::NONE.pick());
    }

    #[test]
    fn what_is_no_ratio_is_refused() {
        for text in ["", "-0.1", "1.1", "NaN", "inf", "1%", "x"] {
            assert_eq!(text.parse::<Ratio>(), Err(InvalidRatio), "{text}");
        }
    }
}
