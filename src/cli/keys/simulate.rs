//! `keys simulate`: decides one action by a key's id, as `check` does by its text.
//! Called by `keys`.

use super::{
    super::{
        Outcome,
        check::{self, AboutArgs},
        client::{AdminArgs, block_on},
    },
    connect,
    key_id::KeyIdParser,
};
use crate::pb::v1;

/// Shown at the end of the command's help.
pub const NOTES: &str = "\
Needs no key's text, and counts as no use of the key.

Examples:
  octavia-authz keys simulate Yt5Bq0cVn2 articles.publish
  octavia-authz keys simulate Yt5Bq0cVn2 articles.update --owner ana --state draft

Exit codes: 0 allowed, 3 denied, 1 not decided, 2 bad usage.";

/// What to decide.
#[derive(Debug, clap::Args)]
pub struct SimulateArgs {
    /// The key's id: the 10 characters after `octv_` in its text
    #[arg(value_name = "ID", value_parser = KeyIdParser)]
    pub id: String,

    /// Ask about this action, for example `articles.publish`; `octavia-authz
    /// roles --matrix` shows all
    #[arg(value_name = "ACTION")]
    pub action: String,

    /// What is asked besides.
    #[command(flatten)]
    pub about: AboutArgs,
}

/// Asks, and prints the answer.
pub(super) fn run(args: SimulateArgs, admin: &AdminArgs) -> anyhow::Result<Outcome> {
    let request = request(args)?;
    let decision = block_on(async {
        let (connection, mut keys) = connect(admin).await?;
        let request = connection.request(request);
        connection.ask(keys.simulate_authorize(request)).await
    })?;
    // A reply without a decision reads as one that this program does not know,
    // which is a denial.
    check::answer(&decision.decision.unwrap_or_default(), admin.call.output)
}

pub(super) fn request(args: SimulateArgs) -> anyhow::Result<v1::SimulateAuthorizeRequest> {
    let (service, resource) = args.about.read()?;
    Ok(v1::SimulateAuthorizeRequest {
        id: args.id,
        action: args.action,
        service,
        resource: Some(resource),
    })
}
