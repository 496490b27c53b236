//! `keys update`, `enable` and `disable`: change the fields that are given, and
//! no other. Called by `keys`.

use jiff::Timestamp;
use prost_types::FieldMask;

use super::{
    super::{
        bad_usage,
        client::{AdminArgs, block_on},
        named::{Named, distinct},
        output::{self, Format, json},
        time::parse_expiration,
    },
    changes, connect, get,
    key_id::KeyIdParser,
    present, show,
};
use crate::pb::v1;

/// Shown at the end of the command's help.
pub const EXAMPLES: &str = "\
Examples:
  octavia-authz keys update Yt5Bq0cVn2 --role editor --expires 2027-01-31
  octavia-authz keys update Yt5Bq0cVn2 --role writer --dry-run
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
    #[arg(long, value_name = "WHEN", value_parser = parse_expiration)]
    pub expires: Option<String>,

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

    /// Check everything and show what would change, the actions gained (`+`),
    /// lost (`-`) and held on other conditions (`~`); change nothing [default:
    /// change it]
    #[arg(long)]
    pub dry_run: bool,
}

/// Which key to switch.
#[derive(Debug, clap::Args)]
pub struct SwitchArgs {
    /// The key's id: the 10 characters after `octv_` in its text
    #[arg(value_name = "ID", value_parser = KeyIdParser)]
    pub id: String,
}

/// Changes the key, or shows what that would do.
pub(super) fn run(args: UpdateArgs, admin: &AdminArgs) -> anyhow::Result<()> {
    let request = request(args)?;
    if request.dry_run {
        return dry_run(request, admin);
    }
    let paths = request.update_mask.as_ref().map(|mask| mask.paths.as_slice()).unwrap_or_default();
    let of_rights = paths.iter().any(|path| path == "role" || path == "grants");
    block_on(async {
        let reply = send(request, admin).await?;
        let key = present(reply.api_key)?;
        match admin.call.output {
            Format::Table if of_rights => output::print_text(&format!(
                "{}\n\n{}",
                show::table(&key, Timestamp::now()),
                changes::rights_in_words(&reply.right_changes, false)
            )),
            Format::Table => show::key(&key, Format::Table),
            Format::Json => output::print_json(&json::Updated {
                api_key: (&key).into(),
                right_changes: reply.right_changes.iter().map(json::RightChange::from).collect(),
                dry_run: false,
                field_changes: None,
            }),
        }
    })
}

fn dry_run(mut request: v1::UpdateApiKeyRequest, admin: &AdminArgs) -> anyhow::Result<()> {
    block_on(async {
        let (connection, mut keys) = connect(admin).await?;
        let before = get(&connection, &mut keys, request.id.clone()).await?;
        if request.etag.is_empty() {
            // What is compared has to be what the sidecar compares with.
            request.etag.clone_from(&before.etag);
        }
        let request = connection.request(request);
        let reply = connection.ask(keys.update_api_key(request)).await?;
        let after = present(reply.api_key)?;
        let fields = changes::of_fields(&before, &after)?;
        match admin.call.output {
            Format::Table => output::print_text(&format!(
                "key `{}` ({}) {}\n\n{}\n\nNothing was changed; run it again without \
                 --dry-run to do it.",
                output::plain(&before.name),
                output::plain(&before.id),
                changes::fields_in_words(&fields),
                changes::rights_in_words(&reply.right_changes, true)
            )),
            Format::Json => output::print_json(&json::Updated {
                api_key: (&after).into(),
                right_changes: reply.right_changes.iter().map(json::RightChange::from).collect(),
                dry_run: true,
                field_changes: Some(fields),
            }),
        }
    })
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
    block_on(async {
        let reply = send(request, admin).await?;
        show::key(&present(reply.api_key)?, admin.call.output)
    })
}

async fn send(
    request: v1::UpdateApiKeyRequest,
    admin: &AdminArgs,
) -> anyhow::Result<v1::UpdateApiKeyResponse> {
    let (connection, mut keys) = connect(admin).await?;
    let request = connection.request(request);
    connection.change(keys.update_api_key(request)).await
}

/// The wire's request: the mask names what was given.
pub(super) fn request(args: UpdateArgs) -> anyhow::Result<v1::UpdateApiKeyRequest> {
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
    if args.expires.is_some() {
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
        expiration: args.expires.unwrap_or_default(),
        dry_run: args.dry_run,
    })
}

fn mask<'a>(paths: impl IntoIterator<Item = &'a str>) -> FieldMask {
    FieldMask { paths: paths.into_iter().map(str::to_owned).collect() }
}
