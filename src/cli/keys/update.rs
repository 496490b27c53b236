//! `keys update`, `enable` and `disable`: change the fields that are given, and
//! no other. Called by `keys`.

use jiff::Timestamp;
use prost_types::FieldMask;

use super::{
    super::{
        bad_usage,
        client::{AdminArgs, block_on},
        named::{Named, distinct},
        time::When,
    },
    connect,
    key_id::KeyIdParser,
    present, show,
};
use crate::pb::v1;

/// Shown at the end of the command's help.
pub const EXAMPLES: &str = "\
Examples:
  octavia-authz keys update Yt5Bq0cVn2 --role editor --expires 2027-01-31
  octavia-authz keys update Yt5Bq0cVn2 --expires lifetime
  octavia-authz keys update Yt5Bq0cVn2 --label env=prod --label owner=web";

/// What to change.
#[derive(Debug, clap::Args)]
pub struct UpdateArgs {
    /// The key's id: the 10 characters after `octv_` in its text
    #[arg(value_name = "ID", value_parser = KeyIdParser)]
    pub id: String,

    /// Rename the key to NAME [default: unchanged]
    #[arg(long)]
    pub name: Option<String>,

    /// Give the key ROLE instead [default: unchanged]
    #[arg(long)]
    pub role: Option<String>,

    /// Grant ACTION beside what the role allows; repeatable, and all that are
    /// given replace all that the key had [default: unchanged]
    #[arg(long = "grant", value_name = "ACTION")]
    pub grants: Vec<String>,

    /// Take all grants away [default: unchanged]
    #[arg(long, conflicts_with = "grants")]
    pub no_grants: bool,

    /// Let the key expire WHEN: an instant `2027-01-31T12:00:00Z`, a date
    /// `2027-01-31` (valid through that day, UTC), a duration `30m`, `12h`,
    /// `90d` or `2w` from now, or `lifetime` for never [default: unchanged]
    #[arg(long, value_name = "WHEN")]
    pub expires: Option<When>,

    /// Make SUBJECT the owner of what the key creates; empty makes it the key's
    /// id [default: unchanged]
    #[arg(long)]
    pub subject: Option<String>,

    /// Describe the key; empty takes the description away [default: unchanged]
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,

    /// Attach a label; repeatable, and all that are given replace all that the
    /// key had [default: unchanged]
    #[arg(long = "label", value_name = "NAME=VALUE")]
    pub labels: Vec<Named>,

    /// Take all labels away [default: unchanged]
    #[arg(long, conflicts_with = "labels")]
    pub no_labels: bool,

    /// Change nothing unless the key's etag is still ETAG, as `keys get` shows
    /// it [default: change whatever it is]
    #[arg(long, value_name = "ETAG")]
    pub if_etag: Option<String>,
}

/// Which key to switch.
#[derive(Debug, clap::Args)]
pub struct SwitchArgs {
    /// The key's id: the 10 characters after `octv_` in its text
    #[arg(value_name = "ID", value_parser = KeyIdParser)]
    pub id: String,
}

/// Changes the key.
pub(super) fn run(args: UpdateArgs, admin: &AdminArgs) -> anyhow::Result<()> {
    send(request(args, Timestamp::now())?, admin)
}

/// Switches the key on or off.
pub(super) fn switch(
    args: SwitchArgs,
    status: v1::KeyStatus,
    admin: &AdminArgs,
) -> anyhow::Result<()> {
    let mut changes = v1::ApiKey::default();
    changes.set_status(status);
    let request = v1::UpdateApiKeyRequest {
        id: args.id,
        api_key: Some(changes),
        update_mask: Some(mask(["status"])),
        ..Default::default()
    };
    send(request, admin)
}

fn send(request: v1::UpdateApiKeyRequest, admin: &AdminArgs) -> anyhow::Result<()> {
    block_on(async {
        let (connection, mut keys) = connect(admin).await?;
        let request = connection.request(request);
        let reply = connection.change(keys.update_api_key(request)).await?;
        show::key(&present(reply.api_key)?, admin.call.output)
    })
}

/// The wire's request: the mask names what was given.
pub(super) fn request(args: UpdateArgs, now: Timestamp) -> anyhow::Result<v1::UpdateApiKeyRequest> {
    let mut changes = v1::ApiKey::default();
    let mut paths = Vec::new();
    let mut text = |path: &'static str, field: &mut String, given: Option<String>| {
        if let Some(given) = given {
            *field = given;
            paths.push(path);
        }
    };
    text("name", &mut changes.name, args.name);
    text("role", &mut changes.role, args.role);
    text("subject", &mut changes.subject, args.subject);
    text("description", &mut changes.description, args.description);
    if args.no_grants || !args.grants.is_empty() {
        changes.grants = args.grants;
        paths.push("grants");
    }
    if args.no_labels || !args.labels.is_empty() {
        changes.labels = distinct("label", args.labels)?;
        paths.push("labels");
    }
    if let Some(expires) = args.expires {
        changes.expire_time = expires.expire_time(now)?;
        paths.push("expire_time");
    }
    if paths.is_empty() {
        return Err(bad_usage!(
            "nothing to change: pass what to change, such as `--role editor` (see \
             `octavia-authz keys update --help`)"
        ));
    }
    Ok(v1::UpdateApiKeyRequest {
        id: args.id,
        api_key: Some(changes),
        update_mask: Some(mask(paths)),
        etag: args.if_etag.unwrap_or_default(),
        ..Default::default()
    })
}

fn mask<'a>(paths: impl IntoIterator<Item = &'a str>) -> FieldMask {
    FieldMask { paths: paths.into_iter().map(str::to_owned).collect() }
}
