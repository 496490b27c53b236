//! `octavia-authz status`: what the sidecar runs, and on what data. Called by
//! `cli::run`.

use jiff::Timestamp;

use super::{
    client::{AdminArgs, Connection, block_on},
    output::{self, Format, Grid, json},
    time::stamp_and_distance,
};
use crate::pb::v1::{self, maintenance_service_client::MaintenanceServiceClient};

const EXAMPLES: &str = "\
Equal policy digests mean equal policies, equal state digests equal keys.

Example:
  octavia-authz status -o json | jq .revision";

/// Whose status to show.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct StatusArgs {
    /// How to call the admin API; needs the operator token.
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// Shows the status.
///
/// # Errors
/// The call failed.
pub fn run(args: StatusArgs) -> anyhow::Result<()> {
    let status = block_on(async {
        let connection = Connection::to_admin(&args.admin).await?;
        let mut maintenance = MaintenanceServiceClient::new(connection.channel());
        let request = connection.request(v1::GetStatusRequest {});
        connection.ask(maintenance.get_status(request)).await
    })?;
    match args.admin.call.output {
        Format::Table => output::print_text(&table(status, Timestamp::now())),
        Format::Json => output::print_json(&json::Status::from(&status)),
    }
}

pub(crate) fn table(status: v1::GetStatusResponse, now: Timestamp) -> String {
    let time = |time: Option<&prost_types::Timestamp>| {
        time.map(|time| stamp_and_distance(time, now)).unwrap_or_default()
    };
    let pepper = if status.pepper.is_empty() { "none".to_owned() } else { status.pepper };
    let oldest = match status.oldest_audit_sequence {
        0 => "no events".to_owned(),
        oldest => format!("event {oldest}"),
    };
    Grid::pairs([
        ("version", status.version),
        ("started", time(status.start_time.as_ref())),
        ("store", status.store),
        ("data", status.data_dir),
        ("revision", status.revision.to_string()),
        ("keys", status.key_count.to_string()),
        ("cached keys", status.cached_keys.to_string()),
        ("policy digest", status.policy_digest),
        ("state digest", status.state_digest),
        ("journal head", status.journal_head),
        ("audit log from", oldest),
        ("use known since", time(status.usage_since_time.as_ref())),
        ("pepper", pepper),
        ("outdated digests", status.outdated_digest_count.to_string()),
    ])
    .render()
}
