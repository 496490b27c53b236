//! What a change of a key does, in words: to its fields, and to its rights.
//! Called by `update`.

use serde_json::Value;

use super::super::output::{
    counted,
    json::{self, FieldChange},
    plain,
};
use crate::pb::v1;

/// The fields that an update can change.
const FIELDS: [&str; 8] =
    ["name", "role", "grants", "expire_time", "status", "subject", "description", "labels"];

/// The fields in which two states of a key differ.
///
/// # Errors
/// A key has no JSON form.
pub(super) fn of_fields(
    before: &v1::ApiKey,
    after: &v1::ApiKey,
) -> anyhow::Result<Vec<FieldChange>> {
    let before = serde_json::to_value(json::ApiKey::from(before))?;
    let after = serde_json::to_value(json::ApiKey::from(after))?;
    let value = |key: &Value, field: &str| key.get(field).cloned().unwrap_or_default();
    let changes = FIELDS.into_iter().filter_map(|field| {
        let (before, after) = (value(&before, field), value(&after, field));
        (before != after).then_some(FieldChange { field, before, after })
    });
    Ok(changes.collect())
}

/// Changed fields, one a line: `role: editor → writer`.
pub(super) fn fields_in_words(changes: &[FieldChange]) -> String {
    if changes.is_empty() {
        return "would stay as it is".to_owned();
    }
    let lines = changes.iter().map(|change| {
        let (before, after) = (shown(&change.before), shown(&change.after));
        let name = if change.field == "expire_time" { "expires" } else { change.field };
        format!("  {name}: {before} → {after}")
    });
    format!("would change:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

fn shown(value: &Value) -> String {
    let text = match value {
        // Of these fields, only a lifetime has no value.
        Value::Null => "lifetime".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        Value::Object(all) => {
            let pairs = all.iter().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default()));
            pairs.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    };
    if text.is_empty() { "(none)".to_owned() } else { plain(&text) }
}

/// Changed rights, one a line: gained, lost, then those that are held on other
/// conditions than before.
pub(super) fn rights_in_words(changes: &[v1::RightChange], dry_run: bool) -> String {
    let (mut gained, mut lost, mut other) = (Vec::new(), Vec::new(), Vec::new());
    for change in changes {
        let action = plain(&change.action);
        match (right(change.before.as_ref()), right(change.after.as_ref())) {
            (None, Some(after)) => gained.push(format!("  + {action}{}", bracketed(&after))),
            (Some(before), None) => lost.push(format!("  - {action}{}", bracketed(&before))),
            (Some(before), Some(after)) => other.push(format!("  ~ {action}: {before} → {after}")),
            // Denied before and after is no change.
            (None, None) => {}
        }
    }
    if gained.is_empty() && lost.is_empty() && other.is_empty() {
        let stay = if dry_run { "would stay" } else { "are" };
        return format!("the key's rights {stay} as they were");
    }
    let amount = |lines: &[String]| lines.len() as u64;
    let heading = format!(
        "rights: {} gained, {} lost, {} on other conditions",
        counted(amount(&gained), "action"),
        amount(&lost),
        amount(&other)
    );
    [vec![heading], gained, lost, other].concat().join("\n")
}

const ALWAYS: &str = "always";

/// When the action is allowed; `None`: never.
fn right(right: Option<&v1::ActionRight>) -> Option<String> {
    match right? {
        right if right.allowed => Some(ALWAYS.to_owned()),
        right if right.conditions.is_empty() => None,
        right => Some(plain(&right.conditions.join(" or "))),
    }
}

fn bracketed(right: &str) -> String {
    if right == ALWAYS { String::new() } else { format!(" (if {right})") }
}
