//! The W3C trace context of a call: which trace it belongs to, and whether that is recorded.
//!
//! INVARIANT: what does not follow the rules counts as not there; nothing of it is repeated.
//! <https://www.w3.org/TR/trace-context/>

use http::HeaderMap;
use opentelemetry::{SpanId, TraceFlags, TraceId, trace::SpanContext, trace::TraceState};

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
/// A longer `tracestate` is left out.
const MAX_STATE: usize = 512;

/// What a `traceparent` says.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Traceparent {
    pub(crate) trace: TraceId,
    parent: SpanId,
    flags: TraceFlags,
}

impl Traceparent {
    /// That of a call with these headers; `None`: there is none, or no good one.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers.get_all(TRACEPARENT).iter();
        let (text, None) = (given.next()?, given.next()) else { return None };
        Self::parse(text.as_bytes())
    }

    /// `00-<32 hex>-<16 hex>-<2 hex>`; versions to come may have more behind that.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (head, more) = text.split_at_checked(55)?;
        let head = str::from_utf8(head).ok()?;
        let mut parts = head.split('-');
        let mut part = |len| {
            let part = parts.next()?;
            let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            (part.len() == len && part.bytes().all(is_hex)).then_some(part)
        };
        let (version, trace, parent, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        let fits = match version {
            "ff" => false,
            "00" => more.is_empty(),
            _ => more.first().is_none_or(|byte| *byte == b'-'),
        };
        let trace = TraceId::from_hex(trace).ok()?;
        let parent = SpanId::from_hex(parent).ok()?;
        let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
        let valid = fits && trace != TraceId::INVALID && parent != SpanId::INVALID;
        valid.then_some(Self { trace, parent, flags })
    }

    /// Whether the caller records the trace.
    pub(crate) fn is_sampled(self) -> bool {
        self.flags.is_sampled()
    }

    /// As the parent of a span, with the `tracestate` in `headers`.
    pub(super) fn context(self, headers: &HeaderMap) -> SpanContext {
        let state: Vec<&str> =
            headers.get_all(TRACESTATE).iter().filter_map(|state| state.to_str().ok()).collect();
        let state = state.join(",");
        let state = if state.len() <= MAX_STATE { state.parse().ok() } else { None };
        let flags = TraceFlags::default().with_sampled(self.is_sampled());
        let state: TraceState = state.unwrap_or_default();
        SpanContext::new(self.trace, self.parent, flags, true, state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn what_the_standard_allows_is_read() {
        let sampled =
            |text: String| Traceparent::parse(text.as_bytes()).map(Traceparent::is_sampled);
        for (version, flags, more, expected) in [
            ("00", "01", "", Some(true)),
            ("00", "00", "", Some(false)),
            ("00", "03", "", Some(true)),
            ("cc", "01", "-what-will-be", Some(true)),
            ("cc", "01", ".what", None),
            ("00", "01", "-more", None),
            ("ff", "01", "", None),
            ("00", "0G", "", None),
            ("00", "1", "", None),
        ] {
            let text = format!("{version}-{TRACE}-00f067aa0ba902b7-{flags}{more}");
            assert_eq!(sampled(text), expected, "{version} {flags} {more}");
        }
    }

    #[test]
    fn what_it_forbids_is_not_there() {
        for text in [
            "",
            "00",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-000f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Traceparent::parse(text.as_bytes()), None, "{text}");
        }
        let good = format!("00-{TRACE}-00f067aa0ba902b7-01").parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, good);
        assert_eq!(Traceparent::of(&headers).unwrap().trace.to_string(), TRACE);
        headers.append(TRACEPARENT, headers[TRACEPARENT].clone());
        assert_eq!(Traceparent::of(&headers), None, "two of them");
    }
}
