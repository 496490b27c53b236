//! How the `keys` commands print keys.
//!
//! INVARIANT: a new key's text is either shown in full or the error says how to
//! get another. Used by the `keys` commands.

use anyhow::{Context as _, Error};
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::{
    super::{
        output::{self, Format, Grid, json, plain},
        secret::Secret,
        time::{day, expiry, short_expiry, stamp, stamp_and_distance},
    },
    key_file::KeyFile,
    usage,
};
use crate::pb::v1;

/// A key whose text is known, for the moment.
pub(super) struct Fresh {
    /// The key.
    pub(super) key: v1::ApiKey,
    /// Its text.
    pub(super) text: Secret,
    /// What became of the secrets before, one a line; empty for a new key.
    pub(super) before: String,
    /// The secrets that a rotation dropped.
    pub(super) dropped: Option<Vec<v1::KeySecret>>,
    /// What to say above the text.
    pub(super) notice: &'static str,
}

/// Prints a key.
pub(super) fn key(key: &v1::ApiKey, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Table => output::print_text(&table(key, Timestamp::now())),
        Format::Json => output::print_json(&json::OneKey::from(key)),
    }
}

/// Prints a key; as JSON with its use on the last days.
pub(super) fn used_key(
    key: &v1::ApiKey,
    days: &[v1::DailyUsage],
    format: Format,
) -> anyhow::Result<()> {
    match format {
        Format::Table => self::key(key, format),
        Format::Json => output::print_json(&json::OneKey {
            daily_usage: Some(days.iter().map(json::DailyUsage::from).collect()),
            ..json::OneKey::from(key)
        }),
    }
}

/// Prints a key and its text, or writes the text to `file`.
pub(super) fn fresh(fresh: Fresh, file: Option<KeyFile>, format: Format) -> anyhow::Result<()> {
    let Fresh { key, text, before, dropped, notice } = fresh;
    let about = match before.is_empty() {
        true => table(&key, Timestamp::now()),
        false => format!("{}\n\n{before}", table(&key, Timestamp::now())),
    };
    let dropped = dropped.as_deref();
    let dropped = || dropped.map(|dropped| dropped.iter().map(json::KeySecret::from).collect());
    let lost = |error: Error| {
        error.context(format!(
            "the key's new text is in force, but lost; make another with \
             `octavia-authz keys rotate {}`",
            plain(&key.id)
        ))
    };
    if let Some(mut file) = file {
        let path = file.path().display().to_string();
        file.write(&text).with_context(|| format!("cannot write `{path}`")).map_err(lost)?;
        return match format {
            Format::Table => output::print_text(&format!(
                "{about}\n\nThe key's text is in `{path}`, readable by you only. Keep it secret."
            )),
            Format::Json => output::print_json(&json::OneKey {
                key_out: Some(path),
                dropped_secrets: dropped(),
                ..json::OneKey::from(&key)
            }),
        };
    }
    let shown = Zeroizing::new(match format {
        Format::Table => {
            format!("{about}\n\n{notice}\n\n{}\n", text.reveal())
        }
        Format::Json => {
            let mut text = output::to_json(&json::OneKey {
                key: Some(text.reveal()),
                dropped_secrets: dropped(),
                ..json::OneKey::from(&key)
            })?;
            text.push('\n');
            text
        }
    });
    // Not `print`: a reader that went away has not seen the text.
    output::print_all(shown.as_bytes()).context("cannot write to standard output").map_err(lost)
}

/// A key, one field a line.
pub(super) fn table(key: &v1::ApiKey, now: Timestamp) -> String {
    let stamped = |time: &Option<prost_types::Timestamp>| {
        time.as_ref().map(|time| stamp_and_distance(time, now)).unwrap_or_default()
    };
    let mut labels: Vec<String> = key.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    labels.sort_unstable();
    let mut pairs = vec![
        ("id", key.id.clone()),
        ("name", key.name.clone()),
        ("team", key.team.clone()),
        ("service", key.service.clone()),
        ("role", key.role.clone()),
        ("grants", key.grants.join(", ")),
        ("status", status(key)),
        ("expires", expiry(key.expire_time.as_ref(), now)),
        ("subject", key.subject.clone()),
        ("description", key.description.clone()),
        ("labels", labels.join(", ")),
        ("created", stamped(&key.create_time)),
        ("created by", key.created_by.clone()),
        ("updated", stamped(&key.update_time)),
        ("etag", key.etag.clone()),
        ("last used", usage::of_key(key, now)),
        ("requests", usage::requests(key)),
    ];
    if key.import_time.is_some() {
        pairs.push(("imported", stamped(&key.import_time)));
    }
    for secret in &key.secrets {
        // A key may be imported without one.
        let mut line = if secret.hint.is_empty() { "-".into() } else { secret.hint.clone() };
        if secret.number != 0 {
            line.push_str(&format!(", number {}", secret.number));
        }
        if let Some(made) = &secret.create_time {
            line.push_str(&format!(", made {}", stamp(made)));
        }
        if let Some(until) = &secret.expire_time {
            line.push_str(&format!(", expires {}", stamp_and_distance(until, now)));
        }
        line.push_str(&format!(", {}", usage::of_secret(key, secret, now)));
        pairs.push(("secret", line));
    }
    Grid::pairs(pairs).render()
}

/// How many columns a terminal has to have for a list to be readable.
const WIDTH: usize = 120;

/// Keys, one a line. Where the lines would be too wide, long names and teams are
/// cut: the id tells keys apart, and `keys get` shows all.
pub(super) fn rows(keys: &[v1::ApiKey], now: Timestamp) -> String {
    const HEADS: [&str; 9] =
        ["ID", "NAME", "TEAM", "SERVICE", "ROLE", "STATUS", "EXPIRES", "LAST USED", "CREATED"];
    let cells = |key: &v1::ApiKey| {
        [
            key.id.clone(),
            key.name.clone(),
            key.team.clone(),
            key.service.clone(),
            key.role.clone(),
            status(key),
            short_expiry(key.expire_time.as_ref(), now),
            usage::in_short(key, now),
            key.create_time.as_ref().map(day).unwrap_or_default(),
        ]
        .map(|cell| plain(&cell))
    };
    let mut rows: Vec<[String; 9]> = keys.iter().map(cells).collect();
    let mut widths = HEADS.map(width);
    for row in &rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = width(cell).max(*widest);
        }
    }
    // Two spaces apart.
    let total = widths.iter().sum::<usize>() + 2 * (HEADS.len() - 1);
    let [_, names, teams, ..] = widths;
    // As much as fits, but never so little that nobody could tell what it is.
    let room = names.saturating_sub(total.saturating_sub(WIDTH)).max(names.min(12));
    let total = total - names + room;
    let team_room = teams.saturating_sub(total.saturating_sub(WIDTH)).max(teams.min(9));
    let mut grid = Grid::new(&HEADS);
    for row in &mut rows {
        let [_, name, team, ..] = row;
        (*name, *team) = (cut(name, room), cut(team, team_room));
        grid.row(row);
    }
    grid.render()
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn cut(text: &str, room: usize) -> String {
    match width(text) > room {
        true => text.chars().take(room.saturating_sub(1)).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

fn status(key: &v1::ApiKey) -> String {
    json::status(key.status()).to_ascii_lowercase()
}
