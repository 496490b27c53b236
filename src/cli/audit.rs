//! `octavia-authz audit …`: who changed what, and whether the log is still as it
//! was written. One file a command below; what they print is in `show`. Called by
//! `cli::run`.

use super::{
    Outcome,
    client::{AdminArgs, Connection, LARGEST_REPLY},
};
use crate::pb::v1::audit_service_client::AuditServiceClient;

mod filter;
pub mod list;
mod moment;
mod show;
pub mod verify;
pub mod watch;

#[cfg(test)]
mod tests;

/// What `audit` is told.
#[derive(Debug, clap::Args)]
pub struct AuditArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: AuditCommand,
    /// How to call the admin API.
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// What can be done with the audit log.
#[derive(Debug, clap::Subcommand)]
pub enum AuditCommand {
    /// List what was changed or refused, the newest first
    #[command(after_help = list::EXAMPLES)]
    List(list::ListArgs),
    /// Show what is changed or refused as it happens, until it is stopped
    #[command(after_help = watch::EXAMPLES)]
    Watch(watch::WatchArgs),
    /// Check that nobody has changed the log (exit 0 valid, 1 broken)
    #[command(after_help = verify::EXAMPLES)]
    Verify(verify::VerifyArgs),
}

/// The client of the audit service.
type Audit = AuditServiceClient<tonic::transport::Channel>;

/// Does what the command line says.
///
/// # Errors
/// The call failed, or what was asked for cannot be done.
pub fn run(args: AuditArgs) -> anyhow::Result<Outcome> {
    let AuditArgs { command, admin } = args;
    match command {
        AuditCommand::List(args) => list::run(args, &admin).map(|()| Outcome::Done),
        AuditCommand::Watch(args) => watch::run(args, &admin).map(|()| Outcome::Done),
        AuditCommand::Verify(args) => verify::run(args, &admin),
    }
}

async fn connect(admin: &AdminArgs) -> anyhow::Result<(Connection, Audit)> {
    let connection = Connection::to_admin(admin).await?;
    let audit = Audit::new(connection.channel()).max_decoding_message_size(LARGEST_REPLY);
    Ok((connection, audit))
}
