//! `keys create`: a new key, its text shown once. Called by `keys`.

use std::path::PathBuf;

use super::{
    super::{
        client::{AdminArgs, block_on},
        named::{Named, distinct},
        time::parse_expiration,
    },
    connect,
    key_file::KeyFile,
    present,
    show::{self, Fresh},
};
use crate::pb::v1;

/// Shown at the end of the command's help.
pub const EXAMPLES: &str = "\
Give a key the smallest role that does: see `octavia-authz roles`.

Examples:
  octavia-authz keys create --name website --role read_only
  octavia-authz keys create --name ci --role publisher --expires 90d --key-out ci.key
  octavia-authz keys create --name ops --role admin --grant billing.read --expires 2027-01-31
  octavia-authz keys create --name web --role read_only -o json | jq -r .key";

/// What the new key is to be.
#[derive(Debug, clap::Args)]
pub struct CreateArgs {
    /// Call the key NAME: 1 to 128 characters
    #[arg(long)]
    pub name: String,

    /// Give the key ROLE, one of its service's roles; for ai-cms: super_admin,
    /// admin, managing_editor, publisher, editor, writer or read_only
    #[arg(long)]
    pub role: String,

    /// Make the key good for SERVICE [default: ai-cms]
    #[arg(long)]
    pub service: Option<String>,

    /// Let the key expire WHEN: an instant `2027-01-31T12:00:00Z`, a date
    /// `2027-01-31` (valid through that day, UTC), a duration `30m`, `12h`,
    /// `90d` or `2w` from now, or `lifetime` for never [default: lifetime]
    #[arg(long, value_name = "WHEN", value_parser = parse_expiration)]
    pub expires: Option<String>,

    /// Make the key belong to TEAM [default: the caller's team; `default` for
    /// the operator token]
    #[arg(long)]
    pub team: Option<String>,

    /// Grant ACTION beside what the role allows, as far as the role takes
    /// grants; repeatable [default: none]
    #[arg(long = "grant", value_name = "ACTION")]
    pub grants: Vec<String>,

    /// Make SUBJECT the owner of what the key creates: conditions such as `own`
    /// compare it with a resource's owner [default: the key's id]
    #[arg(long)]
    pub subject: Option<String>,

    /// Describe the key in at most 1024 characters [default: empty]
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,

    /// Attach a label; repeatable, at most 64 [default: none]
    #[arg(long = "label", value_name = "NAME=VALUE")]
    pub labels: Vec<Named>,

    /// Create the key switched off; `keys enable` switches it on [default: on]
    #[arg(long)]
    pub inactive: bool,

    /// Write the key's text to FILE, which must not exist yet, with mode 0600,
    /// instead of printing it [default: print it]
    #[arg(long, value_name = "FILE")]
    pub key_out: Option<PathBuf>,
}

/// Creates the key.
pub(super) fn run(args: CreateArgs, admin: &AdminArgs) -> anyhow::Result<()> {
    let (request, key_out) = request(args)?;
    block_on(async {
        let (connection, mut keys) = connect(admin).await?;
        // Before the call: a key whose text has nowhere to go is lost.
        let file = key_out.map(KeyFile::create).transpose()?;
        let request = connection.request(request);
        let reply = connection.change(keys.create_api_key(request)).await?;
        let fresh = Fresh {
            key: present(reply.api_key)?,
            text: reply.key.into(),
            before: String::new(),
            dropped: None,
            notice: "The key's text, shown this once and stored nowhere. Keep it secret:",
        };
        show::fresh(fresh, file, admin.call.output)
    })
}

pub(super) fn request(
    args: CreateArgs,
) -> anyhow::Result<(v1::CreateApiKeyRequest, Option<PathBuf>)> {
    let status = match args.inactive {
        true => v1::KeyStatus::Inactive,
        false => v1::KeyStatus::Active,
    };
    let request = v1::CreateApiKeyRequest {
        name: args.name,
        service: args.service.unwrap_or_default(),
        role: args.role,
        expire_time: None,
        status: status.into(),
        team: args.team.unwrap_or_default(),
        grants: args.grants,
        subject: args.subject.unwrap_or_default(),
        description: args.description.unwrap_or_default(),
        labels: distinct("label", args.labels)?,
        expiration: args.expires.unwrap_or_default(),
    };
    Ok((request, args.key_out))
}
