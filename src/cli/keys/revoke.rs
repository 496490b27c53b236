//! `keys revoke`: deletes a key for good.
//!
//! INVARIANT: nothing is revoked that was not confirmed: by its name, typed on
//! a terminal, or by `--yes`. Called by `keys`.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Context as _, bail};

use super::{
    super::{
        bad_usage,
        client::{AdminArgs, block_on},
        output::{self, Format, plain},
    },
    connect, get,
    key_id::KeyIdParser,
    present, show,
};
use crate::pb::v1;

/// Shown at the end of the command's help.
pub const EXAMPLES: &str = "\
This cannot be undone. To switch a key off for a while, use `keys disable`.

Example:
  octavia-authz keys revoke Yt5Bq0cVn2 --yes";

/// Which key to revoke.
#[derive(Debug, clap::Args)]
pub struct RevokeArgs {
    /// The key's id: the 10 characters after `octv_` in its text
    #[arg(value_name = "ID", value_parser = KeyIdParser)]
    pub id: String,

    /// Revoke without asking; needed where standard input is not a terminal
    /// [default: ask for the key's name]
    #[arg(long)]
    pub yes: bool,
}

/// Revokes the key.
pub(super) fn run(args: RevokeArgs, admin: &AdminArgs) -> anyhow::Result<()> {
    if !args.yes && !io::stdin().is_terminal() {
        return Err(bad_usage!(
            "standard input is not a terminal, so nobody can be asked; pass --yes to revoke \
             without asking"
        ));
    }
    block_on(async {
        let (connection, mut keys) = connect(admin).await?;
        let etag = if args.yes {
            String::new()
        } else {
            let key = get(&connection, &mut keys, args.id.clone()).await?;
            confirm(&key)?;
            // What was confirmed is what is revoked.
            key.etag
        };
        let request = connection.request(v1::RevokeApiKeyRequest { id: args.id, etag });
        let reply = connection.change(keys.revoke_api_key(request)).await?;
        let key = present(reply.api_key)?;
        match admin.call.output {
            Format::Table => output::print_text(&format!(
                "revoked key `{}` ({})",
                plain(&key.name),
                plain(&key.id)
            )),
            Format::Json => show::key(&key, Format::Json),
        }
    })
}

fn confirm(key: &v1::ApiKey) -> anyhow::Result<()> {
    // Standard output is for the answer, and may be a file.
    let mut stderr = io::stderr().lock();
    let asked = stderr.write_all(question(key).as_bytes());
    asked.and_then(|()| stderr.flush()).context("cannot ask for the confirmation")?;
    let mut typed = String::new();
    let read = io::stdin().lock().read_line(&mut typed);
    read.context("cannot read the confirmation")?;
    if !confirms(&typed, &key.name) {
        bail!("not revoked: what was typed is not the key's name");
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
