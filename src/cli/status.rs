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
    let started = status.start_time.as_ref();
    Grid::pairs([
        ("version", status.version),
        ("started", started.map(|time| stamp_and_distance(time, now)).unwrap_or_default()),
        ("store", status.store),
        ("data", status.data_dir),
        ("revision", status.revision.to_string()),
        ("keys", status.key_count.to_string()),
        ("cached keys", status.cached_keys.to_string()),
        ("policy digest", status.policy_digest),
        ("state digest", status.state_digest),
        ("journal head", status.journal_head),
    ])
    .render()
}
