//! `octavia-authz repair`: makes a damaged data directory usable again. Called
//! by `cli::run`.

use std::path::PathBuf;

use super::{Outcome, output};
use crate::{
    clock::Clock,
    store::{self, Repair, Source},
};

const NOTES: &str = "\
Only for a directory that `serve` refuses because its journal is damaged, and
only when there is no copy to put back. Without --apply nothing is changed.
What was there is set aside, never deleted.

Exit codes: 0 nothing is wrong, or it was repaired; 1 something is wrong, or it
failed; 2 bad usage.";

/// What `repair` is told.
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub struct RepairArgs {
    /// Repair the data in DIR; no sidecar may be running on it
    #[arg(
        long,
        value_name = "DIR",
        env = "OCTAVIA_AUTHZ_DATA_DIR",
        default_value = "./octavia-authz-data"
    )]
    pub data_dir: PathBuf,

    /// Do it [default: only say what would be done, and what that gives up]
    #[arg(long)]
    pub apply: bool,
}

/// Repairs the data directory, or says what that would do: then the outcome is
/// negative.
///
/// # Errors
/// There is nothing to save, or the directory cannot be used.
pub fn run(args: RepairArgs) -> anyhow::Result<Outcome> {
    let Some(repair) = store::repair(&args.data_dir, Clock::System.now(), args.apply)? else {
        output::print_text("nothing is wrong with the journal")?;
        return Ok(Outcome::Done);
    };
    output::print_text(&report(&repair))?;
    Ok(if args.apply { Outcome::Done } else { Outcome::Negative })
}

fn report(repair: &Repair) -> String {
    let mut lines = vec![
        format!("problem: {}", repair.problem),
        format!("keys that are kept: {}", repair.keys),
        format!("taken from: {}", taken_from(repair.source)),
    ];
    // What an interrupted repair gave up, it said itself.
    if repair.source != Source::Interrupted {
        lines.push(
            "given up: the history of changes, which stays in the old journal as far as it can be read".to_owned(),
        );
        for range in &repair.unreadable {
            let (first, last) = (range.start(), range.end());
            lines.push(format!("given up: changes {first} to {last}, which cannot be read"));
        }
        lines.push(format!("given up: every change after {}, if there was one", repair.last));
        lines.push(
            "a key that one of these changes created is gone; a key that one of them revoked, disabled or \
             demoted is as it was before: check the keys, and rotate or revoke those in doubt"
                .to_owned(),
        );
    }
    lines.push(match (&repair.set_aside, repair.applied) {
        (Some(path), _) => format!("done; the old journal is `{}`", path.display()),
        (None, true) => "done".to_owned(),
        (None, false) => "nothing was changed; run it again with --apply to do it".to_owned(),
    });
    lines.join("\n")
}

fn taken_from(source: Source) -> &'static str {
    match source {
        Source::State => "the state, which is whole, and the changes after it that can be read",
        Source::Snapshot => "a snapshot of the state, and the changes after it that can be read",
        Source::Journal => "the changes that can be read",
        Source::Interrupted => {
            "the new journal, which an earlier repair wrote and did not put in its place"
        }
    }
}
