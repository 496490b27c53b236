//! An HTTP request, as a proxy describes it.

use std::borrow::Cow;

use crate::policy::WhenConditional;

/// An HTTP request.
#[derive(Clone, Debug, Default)]
pub struct HttpRequest<'a> {
    /// The method, as it came.
    pub method: &'a str,
    /// The `Host` header or `:authority`.
    pub host: &'a str,
    /// The path as it came, undecoded, with its query.
    pub target: &'a str,
    /// Every header: those that came twice stand here twice, or once with a comma between their
    /// values.
    pub headers: Vec<(&'a str, &'a [u8])>,
    /// As much of the body as the proxy gives; empty is none.
    pub body: Cow<'a, [u8]>,
    /// What the proxy's configuration says about it.
    pub named: Named<'a>,
}

/// What a proxy's configuration says about a request. A client has no hand in it.
#[derive(Copy, Clone, Debug, Default)]
pub struct Named<'a> {
    /// The service; empty is that of the operation, or for a named action the default one.
    pub service: &'a str,
    /// The action; empty is what the operation needs.
    pub action: &'a str,
    /// For a named action: what is done where the right to it is conditional.
    pub when_conditional: WhenConditional,
    /// It says this, which is not understood: nothing passes.
    pub unknown: Option<&'a str>,
}

impl<'a> HttpRequest<'a> {
    /// The values of the header `name`, whose case makes no difference.
    pub fn header(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let values = self.headers.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name));
        values.map(|(_, value)| *value)
    }

    /// The only value of the header `name`, as text; `Err` if there are several, or it is no text.
    pub(super) fn single(&self, name: &str) -> Result<Option<&'a str>, Ambiguous> {
        let mut values = self.header(name);
        let Some(value) = values.next() else { return Ok(None) };
        let value = std::str::from_utf8(value).map_err(|_| Ambiguous)?;
        if values.next().is_some() || value.contains(',') {
            Err(Ambiguous)
        } else {
            Ok(Some(value))
        }
    }
}

/// A header that two readers could take for two things.
#[derive(Debug)]
pub(super) struct Ambiguous;
