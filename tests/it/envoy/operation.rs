//! What the golden tables say of a request, as HTTP: computed here, from the tables
//! alone.

use crate::golden::{self, ROLES, Right};

const OPERATIONS: &str = include_str!("../../data/operations.tsv");

/// Before the paths of the table.
pub const BASE: &str = "/cms";

/// A row of the table of operations.
#[derive(Clone, Debug)]
pub struct Operation {
    pub method: &'static str,
    /// With `*` for each placeholder.
    pub path: String,
    pub action: &'static str,
    pub forwards: bool,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The upstream gets it, with this in `x-octavia-conditions`; empty is no header.
    Passes(String),
    /// 403.
    Refused,
}

/// All 131.
pub fn operations() -> Vec<Operation> {
    let mut rows = OPERATIONS.lines().map(|row| row.split('\t').collect::<Vec<_>>());
    let heads = ["method", "path", "action", "when_conditional", "body_fields"];
    assert_eq!(rows.next().unwrap(), heads);
    let operations: Vec<Operation> = rows
        .map(|row| {
            let star = |part| if str::starts_with(part, '{') { "*" } else { part };
            let path: Vec<&str> = row[1].split('/').map(star).collect();
            let forwards = match row[3] {
                "forward" => true,
                "deny" => false,
                other => panic!("{other}"),
            };
            Operation { method: row[0], path: path.join("/"), action: row[2], forwards }
        })
        .collect();
    assert_eq!(operations.len(), 131);
    operations
}

impl Operation {
    /// What becomes of it for a key of `role` with this subject, when its body has no
    /// field that needs more.
    pub fn fate(&self, role: &str, subject: &str) -> Fate {
        assert!(ROLES.contains(&role));
        let right = golden::right(role, self.action);
        match right {
            Right::Always => Fate::Passes(String::new()),
            Right::When(_) if self.forwards => Fate::Passes(conditions(&right, subject)),
            Right::Never | Right::When(_) => Fate::Refused,
        }
    }
}

/// A condition as the header has it: alternatives between `|`, their parts between `&`.
fn conditions(right: &Right, subject: &str) -> String {
    let needs = right.needs(subject);
    let last = needs.last().unwrap().2;
    let alternatives = (1..=last).map(|number| {
        let parts = needs.iter().filter(|(_, _, alternative)| *alternative == number);
        let parts = parts.map(|(attribute, value, _)| format!("{attribute}={}", encoded(value)));
        parts.collect::<Vec<_>>().join("&")
    });
    alternatives.collect::<Vec<_>>().join("|")
}

/// Percent-encoded, but for what RFC 3986 calls unreserved.
pub fn encoded(text: &str) -> String {
    let bytes = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    });
    bytes.collect()
}
