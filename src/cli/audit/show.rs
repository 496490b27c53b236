//! How the `audit` commands print events: one line each, what changed in words.
//!
//! INVARIANT: whatever others wrote reaches the terminal harmless, and an event
//! stays on its line. Used by `list` and `watch`.

use super::super::{
    output::{Grid, json, plain},
    time::{expiry_words, stamp},
};
use crate::pb::v1::{ApiKey, AuditEvent, AuditEventKind, KeySecret};

/// Events, one a line.
pub(super) fn rows(events: &[AuditEvent]) -> String {
    let mut grid = Grid::new(&["SEQUENCE", "TIME", "ACTOR", "KIND", "KEY", "WHAT"]);
    for event in events {
        grid.row(&cells(event));
    }
    grid.render()
}

/// One event, for a table that has no end.
pub(super) fn line(event: &AuditEvent) -> String {
    let [sequence, time, actor, kind, key, what] = cells(event).map(|cell| plain(&cell));
    format!("{sequence:>8}  {time:<20}  {actor:<14}  {kind:<10}  {key:<10}  {what}")
        .trim_end()
        .to_owned()
}

fn cells(event: &AuditEvent) -> [String; 6] {
    let key = if event.key_id.is_empty() { "-" } else { &event.key_id };
    [
        event.sequence.to_string(),
        event.time.as_ref().map(stamp).unwrap_or_default(),
        event.actor.clone(),
        kind(event),
        key.to_owned(),
        what(event),
    ]
}

fn kind(event: &AuditEvent) -> String {
    json::audit::kind(event.kind()).to_ascii_lowercase().replace('_', "-")
}

/// What has changed, in words.
fn what(event: &AuditEvent) -> String {
    if let Some(refusal) = &event.refusal {
        let more = match refusal.unlisted_count {
            0 => String::new(),
            more => format!(" (and {more} more, not listed)"),
        };
        return format!("refused: {}{more}", refusal.message);
    }
    match (&event.before, &event.after) {
        (None, Some(key)) => about(key),
        (Some(key), None) => format!("was {}", about(key)),
        (Some(before), Some(after)) => {
            let changes = changes(before, after);
            match (changes.is_empty(), event.kind()) {
                (false, _) => changes.join(", "),
                (true, AuditEventKind::Redigest) => redigested(after),
                (true, _) => "unchanged".to_owned(),
            }
        }
        (None, None) => String::new(),
    }
}

/// A digest made anew by the same scheme, from one pepper to another. Which secret's
/// it is stands in no field, so of several all that it can be are named.
fn redigested(key: &ApiKey) -> String {
    let keyed = key.secrets.iter().filter(|secret| secret.digest_scheme == "blake3-keyed");
    let mut numbers: Vec<u32> = keyed.map(|secret| secret.number).collect();
    numbers.sort_unstable();
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    match numbers.is_empty() {
        true => "digest made anew".to_owned(),
        false => format!("secret {}: digest made anew", numbers.join(" or ")),
    }
}

fn about(key: &ApiKey) -> String {
    let mut about = format!("`{}`, role {}, team {}", key.name, key.role, key.team);
    if !key.grants.is_empty() {
        about.push_str(&format!(", grants {}", key.grants.join(" ")));
    }
    about
}

/// The fields that are not the same, each as `field: before → after`.
fn changes(before: &ApiKey, after: &ApiKey) -> Vec<String> {
    let status = |key: &ApiKey| json::status(key.status()).to_ascii_lowercase();
    let expires = |key: &ApiKey| expiry_words(key.expire_time.as_ref());
    let text = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let fields: [(&str, String, String); 9] = [
        ("name", text(&before.name), text(&after.name)),
        ("team", text(&before.team), text(&after.team)),
        ("service", text(&before.service), text(&after.service)),
        ("role", text(&before.role), text(&after.role)),
        ("grants", text(&before.grants.join(" ")), text(&after.grants.join(" "))),
        ("status", status(before), status(after)),
        ("expires", expires(before), expires(after)),
        ("subject", text(&before.subject), text(&after.subject)),
        ("description", text(&before.description), text(&after.description)),
    ];
    let differ = fields.into_iter().filter(|(_, before, after)| before != after);
    let mut changes: Vec<_> =
        differ.map(|(field, before, after)| format!("{field}: {before} → {after}")).collect();
    if before.labels != after.labels {
        changes.push(format!("labels: {} → {}", labels(before), labels(after)));
    }
    changes.extend(secrets(before, after));
    changes
}

fn labels(key: &ApiKey) -> String {
    let mut labels: Vec<_> = key.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    labels.sort_unstable();
    if labels.is_empty() { "-".to_owned() } else { labels.join(" ") }
}

/// What has become of each secret.
fn secrets(before: &ApiKey, after: &ApiKey) -> Vec<String> {
    let of =
        |key: &ApiKey, number| key.secrets.iter().find(|secret| secret.number == number).cloned();
    let mut numbers: Vec<u32> =
        before.secrets.iter().chain(&after.secrets).map(|secret| secret.number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let until = |secret: &KeySecret| secret.expire_time.as_ref().map(stamp);
    let mut changes = Vec::new();
    for number in numbers {
        match (of(before, number), of(after, number)) {
            (None, Some(_)) => changes.push(format!("secret {number} made")),
            (Some(_), None) => changes.push(format!("secret {number} dropped")),
            (Some(before), Some(after)) if until(&before) != until(&after) => {
                let until = until(&after).unwrap_or_else(|| "with the key".to_owned());
                changes.push(format!("secret {number} expires: {until}"));
            }
            (Some(before), Some(after)) if before.digest_scheme != after.digest_scheme => {
                let (before, after) = (before.digest_scheme, after.digest_scheme);
                changes.push(format!("secret {number}: digest made anew ({before} → {after})"));
            }
            _ => {}
        }
    }
    changes
}
