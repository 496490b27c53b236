//! A key's text: `octv_` + id + `_` + secret + checksum, 54 bytes in all.
//!
//! The id is public and finds the record; the digest of the whole text proves
//! the key (`digest`). The checksum only filters typos and feeds secret scanners:
//! it is never authentication. Plain text has no `Display`, a blank `Debug`, and
//! is wiped when dropped.

use std::{fmt, str::FromStr};

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Length of a key's text in bytes: within one BLAKE3 block.
pub const TEXT_LEN: usize = 54;
const PREFIX: &[u8; 5] = b"octv_";
const ID_LEN: usize = 10;
const SECRET_LEN: usize = 32;
const CHECKSUM_LEN: usize = 6;
const HINT_LEN: usize = 4;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The public id of a key: 10 base62 characters. It never changes.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; ID_LEN]);

/// The plain text of a key, just made. Shown once, never stored.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Token(String);

/// The text is not that of a key: wrong length, shape, alphabet or checksum.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the text of an API key")]
pub struct Malformed;

/// The operating system gives no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gives no random bytes")]
pub struct NoRandomness(#[source] getrandom::Error);

/// The id in the text of a key. Shape and checksum are checked; nothing is looked
/// up.
///
/// # Errors
/// [`Malformed`], whatever is wrong: telling it apart would help nobody who holds
/// a key.
pub fn id_in(text: &str) -> Result<KeyId, Malformed> {
    let text: &[u8; TEXT_LEN] = text.as_bytes().try_into().map_err(|_| Malformed)?;
    let rest = text.strip_prefix(PREFIX.as_slice()).ok_or(Malformed)?;
    let (id, rest) = rest.split_first_chunk::<ID_LEN>().ok_or(Malformed)?;
    let rest = rest.strip_prefix(b"_").ok_or(Malformed)?;
    // Without a branch for each character: the compiler takes many at once.
    let is_base62 =
        |text: &[u8]| text.iter().fold(true, |all, byte| all & byte.is_ascii_alphanumeric());
    if !(is_base62(id) & is_base62(rest)) {
        return Err(Malformed);
    }
    let (body, sum) = text.split_last_chunk::<CHECKSUM_LEN>().ok_or(Malformed)?;
    if checksum(body) != *sum {
        return Err(Malformed);
    }
    Ok(KeyId(*id))
}

impl Token {
    /// A new text for the key `id`, with a secret of 190 bits from the operating
    /// system.
    ///
    /// # Errors
    /// [`NoRandomness`]
    pub fn generate(id: KeyId) -> Result<Self, NoRandomness> {
        let mut secret = [0; SECRET_LEN];
        random_base62(&mut secret)?;
        let mut text = String::with_capacity(TEXT_LEN);
        for bytes in [PREFIX.as_slice(), &id.0, b"_", &secret] {
            text.extend(bytes.iter().copied().map(char::from));
        }
        let sum = checksum(text.as_bytes());
        text.extend(sum.map(char::from));
        secret.zeroize();
        Ok(Self(text))
    }

    /// The text itself. Only the reply to its owner may take it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The last four characters, by which its owner can recognise it. They are
    /// checksum, not secret.
    pub fn hint(&self) -> &str {
        self.0.get(TEXT_LEN - HINT_LEN..).unwrap_or_default()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl KeyId {
    /// The id before all others in order.
    pub const MIN: Self = Self([b'0'; ID_LEN]);

    /// A new id, 59 bits from the operating system.
    ///
    /// # Errors
    /// [`NoRandomness`]
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut id = [0; ID_LEN];
        random_base62(&mut id)?;
        Ok(Self(id))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        // INVARIANT: only base62 characters get in.
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Its bytes: the key in the state tree.
    pub fn as_bytes(&self) -> &[u8; ID_LEN] {
        &self.0
    }
}

impl FromStr for KeyId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let id: [u8; ID_LEN] = text.as_bytes().try_into().map_err(|_| Malformed)?;
        if id.iter().all(u8::is_ascii_alphanumeric) { Ok(Self(id)) } else { Err(Malformed) }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether the text of a key stands somewhere in `text`, or an operator token that
/// we generated.
pub fn holds_secret(text: &str) -> bool {
    redacted(text).is_some()
}

/// `text` with every secret in it replaced by `…`; `None` when there is none.
pub fn redacted(text: &str) -> Option<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut clean = String::new();
    let (mut rest, mut found) = (text, false);
    while !rest.is_empty() {
        // A word that a secret can stand in, and what is behind it.
        let word = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (word, behind) = rest.split_at_checked(word)?;
        let gap = behind.find(is_part).unwrap_or(behind.len());
        let (gap, behind) = behind.split_at_checked(gap)?;
        match secret_at(word) {
            Some(at) => {
                clean.push_str(word.get(..at)?);
                clean.push('…');
                found = true;
            }
            None => clean.push_str(word),
        }
        clean.push_str(gap);
        rest = behind;
    }
    found.then_some(clean)
}

/// Secrets begin so, and so many characters follow at least.
const SECRETS: [(&str, usize); 2] = [("octv_", ID_LEN + 1 + SECRET_LEN), ("octo_", 32)];

/// Where a secret begins in `word`; it goes on to its end.
fn secret_at(word: &str) -> Option<usize> {
    let begin = |(prefix, len): (&str, usize)| {
        word.find(prefix).filter(|at| word.len() - at - prefix.len() >= len)
    };
    SECRETS.into_iter().filter_map(begin).min()
}

/// Fills `out` with base62 characters, each equally likely: bytes of 248 and
/// above are thrown away (62 × 4 = 248).
///
/// # Errors
/// [`NoRandomness`]
pub fn random_base62(out: &mut [u8]) -> Result<(), NoRandomness> {
    let mut random = [0_u8; 64];
    let mut left = out.iter_mut();
    let mut next = left.next();
    while next.is_some() {
        getrandom::fill(&mut random).map_err(NoRandomness)?;
        for byte in random.iter().filter(|byte| **byte < 248) {
            let Some(place) = next else { break };
            *place = base62_digit(u32::from(*byte));
            next = left.next();
        }
    }
    random.zeroize();
    Ok(())
}

/// CRC-32/ISO-HDLC of `body` in base62, big-endian, zero-padded.
fn checksum(body: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut rest = crc32fast::hash(body);
    let mut digits = [0; CHECKSUM_LEN];
    for digit in digits.iter_mut().rev() {
        *digit = base62_digit(rest);
        rest /= 62;
    }
    digits
}

fn base62_digit(number: u32) -> u8 {
    // The remainder is always within the alphabet.
    ALPHABET.get((number % 62) as usize).copied().unwrap_or(b'0')
}

#[cfg(test)]
mod tests;
