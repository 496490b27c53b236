//! `octavia-authz restore`: makes a data directory of a backup, or only checks it.
//! Needs no sidecar. Called by `cli::run`.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::{
    BadUsage,
    backup::Info,
    output::{self, Format},
    progress::Progress,
};
use crate::{
    clock::Clock,
    digest::{Pepper, PepperId},
    store::{self, BackupError, BackupInfo, Restore, RestoreError, UsageCopy},
    usage::Usage,
};

const NOTES: &str = "\
All of the backup is checked before anything is made. The directory must be empty
or not exist; it is there whole in the end, or not at all. It is made beside its
place and moved there at once, so the directory above it must be writable, and it
cannot be a mount point: restore into a directory below one. The operator token is
not in a backup: `serve` makes a new one, or reads --operator-token-file.

Examples:
  octavia-authz restore octavia-authz.backup --check
  octavia-authz restore octavia-authz.backup --data-dir /var/lib/octavia-authz

Exit codes: 0 done, 1 the backup is no good or the work failed, 2 bad usage: the
place is not free, or the pepper is not the one that the keys need.";

/// What `restore` is told.
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Make the data directory DIR of it
    #[arg(
        long,
        value_name = "DIR",
        env = "OCTAVIA_AUTHZ_DATA_DIR",
        default_value = "./octavia-authz-data"
    )]
    pub data_dir: PathBuf,

    /// The pepper that `serve` will be given; must be the one that the keys need
    /// [default: none]
    #[arg(long, value_name = "FILE", env = "OCTAVIA_AUTHZ_PEPPER_FILE")]
    pub pepper_file: Option<PathBuf>,

    /// Only check the backup; nothing is made [default: restore it]
    #[arg(long)]
    pub check: bool,

    /// Print as FORMAT: `table` for people, `json` for programs
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "table",
        hide_possible_values = true
    )]
    pub output: Format,
}

/// Restores a backup, or checks it.
///
/// # Errors
/// The backup is not whole or needs another pepper, or the directory cannot be made.
pub fn run(args: RestoreArgs) -> anyhow::Result<()> {
    let pepper = args.pepper_file.as_deref().map(Pepper::read).transpose();
    let pepper = pepper.map_err(|error| BadUsage(error.into()))?.map(|pepper| pepper.id());
    let info = if args.check { check(&args, pepper) } else { restore(&args, pepper) }?;
    let shown = Info::new(&args.file, &info);
    if args.output == Format::Json {
        return output::print_json(&shown);
    }
    let end = match args.check {
        true => "the backup is whole".to_owned(),
        false => format!("restored into `{}`", args.data_dir.display()),
    };
    output::print_text(&format!("{}\n{end}", shown.table()))
}

fn check(args: &RestoreArgs, pepper: Option<PepperId>) -> anyhow::Result<BackupInfo> {
    let file = File::open(&args.file);
    let file = file.with_context(|| format!("cannot open `{}`", args.file.display()))?;
    let total = size(args);
    let progress = Progress::bytes("checking", Some(total));
    let info = store::check_backup(file, &args.file, &mut |read| progress.show(read, total))?;
    // Without a pepper file only the backup is asked about.
    if args.pepper_file.is_some() {
        info.check_pepper(pepper).map_err(|error| BadUsage(error.into()))?;
    }
    Ok(info)
}

fn restore(args: &RestoreArgs, pepper: Option<PepperId>) -> anyhow::Result<BackupInfo> {
    let total = size(args);
    let progress = Progress::bytes("restoring", Some(total));
    let restore = Restore { file: &args.file, dir: &args.data_dir, pepper };
    // What happened since the backup is not known: so use is known since now.
    let now = Clock::System.now();
    let mut usage = |dir: &Path, copy: UsageCopy| {
        Usage::restore(&dir.join("usage"), now, copy.keys).map(drop).map_err(io::Error::other)
    };
    let restored = store::restore(&restore, &mut usage, &mut |read| progress.show(read, total));
    restored.map_err(|error| match error {
        RestoreError::NotEmpty(_)
        | RestoreError::MountPoint(_)
        | RestoreError::Backup(BackupError::Pepper { .. }) => BadUsage(error.into()).into(),
        error => error.into(),
    })
}

/// How long the file is; 0 where that cannot be found out, as of a pipe.
fn size(args: &RestoreArgs) -> u64 {
    args.file.metadata().map_or(0, |found| found.len())
}
