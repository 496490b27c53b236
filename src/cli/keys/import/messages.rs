//! The messages that an import is sent in, made while they are taken.
//!
//! INVARIANT: each is within the API's limits of keys and bytes, and holds at
//! least one key. Used by `import`.

use prost::{Message as _, encoding::message};

use super::{line, source::Lines};
use crate::{clock::Timestamp, pb::v1};

/// The most keys in a message; the API takes 1000.
const MOST_KEYS: usize = 500;
/// The most bytes of a message; the API takes 256 KiB.
pub(super) const MOST_BYTES: usize = 200 << 10;
/// What a message takes beside its keys: `dry_run`.
const ENVELOPE: usize = 2;

/// Keys, gathered into messages.
#[derive(Debug)]
pub(in super::super) struct Messages {
    lines: Lines,
    dry_run: bool,
    now: Timestamp,
    /// The key that the message before had no room for.
    left: Option<v1::ImportedKey>,
}

impl Messages {
    /// The messages of these lines; durations count from `now`.
    pub(in super::super) fn new(lines: Lines, dry_run: bool, now: Timestamp) -> Messages {
        Messages { lines, dry_run, now, left: None }
    }

    fn next_key(&mut self) -> Option<anyhow::Result<v1::ImportedKey>> {
        if let Some(left) = self.left.take() {
            return Some(Ok(left));
        }
        let read = self.lines.next()?;
        Some(read.and_then(|(number, text)| {
            let key = line::key(&text, self.now);
            key.map_err(|problem| {
                anyhow::anyhow!("the file has changed while it was read: line {number}: {problem}")
            })
        }))
    }
}

impl Iterator for Messages {
    type Item = anyhow::Result<v1::ImportApiKeysRequest>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut keys = Vec::new();
        let mut bytes = ENVELOPE;
        while keys.len() < MOST_KEYS {
            let key = match self.next_key() {
                None => break,
                Some(Ok(key)) => key,
                Some(Err(error)) => return Some(Err(error)),
            };
            bytes += message::encoded_len(1, &key);
            if bytes >= MOST_BYTES && !keys.is_empty() {
                self.left = Some(key);
                break;
            }
            keys.push(key);
        }
        let message = v1::ImportApiKeysRequest { keys, dry_run: self.dry_run };
        debug_assert!(message.encoded_len() < MOST_BYTES, "a line holds less than a message");
        (!message.keys.is_empty()).then_some(Ok(message))
    }
}
