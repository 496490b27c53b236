//! Who reads the log.

use super::verification::Verifications;
use crate::turns::Turns;

/// Reads of one session that wait for their turn; more are refused.
const MAX_WAITING: usize = 2;

/// Reads the log for pages: one page at a time, and beside it one verification, which takes a thread
/// of its own for as long as it lasts.
#[derive(Debug)]
pub struct Reading {
    /// By session.
    pub(super) turns: Turns<String>,
    pub(super) verifications: Verifications,
}

impl Default for Reading {
    fn default() -> Self {
        Self { turns: Turns::new(MAX_WAITING), verifications: Verifications::default() }
    }
}
