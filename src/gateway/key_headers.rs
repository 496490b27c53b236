//! Where a request carries its key, and that it carries one.

use std::{fmt, str::FromStr};

use super::{HttpRequest, normal};
use crate::token::holds_secret;

const AUTHORIZATION: &str = "authorization";

/// The headers in which keys are looked for.
#[derive(Clone, Debug)]
pub struct KeyHeaders(Vec<KeyHeader>);

/// A header's name, in lower case. `authorization` carries a key behind `Bearer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHeader(Box<str>);

/// The text names no header that can carry a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no header for keys: give a name such as `x-api-key` or `authorization`, and none of HTTP's own or of `x-octavia-…`"
)]
pub struct InvalidKeyHeader(String);

/// Why a request has no key to look at.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum CredentialFault {
    Missing,
    Several,
    /// In `authorization` without `Bearer`.
    Misplaced,
    NotText,
}

/// What a header carries.
enum Credential<'a> {
    Key(&'a [u8]),
    /// The text of a key where none belongs: it must not reach the service.
    Misplaced,
}

impl FromStr for KeyHeader {
    type Err = InvalidKeyHeader;

    fn from_str(text: &str) -> Result<Self, InvalidKeyHeader> {
        const TAKEN: [&str; 8] = [
            "host",
            "content-length",
            "content-type",
            "content-encoding",
            "connection",
            "transfer-encoding",
            "cookie",
            "x-request-id",
        ];
        let name = http::HeaderName::try_from(text)
            .ok()
            .filter(|name| !TAKEN.contains(&name.as_str()))
            .filter(|name| !name.as_str().starts_with("x-octavia-"))
            .ok_or_else(|| InvalidKeyHeader(text.to_owned()))?;
        Ok(Self(name.as_str().into()))
    }
}

impl fmt::Display for KeyHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl KeyHeader {
    fn is_bearer(&self) -> bool {
        &*self.0 == AUTHORIZATION
    }

    /// How to send a key in it, for people.
    pub(super) fn usage(&self) -> String {
        if self.is_bearer() {
            format!("`{self}: Bearer <key>`")
        } else {
            format!("`{self}: <key>`")
        }
    }

    /// A challenge for `WWW-Authenticate`.
    fn challenge(&self, realm: &str) -> String {
        if self.is_bearer() {
            format!("Bearer realm=\"{realm}\"")
        } else {
            format!("ApiKey realm=\"{realm}\", header=\"{self}\"")
        }
    }
}

impl KeyHeaders {
    /// These headers, each once.
    pub fn new(headers: impl IntoIterator<Item = KeyHeader>) -> Self {
        let mut all = Vec::new();
        for header in headers {
            if !all.contains(&header) {
                all.push(header);
            }
        }
        Self(all)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &KeyHeader> {
        self.0.iter()
    }

    /// What a 401 challenges with.
    pub fn challenges(&self, realm: &str) -> String {
        self.0.iter().map(|header| header.challenge(realm)).collect::<Vec<_>>().join(", ")
    }

    /// The names of the headers of `request` that carry a key, as they stand there.
    pub fn carriers<'a>(&self, request: &HttpRequest<'a>) -> impl Iterator<Item = &'a str> {
        let of = |name: &str, value: &[u8]| {
            self.0.iter().any(|header| header.is(name) && header.credential(value).is_some())
        };
        request.headers.iter().filter(move |(name, value)| of(name, value)).map(|(name, _)| *name)
    }

    /// The one key of `request`.
    pub(super) fn read<'a>(&self, request: &HttpRequest<'a>) -> Result<&'a str, CredentialFault> {
        let mut found = None;
        for header in &self.0 {
            for value in request.header(&header.0) {
                let text = match header.credential(value) {
                    None => continue,
                    Some(Credential::Misplaced) => return Err(CredentialFault::Misplaced),
                    Some(Credential::Key(text)) => text,
                };
                // Where a proxy joins headers that came twice, a comma stands between them.
                if found.replace(text).is_some() || value.contains(&b',') {
                    return Err(CredentialFault::Several);
                }
            }
        }
        let text = found.ok_or(CredentialFault::Missing)?;
        str::from_utf8(text).map_err(|_| CredentialFault::NotText)
    }
}

impl KeyHeader {
    /// Whether `name` names this header, or what a server that makes variables of headers takes for
    /// the same: `x_api_key`.
    fn is(&self, name: &str) -> bool {
        normal(name).eq(normal(&self.0))
    }

    /// The first credential in a value of this header; `None` if it carries something else.
    fn credential<'a>(&self, value: &'a [u8]) -> Option<Credential<'a>> {
        if !self.is_bearer() {
            return Some(Credential::Key(value));
        }
        let mut parts = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        parts.find_map(|part| {
            let scheme = part.split(u8::is_ascii_whitespace).next()?;
            if scheme.eq_ignore_ascii_case(b"bearer") {
                return Some(Credential::Key(part.get(scheme.len()..)?.trim_ascii()));
            }
            str::from_utf8(part).map_or(true, holds_secret).then_some(Credential::Misplaced)
        })
    }
}
