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
        time::{expiry, stamp, stamp_and_distance},
    },
    key_file::KeyFile,
};
use crate::pb::v1;

/// A key whose text is known, for the moment.
pub(super) struct Fresh {
    /// The key.
    pub(super) key: v1::ApiKey,
    /// Its text.
    pub(super) text: Secret,
    /// What to say above the text.
    pub(super) notice: &'static str,
}

/// Prints a key.
pub(super) fn key(key: &v1::ApiKey, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Table => output::print_text(&table(key, Timestamp::now())),
        Format::Json => {
            output::print_json(&json::OneKey { api_key: key.into(), key: None, key_out: None })
        }
    }
}

/// Prints a key and its text, or writes the text to `file`.
pub(super) fn fresh(fresh: Fresh, file: Option<KeyFile>, format: Format) -> anyhow::Result<()> {
    let Fresh { key, text, notice } = fresh;
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
                "{}\n\nThe key's text is in `{path}`, readable by you only. Keep it secret.",
                table(&key, Timestamp::now())
            )),
            Format::Json => output::print_json(&json::OneKey {
                api_key: (&key).into(),
                key: None,
                key_out: Some(path),
            }),
        };
    }
    let shown = Zeroizing::new(match format {
        Format::Table => {
            format!("{}\n\n{notice}\n\n{}\n", table(&key, Timestamp::now()), text.reveal())
        }
        Format::Json => {
            let mut text = output::to_json(&json::OneKey {
                api_key: (&key).into(),
                key: Some(text.reveal()),
                key_out: None,
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
    ];
    for secret in &key.secrets {
        let mut line = secret.hint.clone();
        if let Some(made) = &secret.create_time {
            line.push_str(&format!(", made {}", stamp(made)));
        }
        if let Some(until) = &secret.expire_time {
            line.push_str(&format!(", expires {}", stamp_and_distance(until, now)));
        }
        pairs.push(("secret", line));
    }
    Grid::pairs(pairs).render()
}

/// Keys, one a line.
pub(super) fn rows(keys: &[v1::ApiKey], now: Timestamp) -> String {
    let mut grid =
        Grid::new(&["ID", "NAME", "TEAM", "SERVICE", "ROLE", "STATUS", "EXPIRES", "CREATED"]);
    for key in keys {
        grid.row(&[
            &key.id,
            &key.name,
            &key.team,
            &key.service,
            &key.role,
            &status(key),
            &expiry(key.expire_time.as_ref(), now),
            &key.create_time.as_ref().map(stamp).unwrap_or_default(),
        ]);
    }
    grid.render()
}

fn status(key: &v1::ApiKey) -> String {
    json::status(key.status()).to_ascii_lowercase()
}
