//! `audit list`: follows the pages until there are no more, or enough. Called by
//! `audit`.

use anyhow::bail;
use jiff::Timestamp;

use super::{
    super::{
        client::{AdminArgs, block_on},
        output::{self, Format, counted, json, plain},
    },
    connect,
    filter::FilterArgs,
    show,
};
use crate::pb::v1;

/// Shown at the end of the command's help.
pub const EXAMPLES: &str = "\
Examples:
  octavia-authz audit list --limit 20
  octavia-authz audit list --key Yt5Bq0cVn2 --oldest-first
  octavia-authz audit list --kind create,revoke --from 7d
  octavia-authz audit list --refused -o json | jq -r '.events[].actor'";

/// The most events that a call gives.
const PAGE: i32 = 1000;

/// Which events to list, and how many.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Which events.
    #[command(flatten)]
    pub filter: FilterArgs,

    /// List the oldest first [default: the newest first]
    #[arg(long)]
    pub oldest_first: bool,

    /// Stop after N events [default: list all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,

    /// Go on at the page that TOKEN stands for, as an earlier list that was
    /// limited gave it [default: the first page]
    #[arg(long, value_name = "TOKEN")]
    pub page_token: Option<String>,
}

/// What the pages gave.
struct Listed {
    events: Vec<v1::AuditEvent>,
    next: String,
}

/// Lists the events.
pub(super) fn run(args: ListArgs, admin: &AdminArgs) -> anyhow::Result<()> {
    let listed = block_on(fetch(args, admin))?;
    match admin.call.output {
        Format::Table => output::print_text(&render(&listed)),
        Format::Json => output::print_json(&json::audit::ManyEvents {
            events: listed.events.iter().map(json::audit::Event::from).collect(),
            next_page_token: &listed.next,
        }),
    }
}

async fn fetch(args: ListArgs, admin: &AdminArgs) -> anyhow::Result<Listed> {
    let filter = args.filter.to_wire(Timestamp::now())?;
    let (connection, mut audit) = connect(admin).await?;
    let limit = args.limit.unwrap_or(u64::MAX);
    let mut page_token = args.page_token.unwrap_or_default();
    let mut events = Vec::new();
    loop {
        let missing = limit.saturating_sub(events.len() as u64);
        let request = connection.request(v1::ListAuditEventsRequest {
            page_size: PAGE.min(i32::try_from(missing).unwrap_or(i32::MAX)),
            page_token: page_token.clone(),
            filter: Some(filter.clone()),
            oldest_first: args.oldest_first,
        });
        let page = connection.ask(audit.list_audit_events(request)).await?;
        events.extend(page.events);
        let next = page.next_page_token;
        if next.is_empty() || events.len() as u64 >= limit {
            return Ok(Listed { events, next });
        }
        if next == page_token {
            bail!("the sidecar gives the same page again and again; is it of another version?");
        }
        page_token = next;
    }
}

fn render(listed: &Listed) -> String {
    let mut summary = counted(listed.events.len() as u64, "event");
    if !listed.next.is_empty() {
        let next = plain(&listed.next);
        summary.push_str(&format!("; list on with `--page-token {next}`"));
    }
    match listed.events.is_empty() {
        true => summary,
        false => format!("{}\n\n{summary}", show::rows(&listed.events)),
    }
}
