//! The text that a scraper takes: OpenMetrics 1.0, or Prometheus' classic text 0.0.4, which
//! `promtool check metrics` and people with curl read.
//!
//! INVARIANT: both say the same; the classic text is made from the other line by line.

use std::{collections::HashMap, fmt::Write as _};

/// A form of the text.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// OpenMetrics text 1.0.
    OpenMetrics,
    /// Prometheus' text 0.0.4.
    Classic,
}

impl Exposition {
    /// What to answer to this `Accept` header: OpenMetrics to who names it, the classic text to
    /// everybody else.
    pub fn accepted(accept: Option<&str>) -> Self {
        let names_it = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let named = parts
                .next()
                .is_some_and(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text"));
            // A weight of nothing is a no.
            let weight = parts.find_map(|part| part.strip_prefix("q="));
            named && weight.is_none_or(|weight| weight.parse::<f32>().is_ok_and(|q| q > 0.0))
        };
        if accept.is_some_and(|accept| accept.split(',').any(names_it)) {
            Self::OpenMetrics
        } else {
            Self::Classic
        }
    }

    /// The value of the answer's `Content-Type` header.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// OpenMetrics `text` as classic text. There a family is named as its samples are, so those of
/// counters and of what only informs get their suffixes; there is no unit and no end.
pub(super) fn classic(text: &str) -> String {
    let types: HashMap<_, _> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let named = |family: &str| match types.get(family) {
        Some(&"counter") => format!("{family}_total"),
        Some(&"info") => format!("{family}_info"),
        _ => family.to_owned(),
    };
    let mut classic = String::with_capacity(text.len());
    for line in text.lines() {
        let written = match line.strip_prefix("# ").and_then(|comment| comment.split_once(' ')) {
            None if line == "# EOF" => Ok(()),
            None => writeln!(classic, "{line}"),
            Some(("UNIT", _)) => Ok(()),
            Some((word, rest)) => {
                let (family, rest) = rest.split_once(' ').unwrap_or((rest, ""));
                let rest = if (word, rest) == ("TYPE", "info") { "gauge" } else { rest };
                writeln!(classic, "# {word} {} {rest}", named(family))
            }
        };
        // A string takes everything.
        let _ = written;
    }
    classic
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_who_names_it() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4";
        assert_eq!(Exposition::accepted(Some(prometheus)), Exposition::OpenMetrics);
        let refused = "application/openmetrics-text;version=1.0.0;q=0, text/plain";
        for accept in [None, Some("*/*"), Some("text/plain"), Some(""), Some(refused)] {
            assert_eq!(Exposition::accepted(accept), Exposition::Classic, "{accept:?}");
        }
    }

    #[test]
    fn families_of_classic_text_are_named_as_their_samples() {
        let text = "# HELP a_build Help.\n# TYPE a_build info\na_build_info{version=\"1\"} 1\n\
             # HELP cpu_seconds All.\n# TYPE cpu_seconds counter\n# UNIT cpu_seconds seconds\n\
             cpu_seconds_total 1.5\n# HELP keys Keys.\n# TYPE keys gauge\nkeys{status=\"# EOF\"} 2\n\
             # EOF\n";
        let expected = "# HELP a_build_info Help.\n# TYPE a_build_info gauge\n\
             a_build_info{version=\"1\"} 1\n\
             # HELP cpu_seconds_total All.\n# TYPE cpu_seconds_total counter\n\
             cpu_seconds_total 1.5\n# HELP keys Keys.\n# TYPE keys gauge\nkeys{status=\"# EOF\"} 2\n";
        assert_eq!(classic(text), expected);
    }
}
