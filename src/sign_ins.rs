//! How often a source may fail to sign in, for whatever takes a credential from people and tools:
//! the admin API and the dashboard share one.
//!
//! INVARIANT: only failures count. A source that has failed too often is not listened to until it
//! may fail once more: its credentials are not looked at, good ones neither, unless the caller of
//! this makes an exception. Everybody else is served. What is kept is bounded by who failed in the
//! last minute. What failed is counted, and logged with at most one line a second, with the number of
//! those before it that got none; nobody without a credential can make the sidecar write, so it is
//! not in the audit log.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock as _};

use crate::{metrics::Count, telemetry::OncePerSecond};

/// Where a sign-in comes from.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// An address; of IPv6 the network of 64 bits that one subscriber has.
    Address(IpAddr),
    /// A user of this machine, over a Unix socket.
    User(u32),
    /// Nobody knows.
    Unknown,
}

/// Counts sign-ins that failed.
#[derive(Debug)]
pub struct SignIns {
    limiter: DefaultKeyedRateLimiter<Source>,
    /// Until when a source is not listened to.
    refused: Mutex<HashMap<Source, Instant>>,
    /// How many these are: nobody waits for the lock while there are none.
    refused_len: AtomicUsize,
    failures: AtomicU64,
    told: Count,
    log: OncePerSecond,
}

/// After so many failures those are forgotten that are long ago.
const SWEEP: u64 = 1024;

impl Source {
    /// The source at `address`.
    pub fn of(address: IpAddr) -> Self {
        const NETWORK: u128 = !0 << 64;
        Self::Address(match address {
            IpAddr::V6(address) => match address.to_ipv4_mapped() {
                Some(mapped) => mapped.into(),
                None => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
            },
            address @ IpAddr::V4(_) => address,
        })
    }
}

impl SignIns {
    /// A source may fail `per_minute` times at once, and as often in every minute. Counts in `told`.
    pub fn new(per_minute: NonZeroU32, told: Count) -> Self {
        Self {
            limiter: RateLimiter::keyed(Quota::per_minute(per_minute)),
            refused: Mutex::default(),
            refused_len: AtomicUsize::new(0),
            failures: AtomicU64::new(0),
            told,
            log: OncePerSecond::default(),
        }
    }

    /// Counts and logs that a call of `peer` was not authenticated, for a `reason` that holds nothing
    /// that was sent.
    pub fn tell(&self, api: &'static str, peer: &dyn fmt::Display, reason: &str) {
        self.told.add();
        if let Some(unlogged) = self.log.admit() {
            tracing::warn!(api, %peer, reason, unlogged, "a call was not authenticated");
        }
    }

    /// For how long `source` is not listened to, if it is not.
    pub fn refused(&self, source: Source) -> Option<Duration> {
        if self.refused_len.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let now = Instant::now();
        let until = self.table().get(&source).copied()?;
        until.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// `source` has failed to sign in.
    pub fn failed(&self, source: Source) {
        if self.failures.fetch_add(1, Ordering::Relaxed) % SWEEP == SWEEP - 1 {
            self.limiter.retain_recent();
        }
        // One of its failures is used up now; whether there is another shows when it comes.
        let Err(spent) = self.limiter.check_key(&source) else { return };
        let now = Instant::now();
        let wait = spent.wait_time_from(self.limiter.clock().now());
        let mut table = self.table();
        table.retain(|_, until| *until > now);
        table.insert(source, now + wait);
        self.refused_len.store(table.len(), Ordering::Relaxed);
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Source, Instant>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::of(text.parse().unwrap())
    }

    #[test]
    fn a_source_that_fails_too_often_is_refused_and_others_are_not() {
        let sign_ins = SignIns::new(NonZeroU32::new(5).unwrap(), Count::default());
        let guesser = source("192.0.2.1");
        for _ in 0..5 {
            assert_eq!(sign_ins.refused(guesser), None);
            sign_ins.failed(guesser);
        }
        sign_ins.failed(guesser);
        let wait = sign_ins.refused(guesser).unwrap();
        assert!(wait > Duration::from_secs(9) && wait <= Duration::from_secs(12), "{wait:?}");
        for other in [source("192.0.2.2"), source("2001:db8::1"), Source::User(7), Source::Unknown]
        {
            assert_eq!(sign_ins.refused(other), None);
        }
    }

    #[test]
    fn an_ipv6_network_is_one_source_and_a_mapped_address_is_its_own() {
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:2"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("::ffff:192.0.2.1"), source("::ffff:192.0.2.2"));
    }

    #[test]
    fn what_is_kept_of_many_sources_is_bounded_by_time_not_by_sources() {
        let sign_ins = SignIns::new(NonZeroU32::MAX, Count::default());
        for number in 0..20 * u32::try_from(SWEEP).unwrap() {
            sign_ins.failed(Source::User(number));
        }
        // At this quota a failure is made good within nanoseconds.
        assert!(sign_ins.limiter.len() <= 2 * usize::try_from(SWEEP).unwrap());
        assert_eq!(sign_ins.refused_len.load(Ordering::Relaxed), 0);
    }
}
