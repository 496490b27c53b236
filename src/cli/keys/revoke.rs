//! `keys revoke`: deletes keys for good. One key goes here, several in `many`.
//!
//! INVARIANT: nothing is revoked that was not confirmed: by its name, or of
//! several by their number, typed on a terminal; or by `--yes`. Called by `keys`.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use super::{
    super::{
        Outcome, bad_usage,
        client::{AdminArgs, block_on},
        output::{self, Format, plain},
    },
    connect, get,
    key_id::KeyIdParser,
    present, show,
};
use crate::pb::v1;

pub(super) mod id_list;
pub(super) mod many;

/// Shown at the end of the command's help.
pub const EXAMPLES: &str = "\
This cannot be undone. To switch a key off for a while, use `keys disable`.
Several keys are revoked each for itself: one that cannot be revoked does not
keep the others, and makes the exit code 1.

Examples:
  octavia-authz keys revoke Yt5Bq0cVn2 --yes
  octavia-authz keys revoke Yt5Bq0cVn2 hP3kQ9sLw1 --dry-run
  octavia-authz keys list --unused-for 90d -o json | jq -r '.api_keys[].id' |
    octavia-authz keys revoke --ids-from - --dry-run";

/// Which keys to revoke.
#[derive(Debug, clap::Args)]
pub struct RevokeArgs {
    /// The ids of the keys: the 10 characters after `octv_` in their texts
    #[arg(value_name = "ID", value_parser = KeyIdParser, required_unless_present = "ids_from")]
    pub ids: Vec<String>,

    /// Revoke the keys whose ids stand in FILE as well, one a line; `-` for
    /// standard input [default: only those given]
    #[arg(long, value_name = "FILE")]
    pub ids_from: Option<PathBuf>,

    /// Check everything and show what would be revoked; revoke nothing [default:
    /// revoke]
    #[arg(long)]
    pub dry_run: bool,

    /// Revoke without asking; needed where standard input is not a terminal
    /// [default: ask for the key's name, or for the number of several keys]
    #[arg(long)]
    pub yes: bool,
}

/// Revokes the keys.
pub(super) fn run(args: RevokeArgs, admin: &AdminArgs) -> anyhow::Result<Outcome> {
    let asks = !args.yes && !args.dry_run;
    if asks && args.ids_from.as_deref() == Some(Path::new("-")) {
        return Err(bad_usage!(
            "standard input holds the ids, so nobody can be asked; pass --yes to revoke without \
             asking, or --dry-run"
        ));
    }
    if asks && !io::stdin().is_terminal() {
        return Err(bad_usage!(
            "standard input is not a terminal, so nobody can be asked; pass --yes to revoke \
             without asking"
        ));
    }
    let listed = args.ids_from.as_deref().map(id_list::read).transpose()?;
    match (args.ids.as_slice(), listed) {
        ([id], None) if !args.dry_run => one(id, asks, admin),
        (_, listed) => {
            let ids = id_list::distinct([args.ids, listed.unwrap_or_default()].concat());
            many::run(&ids, args.dry_run, asks, admin)
        }
    }
}

fn one(id: &str, asks: bool, admin: &AdminArgs) -> anyhow::Result<Outcome> {
    block_on(async {
        let (connection, mut keys) = connect(admin).await?;
        let etag = if asks {
            let key = get(&connection, &mut keys, id.to_owned()).await?;
            confirm(&question(&key), |typed| confirms(typed, &key.name), "the key's name")?;
            // What was confirmed is what is revoked.
            key.etag
        } else {
            String::new()
        };
        let request = connection.request(v1::RevokeApiKeyRequest { id: id.to_owned(), etag });
        let reply = connection.change(keys.revoke_api_key(request)).await?;
        let key = present(reply.api_key)?;
        match admin.call.output {
            Format::Table => output::print_text(&format!(
                "revoked key `{}` ({})",
                plain(&key.name),
                plain(&key.id)
            ))?,
            Format::Json => show::key(&key, Format::Json)?,
        }
        Ok(Outcome::Done)
    })
}

/// Asks on the terminal, and fails unless what is typed agrees.
fn confirm(question: &str, agrees: impl Fn(&str) -> bool, wanted: &str) -> anyhow::Result<()> {
    // Standard output is for the answer, and may be a file.
    let mut stderr = io::stderr().lock();
    let asked = stderr.write_all(question.as_bytes());
    asked.and_then(|()| stderr.flush()).context("cannot ask for the confirmation")?;
    let mut typed = String::new();
    let read = io::stdin().lock().read_line(&mut typed);
    read.context("cannot read the confirmation")?;
    if !agrees(&typed) {
        bail!("not revoked: what was typed is not {wanted}");
    }
    Ok(())
}

pub(super) fn question(key: &v1::ApiKey) -> String {
    format!(
        "revoke key `{}` ({}), role {}? This cannot be undone. Type the key's name to confirm: ",
        plain(&key.name),
        plain(&key.id),
        plain(&key.role)
    )
}

/// Whether the line typed is the name, as it is or as it was shown.
pub(super) fn confirms(typed: &str, name: &str) -> bool {
    let typed = typed.trim();
    !typed.is_empty() && (typed == name.trim() || typed == plain(name).trim())
}
