//! The command line: what can be typed, and which module does it.
//!
//! Parsing (`Cli`) is separate from running (`run`); only `cli` and below know
//! of exit codes. `main` calls both.

use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, error::ErrorKind};
use clap_complete::Shell;

pub mod audit;
pub mod backup;
pub mod check;
pub mod client;
pub mod health;
pub mod keys;
pub mod named;
pub mod output;
pub(crate) mod progress;
pub mod repair;
pub mod restore;
pub mod roles;
pub mod secret;
pub mod serve;
pub mod status;
pub mod time;

#[cfg(test)]
mod tests;

/// Shown at the end of the program's help.
const EXAMPLES: &str = "\
Without a command, `serve` runs: `octavia-authz --workers 4` is
`octavia-authz serve --workers 4`.

Examples:
  octavia-authz                                        run the sidecar
  octavia-authz keys create --name web --role read_only
  octavia-authz check articles.read --state published --key-file web.key

Exit codes: 0 done, 1 failed, 2 bad usage or configuration, 3 `check` or
`keys simulate` denied.";

/// Decide, for every request of a CMS microservice: may this API key do this?
#[derive(Debug, Parser)]
#[command(name = "octavia-authz", version, after_help = EXAMPLES,
    override_usage = "octavia-authz [COMMAND] [OPTIONS]")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the sidecar (the default command)
    Serve(serve::ServeArgs),
    /// Create, import, list, change, rotate and revoke API keys
    Keys(keys::KeysArgs),
    /// Authorize one action of an API key (exit 0 allowed, 3 denied)
    Check(check::CheckArgs),
    /// Show who changed which key, and check that the log was not changed
    Audit(audit::AuditArgs),
    /// Show the roles and what they may do
    Roles(roles::RolesArgs),
    /// Show what the sidecar runs, and on what data
    Status(status::StatusArgs),
    /// Ask the sidecar whether it serves (exit 0 serving, 1 not)
    Health(health::HealthArgs),
    /// Write all keys, the audit log and use of a running sidecar into one file
    Backup(backup::BackupArgs),
    /// Make a data directory of a backup, or check the backup
    Restore(restore::RestoreArgs),
    /// Repair a damaged data directory
    Repair(repair::RepairArgs),
    /// Print the completion script of a shell
    #[command(after_help = "Example:\n  octavia-authz completions bash \
        > ~/.local/share/bash-completion/completions/octavia-authz")]
    Completions {
        /// Complete for this shell
        shell: Shell,
    },
}

impl Cli {
    /// Parses a command line, the program's name first. `serve` is put in where
    /// the first argument is missing or one of its flags.
    ///
    /// # Errors
    /// What clap has to say: a usage error (exit code 2), help or version (0).
    pub fn from_args(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
        let mut args: Vec<OsString> = args.into_iter().collect();
        // Not clap's optional subcommand beside flattened flags: then every
        // command would choke on a bad OCTAVIA_AUTHZ_* meant for `serve`, and
        // `--help` would drown the commands in the flags of one of them.
        let serves = args.get(1).is_none_or(|first| {
            let answered_here = ["-h", "--help", "-V", "--version"];
            first.as_encoded_bytes().starts_with(b"-")
                && !answered_here.iter().any(|flag| first == flag)
        });
        if args.is_empty() {
            args.push("octavia-authz".into());
        }
        if serves {
            args.insert(1, "serve".into());
        }
        let mut command = Cli::command();
        let mut matches = command.try_get_matches_from_mut(args)?;
        if let Some(conflict) = audit::verify::conflict(&matches) {
            return Err(command.error(ErrorKind::ArgumentConflict, conflict));
        }
        Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
    }
}

/// How a command ended that did not fail to do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Exit code 0.
    Done,
    /// The answer is no, and was printed: exit code 1.
    Negative,
    /// `check` or `keys simulate` was denied: exit code 3.
    Denied,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> ExitCode {
        match outcome {
            Outcome::Done => ExitCode::SUCCESS,
            Outcome::Negative => ExitCode::FAILURE,
            Outcome::Denied => ExitCode::from(3),
        }
    }
}

/// An error that the command line or the configuration is to blame for, found
/// before anything was bound, sent or changed. Anywhere in an error's chain it
/// makes the exit code 2. It shows as the error that it wraps.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub struct BadUsage(pub anyhow::Error);

/// `anyhow!` for a [`BadUsage`].
macro_rules! bad_usage {
    ($($message:tt)*) => {
        ::anyhow::Error::new($crate::cli::BadUsage(::anyhow::anyhow!($($message)*)))
    };
}
pub(crate) use bad_usage;

/// The exit code of an error: 2 with a [`BadUsage`] in its chain, else 1.
#[must_use]
pub fn exit_code_of(error: &anyhow::Error) -> ExitCode {
    if error.chain().any(|cause| cause.is::<BadUsage>()) {
        ExitCode::from(2)
    } else {
        ExitCode::FAILURE
    }
}

/// Does what the command line says.
///
/// # Errors
/// What went wrong and what to do about it, for people; [`exit_code_of`] tells
/// its exit code.
pub fn run(cli: Cli) -> anyhow::Result<Outcome> {
    match cli.command {
        Command::Serve(args) => serve::run(args).map(|()| Outcome::Done),
        Command::Keys(args) => keys::run(args),
        Command::Check(args) => check::run(args),
        Command::Audit(args) => audit::run(args),
        Command::Roles(args) => roles::run(args).map(|()| Outcome::Done),
        Command::Status(args) => status::run(args).map(|()| Outcome::Done),
        Command::Health(args) => health::run(args),
        Command::Backup(args) => backup::run(args).map(|()| Outcome::Done),
        Command::Restore(args) => restore::run(args).map(|()| Outcome::Done),
        Command::Repair(args) => repair::run(args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            let mut command = Cli::command();
            clap_complete::generate(shell, &mut command, "octavia-authz", &mut script);
            output::print(&script).map(|()| Outcome::Done)
        }
    }
}
