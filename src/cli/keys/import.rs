//! `keys import`: takes over keys that were issued elsewhere, by the digests of
//! their texts.
//!
//! INVARIANT: nothing is sent unless every line of the file is a key. The file is
//! read twice: checked, then sent in messages. Called by `keys`.

use std::{
    collections::{HashMap, VecDeque},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Error};

use super::{
    super::{
        Outcome, bad_usage,
        client::{AdminArgs, block_on, refusal},
        output::{self, Format, counted, json, plain},
        progress::Progress,
    },
    connect,
};
use crate::{
    clock::{Clock, Timestamp},
    pb::v1,
};
use messages::Messages;
use source::Source;

pub(super) mod line;
pub(super) mod messages;
pub(super) mod source;

/// So many failures are told one by one.
const FAILURES: usize = 100;

/// Shown at the end of the command's help.
pub const NOTES: &str = "\
FILE holds JSON Lines: one key an object, one object a line. Empty lines count
for nothing. A field that is null counts as not given.

  name, role           required
  sha256 or blake3     required, one of the two: the digest of the key's whole
                       text, 64 hexadecimal digits
  service              [default: ai-cms]
  team                 [default: the caller's; `default` for the operator token]
  grants               a list of actions [default: none]
  expire_time          an instant, or instead
  expiration           what `keys create --expires` takes [default: lifetime]
  status               active or inactive [default: active]
  subject              [default: the key's id]
  description, labels  text, and an object of texts [default: none]
  id                   only where the text is `octv_<id>_…` [default: a new one]
  hint                 enough of the text to recognise it by, at most 32
                       characters [default: none]
  create_time          an instant [default: now]
  last_used_time       an instant [default: not known]

A line of such a file:
  {\"name\":\"web\",\"role\":\"read_only\",\"expiration\":\"2027-01-31\",\"sha256\":\"9f86…0a08\"}

The digest of a key, with no newline after its text:
  printf %s \"$KEY\" | sha256sum
  printf %s \"$KEY\" | b3sum

Running the same import again does no harm: what is there already stays as it is.

Examples:
  octavia-authz keys import keys.jsonl --dry-run
  jq -c '.keys[] | {name, role: \"writer\", sha256: .hash}' old.json |
    octavia-authz keys import -

Exit codes: 0 all are there now, 1 some could not be imported, 2 the file is not
valid and nothing was sent.";

/// What to import.
#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// The file with the keys, in JSON Lines; `-` for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Check everything, here and in the sidecar; import nothing [default:
    /// import]
    #[arg(long)]
    pub dry_run: bool,
}

/// How many wrong lines are told of at once.
const PROBLEMS: usize = 20;

/// Imports the keys.
pub(super) fn run(args: ImportArgs, admin: &AdminArgs) -> anyhow::Result<Outcome> {
    let now = Clock::System.now();
    let mut source = Source::open(&args.file)?;
    let total = check(&mut source, &args.file, now)?;
    let reply = match total {
        // Nothing to send: a pipeline found no keys.
        0 => v1::ImportApiKeysResponse::default(),
        _ => send(source.again()?, total, args.dry_run, now, admin)?,
    };
    let lines = source.lines_of(reply.failures.iter().map(|failure| failure.index))?;
    match admin.call.output {
        Format::Table => output::print_text(&summary(&reply, &lines, args.dry_run))?,
        Format::Json => output::print_json(&json::Imported {
            imported_count: reply.imported_count,
            existing_count: reply.existing_count,
            failed_count: reply.failed_count,
            failures: failures(&reply, &lines),
            dry_run: args.dry_run,
        })?,
    }
    Ok(if reply.failed_count == 0 { Outcome::Done } else { Outcome::Negative })
}

/// How many keys the file holds, if each of its lines is one.
pub(super) fn check(source: &mut Source, file: &Path, now: Timestamp) -> anyhow::Result<u64> {
    let (mut total, mut wrong, mut problems) = (0_u64, 0, Vec::new());
    for numbered in source.again()? {
        let (number, text) = numbered?;
        total += 1;
        if let Err(problem) = line::key(&text, now) {
            wrong += 1;
            if problems.len() < PROBLEMS {
                problems.push(format!("\n  line {number}: {problem}"));
            }
            // What else it holds are no lines of its own.
            if total == 1 && line::is_array(&text) {
                break;
            }
        }
    }
    if wrong == 0 {
        return Ok(total);
    }
    let name = match file == Path::new("-") {
        true => "standard input".to_owned(),
        false => format!("`{}`", file.display()),
    };
    if wrong > problems.len() {
        problems
            .push(format!("\n  … and {} more", counted((wrong - problems.len()) as u64, "line")));
    }
    let problems = problems.concat();
    Err(bad_usage!("{name} cannot be imported, and nothing was sent:{problems}"))
}

fn send(
    lines: source::Lines,
    total: u64,
    dry_run: bool,
    now: Timestamp,
    admin: &AdminArgs,
) -> anyhow::Result<v1::ImportApiKeysResponse> {
    let doing = if dry_run { "checking keys" } else { "importing keys" };
    let progress = Progress::items(doing, Some(total));
    let sending = Arc::new(Mutex::new(Sending::default()));
    let messages = {
        let sending = Arc::clone(&sending);
        Messages::new(lines, dry_run, now).map_while(move |message| {
            let mut sending = sending.lock().unwrap_or_else(PoisonError::into_inner);
            match message {
                Ok(message) => {
                    sending.unanswered.push_back(message.keys.len() as u64);
                    Some(message)
                }
                Err(error) => {
                    sending.broken = Some(error);
                    None
                }
            }
        })
    };
    let mut reply = v1::ImportApiKeysResponse::default();
    let outcome = block_on(async {
        let (connection, mut keys) = connect(admin).await?;
        let request = connection.request(tokio_stream::iter(messages));
        let mut answers = connection.ask(keys.import_api_keys(request)).await?;
        while let Some(answer) = connection.next(&mut answers).await? {
            let mut sending = sending.lock().unwrap_or_else(PoisonError::into_inner);
            let keys = sending.unanswered.pop_front().unwrap_or_default();
            add(&mut reply, answer, progress.done());
            progress.moved(keys);
        }
        Ok(())
    });
    progress.finish();
    let mut sending = sending.lock().unwrap_or_else(PoisonError::into_inner);
    let outcome = match (outcome, sending.broken.take()) {
        (Ok(()), Some(error)) | (Err(error), _) => Err(error),
        (Ok(()), None) => Ok(reply),
    };
    // Where no message was sent, no key can have been taken over.
    match dry_run || (progress.done() == 0 && sending.unanswered.is_empty()) {
        true => outcome,
        false => outcome.context(
            "the import broke off; some keys may be imported already: run it again, which does \
             those no harm",
        ),
    }
}

/// What is on its way.
#[derive(Default)]
struct Sending {
    /// How many keys each message holds that is not answered yet.
    unanswered: VecDeque<u64>,
    /// Ends the stream, which has no way to say why.
    broken: Option<Error>,
}

/// Adds the answer to a message before which `before` keys were sent.
fn add(all: &mut v1::ImportApiKeysResponse, answer: v1::ImportApiKeysResponse, before: u64) {
    all.imported_count += answer.imported_count;
    all.existing_count += answer.existing_count;
    all.failed_count += answer.failed_count;
    let room = FAILURES.saturating_sub(all.failures.len());
    all.failures.extend(
        answer
            .failures
            .into_iter()
            .take(room)
            .map(|failure| v1::ImportFailure { index: before + failure.index, ..failure }),
    );
}

/// What became of the keys, in words; `lines` are those of the failures.
pub(super) fn summary(
    reply: &v1::ImportApiKeysResponse,
    lines: &HashMap<u64, u64>,
    dry_run: bool,
) -> String {
    let imported = counted(reply.imported_count, "key");
    let mut text = match dry_run {
        true => format!("{imported} would be imported"),
        false => format!("imported {imported}"),
    };
    if reply.existing_count > 0 {
        text.push_str(&format!("; {} there already", reply.existing_count));
    }
    if reply.failed_count > 0 {
        let could = if dry_run { "cannot" } else { "could not" };
        text.push_str(&format!("; {} {could} be imported:", reply.failed_count));
        for failure in &reply.failures {
            let line = lines.get(&failure.index).map_or("?".to_owned(), ToString::to_string);
            let (name, why) = (plain(&failure.name), refusal(failure.code, &failure.message));
            text.push_str(&format!("\n  line {line}, key `{name}`: {why}"));
        }
        let more = reply.failed_count.saturating_sub(reply.failures.len() as u64);
        if more > 0 {
            text.push_str(&format!("\n  … and {} more", counted(more, "key")));
        }
    }
    text.push_str(match (dry_run, reply.failed_count) {
        (true, _) => "\nNothing was changed.",
        (false, 0) => "",
        (false, _) => {
            "\nThe others are in force. Correct these and run the import again: that does the \
             others no harm."
        }
    });
    text
}

fn failures<'a>(
    reply: &'a v1::ImportApiKeysResponse,
    lines: &HashMap<u64, u64>,
) -> Vec<json::ImportFailure<'a>> {
    let failures = reply.failures.iter().map(|failure| json::ImportFailure {
        line: lines.get(&failure.index).copied(),
        name: &failure.name,
        code: failure.code,
        message: &failure.message,
    });
    failures.collect()
}
