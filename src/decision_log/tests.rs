//! What is logged, and what is not.

use std::{
    fmt,
    io::{self, Write},
    sync::{Arc, Mutex},
};

use http::{Extensions, HeaderMap};
use serde_json::Value;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use super::*;
use crate::{authorizer::Reason, policy::Policy};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// The events of what `work` has logged.
fn events(filter: &str, work: impl FnOnce()) -> Vec<Value> {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(lines.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    let bytes = lines.0.lock().unwrap();
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(|l| serde_json::from_slice(l).unwrap())
        .collect()
}

fn log(allows: &str) -> DecisionLog {
    let policy = CurrentPolicy::new(Policy::built_in().unwrap());
    DecisionLog::new(allows.parse().unwrap(), policy, false)
}

fn peer(extensions: &Extensions) -> Option<&dyn fmt::Display> {
    extensions.get::<u8>().map(|peer| peer as &dyn fmt::Display)
}

fn with_call(work: impl FnOnce(&Call<'_>)) {
    let (mut headers, mut extensions) = (HeaderMap::new(), Extensions::new());
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    headers.insert("traceparent", parent.parse().unwrap());
    headers.insert("x-request-id", "r-1".parse().unwrap());
    extensions.insert(7_u8);
    work(&Call { api: "test", headers: &headers, extensions: &extensions, peer });
}

fn denied(action: &str) -> Decided<'_> {
    let outcome = Some(Outcome::Deny(Reason::KeyUnknown));
    Decided { outcome, action, revision: 5, correlation_id: "c-1", ..Decided::default() }
}

#[test]
fn a_denial_says_who_was_denied_what_and_where_it_came_from() {
    let log = log("0");
    let lines = events("info", || with_call(|call| log.write(call, &denied("articles.read"))));
    let [line] = &lines[..] else { panic!("{lines:?}") };
    for (name, expected) in [
        ("target", "octavia_authz::decision"),
        ("level", "INFO"),
        ("message", "denied"),
        ("api", "test"),
        ("key_id", ""),
        ("service", "ai-cms"),
        ("action", "articles.read"),
        ("reason", "KEY_UNKNOWN"),
        ("correlation_id", "c-1"),
        ("request_id", "r-1"),
        ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("peer", "7"),
    ] {
        assert_eq!(line[name], expected, "{name} of {line}");
    }
    assert_eq!(line["revision"], 5);
    assert_eq!(line["policy"].as_str().unwrap().len(), 16);
    for absent in ["method", "path", "status", "sampled", "unlogged"] {
        assert!(line.get(absent).is_none(), "{absent} in {line}");
    }
}

#[test]
fn texts_of_clients_are_cut_and_hold_no_secret() {
    let log = log("0");
    let secret = format!("octv_{}", "a".repeat(60));
    let long = format!("{secret}-{}", "é".repeat(2000));
    let lines = events("info", || with_call(|call| log.write(call, &denied(&long))));
    let action = lines[0]["action"].as_str().unwrap();
    assert_eq!(action.chars().count(), 256);
    assert!(!lines[0].to_string().contains(&secret) && action.starts_with('…'), "{action}");
}

#[test]
fn allows_are_logged_as_often_as_was_asked_for() {
    let allowed = Decided { outcome: Some(Outcome::Allow), ..Decided::default() };
    let count = |ratio| {
        let log = log(ratio);
        let write = || with_call(|call| (0..1000).for_each(|_| log.write(call, &allowed)));
        events("info", write)
    };
    assert!(count("0").is_empty());
    let all = count("1");
    assert_eq!(
        (all.len(), &all[0]["sampled"], &all[0]["message"]),
        (1000, &1.0.into(), &"allowed".into())
    );
    let some = count("0.1");
    assert!((50..200).contains(&some.len()) && some[0]["sampled"] == 0.1, "{}", some.len());
}

#[test]
fn denials_without_a_key_are_bounded_and_the_next_line_says_how_many_got_none() {
    let log = log("0");
    let lines = events("info", || {
        with_call(|call| {
            let started = std::time::Instant::now();
            for _ in 0..15_000 {
                log.write(call, &denied("x.y"));
            }
            // The next line is there as soon as the bucket has a drop again.
            while log.0.unlogged.load(Relaxed) > 0 {
                log.write(call, &denied("x.y"));
                assert!(started.elapsed().as_secs() < 30);
            }
        });
    });
    let unlogged: u64 = lines.iter().filter_map(|line| line["unlogged"].as_u64()).sum();
    assert!(lines.len() >= 10_000 && lines[0].get("unlogged").is_none());
    assert!(unlogged > 0, "{} lines", lines.len());
}

#[test]
fn a_filter_switches_them_off() {
    let log = log("1");
    let write = || with_call(|call| log.write(call, &denied("x.y")));
    assert!(events("info,octavia_authz::decision=off", write).is_empty());
    assert!(events("warn", || with_call(|call| log.write(call, &denied("x.y")))).is_empty());
}
