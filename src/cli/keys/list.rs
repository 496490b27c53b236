//! `keys list`: follows the pages until there are no more, or enough. Called by
//! `keys`.

use std::time::Duration;

use anyhow::bail;
use jiff::Timestamp;

use super::{
    super::{
        client::{AdminArgs, block_on},
        named::{Named, distinct},
        output::{self, Format, counted, json, plain},
        time::{length_to_wire, parse_length},
    },
    connect, show,
};
use crate::pb::v1;
use order::Order;

pub mod order;

/// Shown at the end of the command's help.
pub const EXAMPLES: &str = "\
Examples:
  octavia-authz keys list
  octavia-authz keys list --team web --role admin --role super_admin
  octavia-authz keys list --order-by last_used_time --unused-for 90d
  octavia-authz keys list --expires-within 2w --order-by expire_time
  octavia-authz keys list --lifetime --label env=prod
  octavia-authz keys list --status inactive -o json | jq -r '.api_keys[].id'

LAST USED says `never` of a key that was not used since it is here, and `not
since` a day where its use is known from that day on only.";

/// Which keys to list, and how many.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// List only the keys of TEAM [default: all that the caller may see]
    #[arg(long)]
    pub team: Option<String>,

    /// List only the keys for SERVICE [default: all]
    #[arg(long)]
    pub service: Option<String>,

    /// List only keys of ROLE; repeatable: any of them [default: all]
    #[arg(long = "role", value_name = "ROLE")]
    pub roles: Vec<String>,

    /// List only keys that are switched on, `active`, or off, `inactive`
    /// [default: both]
    #[arg(long, value_enum, hide_possible_values = true)]
    pub status: Option<Status>,

    /// List only keys whose name contains TEXT, in any case of letters
    /// [default: all]
    #[arg(long, value_name = "TEXT")]
    pub name_contains: Option<String>,

    /// List only keys not used for at least DURATION: `12h`, `90d` or `2w`; only
    /// time counts since which use is known, so not before a key is here, nor
    /// before a restore [default: all]
    #[arg(long, value_name = "DURATION", value_parser = parse_length)]
    pub unused_for: Option<Duration>,

    /// List only keys of which no last use is known: those of which LAST USED says
    /// `never` or `not since` [default: all]
    #[arg(long)]
    pub never_used: bool,

    /// List only keys that expire within DURATION from now: `12h`, `90d` or `2w`;
    /// leaves out what has expired [default: all]
    #[arg(long, value_name = "DURATION", value_parser = parse_length)]
    pub expires_within: Option<Duration>,

    /// List only keys that have expired [default: all]
    #[arg(long, conflicts_with = "not_expired")]
    pub expired: bool,

    /// List only keys that have not expired [default: all]
    #[arg(long)]
    pub not_expired: bool,

    /// List only keys that never expire [default: all]
    #[arg(long, conflicts_with = "no_lifetime")]
    pub lifetime: bool,

    /// List only keys that expire, or have [default: all]
    #[arg(long)]
    pub no_lifetime: bool,

    /// List only keys with this label; repeatable: all of them [default: all]
    #[arg(long = "label", value_name = "NAME=VALUE")]
    pub labels: Vec<Named>,

    /// Order by FIELD: `id`, `name`, `create_time`, `update_time`,
    /// `expire_time` (lifetime last) or `last_used_time` (not used first);
    /// `FIELD desc` for the reverse [default: id]
    #[arg(long, value_name = "FIELD")]
    pub order_by: Option<Order>,

    /// Reverse the order [default: as --order-by says]
    #[arg(long)]
    pub desc: bool,

    /// Stop after N keys [default: list all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,

    /// Fetch N keys with a call, at most 1000
    #[arg(long, value_name = "N", default_value_t = 500,
        value_parser = clap::value_parser!(i32).range(1..=1000))]
    pub page_size: i32,

    /// Start at the page that TOKEN stands for, as an earlier list that was
    /// limited gave it [default: the first page]
    #[arg(long, value_name = "TOKEN")]
    pub page_token: Option<String>,
}

/// Switched on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Status {
    /// Switched on.
    Active,
    /// Switched off.
    Inactive,
}

/// What the pages gave.
struct Listed {
    keys: Vec<v1::ApiKey>,
    total: i64,
    next: String,
}

/// Lists the keys.
pub(super) fn run(args: ListArgs, admin: &AdminArgs) -> anyhow::Result<()> {
    let listed = block_on(fetch(args, admin))?;
    match admin.call.output {
        Format::Table => output::print_text(&render(&listed, Timestamp::now())),
        Format::Json => output::print_json(&json::ManyKeys {
            api_keys: listed.keys.iter().map(json::ApiKey::from).collect(),
            total_size: listed.total,
            next_page_token: &listed.next,
        }),
    }
}

async fn fetch(args: ListArgs, admin: &AdminArgs) -> anyhow::Result<Listed> {
    let limit = args.limit.unwrap_or(u64::MAX);
    let first = request(args)?;
    let (connection, mut keys) = connect(admin).await?;
    let mut page_token = first.page_token.clone();
    let mut listed = Vec::new();
    loop {
        let missing = limit.saturating_sub(listed.len() as u64);
        let request = connection.request(v1::ListApiKeysRequest {
            page_size: first.page_size.min(i32::try_from(missing).unwrap_or(i32::MAX)),
            page_token: page_token.clone(),
            ..first.clone()
        });
        let page = connection.ask(keys.list_api_keys(request)).await?;
        listed.extend(page.api_keys);
        let next = page.next_page_token;
        if next.is_empty() || listed.len() as u64 >= limit {
            return Ok(Listed { keys: listed, total: page.total_size, next });
        }
        if next == page_token {
            bail!("the sidecar gives the same page again and again; is it of another version?");
        }
        page_token = next;
    }
}

/// The wire's request for the first page.
pub(super) fn request(args: ListArgs) -> anyhow::Result<v1::ListApiKeysRequest> {
    let status = match args.status {
        None => v1::KeyStatus::Unspecified,
        Some(Status::Active) => v1::KeyStatus::Active,
        Some(Status::Inactive) => v1::KeyStatus::Inactive,
    };
    let either = |yes: bool, no: bool| (yes || no).then_some(yes);
    let filter = v1::KeyFilter {
        team: args.team.unwrap_or_default(),
        service: args.service.unwrap_or_default(),
        roles: args.roles,
        status: status.into(),
        name_contains: args.name_contains.unwrap_or_default(),
        unused_for: args.unused_for.map(length_to_wire),
        expires_within: args.expires_within.map(length_to_wire),
        expired: either(args.expired, args.not_expired),
        lifetime: either(args.lifetime, args.no_lifetime),
        labels: distinct("label", args.labels)?,
        never_used: args.never_used.then_some(true),
    };
    Ok(v1::ListApiKeysRequest {
        page_size: args.page_size,
        page_token: args.page_token.unwrap_or_default(),
        order_by: Order::on_wire(args.order_by, args.desc),
        filter: Some(filter),
    })
}

fn render(listed: &Listed, now: Timestamp) -> String {
    let shown = listed.keys.len() as u64;
    let total = u64::try_from(listed.total).unwrap_or(shown).max(shown);
    let mut summary = match shown == total {
        true => counted(total, "key"),
        false => format!("{shown} of {}", counted(total, "key")),
    };
    if !listed.next.is_empty() {
        let next = plain(&listed.next);
        summary.push_str(&format!("; list on with `--page-token {next}`"));
    }
    match listed.keys.is_empty() {
        true => summary,
        false => format!("{}\n\n{summary}", show::rows(&listed.keys, now)),
    }
}
