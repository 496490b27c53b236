//! `octavia-authz health`: the gRPC health probe, for scripts and containers
//! without another. Called by `cli::run`.

use serde::Serialize;
use tonic::{Code, Status};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{
    Outcome,
    client::{AuthorizationArgs, Connection, block_on},
    output::{self, Format},
};

const EXAMPLES: &str = "\
Examples:
  octavia-authz health
  octavia-authz health --service octavia.authz.v1.AuthorizationService --timeout 1s

Exit codes: 0 serving, 1 not serving or not reached, 2 bad usage.";

/// Whose health to ask for.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct HealthArgs {
    /// Ask about the gRPC service NAME [default: the sidecar as a whole]
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,

    /// How to call; the admin API's address will do as well.
    #[command(flatten)]
    pub authorization: AuthorizationArgs,
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// Asks, and prints the answer.
///
/// # Errors
/// The call failed.
pub fn run(args: HealthArgs) -> anyhow::Result<Outcome> {
    let status = block_on(ask(&args))?;
    let name = status.as_str_name();
    match args.authorization.call.output {
        Format::Table => output::print_text(name)?,
        Format::Json => output::print_json(&Health { status: name })?,
    }
    Ok(match status {
        ServingStatus::Serving => Outcome::Done,
        _ => Outcome::Negative,
    })
}

async fn ask(args: &HealthArgs) -> anyhow::Result<ServingStatus> {
    let connection = Connection::to_authorization(&args.authorization).await?;
    let mut client = HealthClient::new(connection.channel());
    let request = connection
        .request(HealthCheckRequest { service: args.service.clone().unwrap_or_default() });
    // The protocol's way to say that there is no such service.
    let call = async {
        match client.check(request).await {
            Err(status) if unknown(&status) => {
                Ok(tonic::Response::new(ServingStatus::ServiceUnknown))
            }
            answer => answer.map(|reply| reply.map(|health| health.status())),
        }
    };
    connection.ask(call).await
}

fn unknown(status: &Status) -> bool {
    status.code() == Code::NotFound
}
