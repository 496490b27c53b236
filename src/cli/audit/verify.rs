//! `audit verify`: whether the log is still as it was written, asked of a sidecar
//! or of the files. Called by `audit`.

use std::{path::PathBuf, str::FromStr, time::Duration};

use anyhow::{Context as _, bail};
use clap::{ArgMatches, parser::ValueSource};

use super::{
    super::{
        Outcome,
        client::{AdminArgs, block_on},
        output::{self, Format, counted, json, plain},
        progress::Progress,
    },
    connect,
};
use crate::{
    grpc::{hex, verification},
    pb::v1,
    store,
};

/// Shown at the end of the command's help.
pub const EXAMPLES: &str = "\
Whoever can write the files can make the whole chain anew. Only a head that was
noted down elsewhere shows that: `octavia-authz status` gives `revision` and
`journal_head`. Without --data-dir a sidecar is asked, with its operator token.

Examples:
  octavia-authz audit verify
  octavia-authz audit verify --data-dir /backup/octavia-authz-data
  octavia-authz audit verify --head 1204:9f86d081…

Exit codes: 0 valid, 1 broken, another head, or not to be verified, 2 bad usage.";

/// A sidecar says at least so often how far it is.
const PATIENCE: Duration = Duration::from_secs(60);

const VERIFYING: &str = "verifying";

/// What to verify.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// Verify the files in DIR, a data directory or a copy of one; a sidecar may
    /// be running on it; not with --server or a token [default: ask a sidecar]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Check also that the chain's head behind event SEQ is HEX, as a status once
    /// showed it [default: only that the chain is whole]
    #[arg(long, value_name = "SEQ:HEX")]
    pub head: Option<Head>,
}

/// A head that was noted down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Behind which event.
    pub sequence: u64,
    /// The head.
    pub head: [u8; 32],
}

impl FromStr for Head {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Head> {
        let parsed = text.split_once(':').and_then(|(sequence, head)| {
            let head = blake3::Hash::from_hex(head).ok()?;
            Some(Head { sequence: sequence.parse().ok()?, head: *head.as_bytes() })
        });
        let Some(head) = parsed else {
            bail!("write the revision, a colon, and the 64 digits of the journal head")
        };
        Ok(head)
    }
}

/// What is wrong with a command line that names files and a sidecar.
// Not clap's `conflicts_with`: it counts a server of the environment as given, and
// sees no flag that stands before `verify`.
pub(in super::super) fn conflict(matches: &ArgMatches) -> Option<String> {
    let verify = matches.subcommand_matches("audit")?.subcommand_matches("verify")?;
    let given = |name: &&str| verify.value_source(name) == Some(ValueSource::CommandLine);
    let asks = ["server", "token", "token_file"].into_iter().find(given)?;
    given(&"data_dir").then(|| {
        format!(
            "--data-dir verifies files, --{} asks a sidecar: pass only one of them",
            asks.replace('_', "-")
        )
    })
}

/// Verifies, and prints what was found: broken is a negative outcome.
pub(super) fn run(args: VerifyArgs, admin: &AdminArgs) -> anyhow::Result<Outcome> {
    let (found, torn) = match &args.data_dir {
        Some(dir) => {
            let expected = args.head.map(|head| (head.sequence, head.head));
            let progress = Progress::bytes(VERIFYING, Some(0));
            let found =
                store::verify(dir, expected, &mut |read, total| progress.show(read, total))?;
            (verification(&found), found.torn)
        }
        None => (block_on(ask(args.head, admin))?, 0),
    };
    match admin.call.output {
        Format::Table => output::print_text(&render(&found, torn))?,
        Format::Json => output::print_json(&json::audit::Verification::new(&found, torn))?,
    }
    Ok(if found.valid { Outcome::Done } else { Outcome::Negative })
}

async fn ask(head: Option<Head>, admin: &AdminArgs) -> anyhow::Result<v1::AuditVerification> {
    let (connection, mut audit) = connect(admin).await?;
    let request = connection.request(v1::VerifyAuditRequest {
        sequence: head.map_or(0, |head| head.sequence),
        head: head.map(|head| hex(&head.head)).unwrap_or_default(),
    });
    let mut messages = connection.ask(audit.verify_audit(request)).await?;
    let progress = Progress::bytes(VERIFYING, Some(0));
    while let Some(message) = connection.hear(&mut messages, PATIENCE).await? {
        progress.show(message.read_bytes, message.total_bytes);
        if let Some(found) = message.verification {
            return Ok(found);
        }
    }
    None.context("the sidecar ended the verification without a result; is it of another version?")
}

/// What was found, in words; `torn` bytes at the end are a record that is cut off.
pub(super) fn render(found: &v1::AuditVerification, torn: u64) -> String {
    let events = match found.last_sequence {
        0 => "no events".to_owned(),
        last => {
            let count = (last + 1).saturating_sub(found.first_sequence);
            format!("{}, {} to {last}", counted(count, "event"), found.first_sequence)
        }
    };
    let head = || format!("head: {}:{}", found.last_sequence, plain(&found.head));
    let mut lines = match (found.valid, found.broken_sequence) {
        (true, _) => vec![format!("valid: {events}"), head()],
        (false, 0) => vec![
            format!("not valid: {}", plain(&found.problem)),
            format!("whole in itself: {events}"),
            head(),
        ],
        (false, broken) => vec![
            format!("broken: {}", plain(&found.problem)),
            format!("first broken: {broken}"),
            format!("in: `{}` at byte {}", plain(&found.broken_file), found.broken_offset),
            format!("valid before it: {events}"),
        ],
    };
    if torn > 0 {
        lines.push(format!(
            "note: the last record is cut off, {} of it are left: normal after a crash of a running sidecar, which \
             never acknowledged it; but in a copy it may have been acknowledged: compare with --head",
            counted(torn, "byte")
        ));
    }
    lines.join("\n")
}
