//! `keys rotate`: a new secret for a key, its text shown once. Called by `keys`.

use std::path::PathBuf;

use super::{
    super::client::{AdminArgs, block_on},
    connect,
    key_file::KeyFile,
    key_id::KeyIdParser,
    present,
    show::{self, Fresh},
};
use crate::pb::v1;

/// Shown at the end of the command's help.
pub const EXAMPLES: &str = "\
The key keeps its id, role and everything else. The old text is refused from
the moment that the new one is shown.

Example:
  octavia-authz keys rotate Yt5Bq0cVn2 --key-out website.key";

/// Which key to give a new secret.
#[derive(Debug, clap::Args)]
pub struct RotateArgs {
    /// The key's id: the 10 characters after `octv_` in its text
    #[arg(value_name = "ID", value_parser = KeyIdParser)]
    pub id: String,

    /// Write the new text to FILE, which must not exist yet, with mode 0600,
    /// instead of printing it [default: print it]
    #[arg(long, value_name = "FILE")]
    pub key_out: Option<PathBuf>,
}

/// Rotates the key.
pub(super) fn run(args: RotateArgs, admin: &AdminArgs) -> anyhow::Result<()> {
    block_on(async {
        let (connection, mut keys) = connect(admin).await?;
        // Before the call: the old text is gone once it is answered.
        let file = args.key_out.map(KeyFile::create).transpose()?;
        let request = connection.request(v1::RotateApiKeyRequest {
            id: args.id,
            etag: String::new(),
            overlap: None,
        });
        let reply = connection.change(keys.rotate_api_key(request)).await?;
        let fresh = Fresh {
            key: present(reply.api_key)?,
            text: reply.key.into(),
            notice: "The key's new text, shown this once and stored nowhere; the old one is \
                     refused from now on. Keep it secret:",
        };
        show::fresh(fresh, file, admin.call.output)
    })
}
