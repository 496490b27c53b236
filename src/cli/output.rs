//! What the commands print: tables for people, JSON for programs.
//!
//! INVARIANT: text that others wrote (names, descriptions, messages) reaches
//! the terminal without control characters. Used by every client command.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use anyhow::Context as _;
use comfy_table::{Row, Table, presets};
use serde::Serialize;

use crate::printable::is_unprintable;

pub(crate) mod json;

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned text for people.
    Table,
    /// One JSON object with the field names of the API.
    Json,
}

/// Writes to standard output. That nobody reads it any more (`| head`) is no
/// error.
///
/// # Errors
/// Standard output takes no more.
pub(crate) fn print(bytes: &[u8]) -> anyhow::Result<()> {
    match print_all(bytes) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.context("cannot write to standard output"),
    }
}

/// Writes to standard output what must be read by somebody.
///
/// # Errors
/// Standard output takes no more, or nobody reads it.
pub(crate) fn print_all(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// Prints lines of text, with a newline at the end.
///
/// # Errors
/// As [`print()`].
pub(crate) fn print_text(text: &str) -> anyhow::Result<()> {
    print(format!("{}\n", text.trim_end_matches('\n')).as_bytes())
}

/// Prints a value as JSON.
///
/// # Errors
/// As [`print()`].
pub(crate) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print_text(&to_json(value)?)
}

/// A value as indented JSON without a character that a terminal would obey.
///
/// # Errors
/// It has no JSON form.
pub(crate) fn to_json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(harmless(serde_json::to_string_pretty(value).context("cannot write as JSON")?))
}

/// The same on one line.
///
/// # Errors
/// It has no JSON form.
pub(crate) fn to_json_line(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(harmless(serde_json::to_string(value).context("cannot write as JSON")?))
}

fn harmless(text: String) -> String {
    if !text.chars().any(|c| c != '\n' && is_unprintable(c)) {
        return text;
    }
    // serde_json escapes the characters below U+0020 only. The others can only
    // stand inside strings, all in the basic plane.
    let mut safe = String::with_capacity(text.len() + 64);
    for c in text.chars() {
        if c != '\n' && is_unprintable(c) {
            let _ = write!(safe, "\\u{:04x}", u32::from(c));
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Text of others, made harmless: a control character, or one that turns the
/// direction of writing or cannot be seen, becomes its escape (`\u{1b}`).
pub(crate) fn plain(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            c if is_unprintable(c) => safe.extend(c.escape_unicode()),
            c => safe.push(c),
        }
    }
    safe
}

/// A table without lines, columns two spaces apart. Cells are made harmless.
pub(crate) struct Grid(Table);

impl Grid {
    /// A table with these column heads.
    pub(crate) fn new(heads: &[&str]) -> Grid {
        let mut grid = Grid(Table::new());
        grid.0.load_style(presets::NOTHING);
        grid.0.set_header(row(heads));
        grid
    }

    /// A table of names and values, one pair a line.
    pub(crate) fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> Grid {
        let mut grid = Grid(Table::new());
        grid.0.load_style(presets::NOTHING);
        for (name, value) in pairs {
            let value = if value.is_empty() { "-" } else { &value };
            grid.0.add_row(row(&[&format!("{name}:"), value]));
        }
        grid
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: &[impl AsRef<str>]) {
        self.0.add_row(row(cells));
    }

    /// The text, without a newline at the end.
    pub(crate) fn render(mut self) -> String {
        for column in self.0.column_iter_mut() {
            column.set_padding((0, 2));
        }
        self.0.trim_fmt()
    }
}

fn row(cells: &[impl AsRef<str>]) -> Row {
    Row::from(cells.iter().map(|cell| plain(cell.as_ref())))
}

/// `1 key`, `3 keys`, `no keys`.
pub(crate) fn counted(amount: u64, noun: &str) -> String {
    match amount {
        0 => format!("no {noun}s"),
        1 => format!("1 {noun}"),
        _ => format!("{amount} {noun}s"),
    }
}
