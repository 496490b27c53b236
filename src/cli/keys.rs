//! `octavia-authz keys …`: the life of API keys, through the admin API. One
//! file a command below; what they print is in `show`. Called by `cli::run`.

use anyhow::Context as _;

use self::key_id::KeyIdParser;
use super::{
    Outcome,
    client::{AdminArgs, Connection, LARGEST_REPLY, block_on},
};
use crate::pb::v1::{self, api_key_service_client::ApiKeyServiceClient};

mod changes;
pub mod create;
pub mod import;
mod key_file;
mod key_id;
pub mod list;
pub mod revoke;
pub mod rights;
pub mod rotate;
mod show;
pub mod simulate;
pub mod update;
mod usage;

#[cfg(test)]
mod tests;

/// What `keys` is told.
#[derive(Debug, clap::Args)]
pub struct KeysArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: KeysCommand,
    /// How to call the admin API.
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// What can be done with keys.
#[derive(Debug, clap::Subcommand)]
pub enum KeysCommand {
    /// Create a key and show its text, the only time that it is shown
    #[command(after_help = create::EXAMPLES)]
    Create(create::CreateArgs),
    /// Take over keys that were issued elsewhere, by the digests of their texts
    #[command(after_help = import::NOTES)]
    Import(import::ImportArgs),
    /// List keys, those that match, in the order of a field
    #[command(after_help = list::EXAMPLES)]
    List(list::ListArgs),
    /// Show a key
    Get {
        /// The key's id: the 10 characters after `octv_` in its text
        #[arg(value_name = "ID", value_parser = KeyIdParser)]
        id: String,
    },
    /// Show what a key may do
    Rights {
        /// The key's id: the 10 characters after `octv_` in its text
        #[arg(value_name = "ID", value_parser = KeyIdParser)]
        id: String,
    },
    /// Decide one action as `check` does, without the key's text (exit 0 allowed,
    /// 3 denied)
    #[command(after_help = simulate::NOTES)]
    Simulate(simulate::SimulateArgs),
    /// Change a key: only what is given, the rest stays
    #[command(after_help = update::EXAMPLES)]
    Update(update::UpdateArgs),
    /// Replace a key's secret and show the new text, the only time that it is
    /// shown
    #[command(after_help = rotate::EXAMPLES)]
    Rotate(rotate::RotateArgs),
    /// Switch a key on
    Enable(update::SwitchArgs),
    /// Switch a key off: every request with it is denied until it is enabled
    Disable(update::SwitchArgs),
    /// Delete keys for good: every request with them is denied
    #[command(after_help = revoke::EXAMPLES)]
    Revoke(revoke::RevokeArgs),
}

/// The client of the key service.
type Keys = ApiKeyServiceClient<tonic::transport::Channel>;

/// Does what the command line says.
///
/// # Errors
/// The call failed, or what was asked for cannot be done.
pub fn run(args: KeysArgs) -> anyhow::Result<Outcome> {
    let KeysArgs { command, admin } = args;
    let done = |()| Outcome::Done;
    match command {
        KeysCommand::Create(args) => create::run(args, &admin).map(done),
        KeysCommand::Import(args) => import::run(args, &admin),
        KeysCommand::List(args) => list::run(args, &admin).map(done),
        KeysCommand::Get { id } => block_on(async {
            let (connection, mut keys) = connect(&admin).await?;
            let v1::GetApiKeyResponse { api_key, daily_usage } =
                read(&connection, &mut keys, id).await?;
            show::used_key(&present(api_key)?, &daily_usage, admin.call.output).map(done)
        }),
        KeysCommand::Rights { id } => rights::run(id, &admin).map(done),
        KeysCommand::Simulate(args) => simulate::run(args, &admin),
        KeysCommand::Update(args) => update::run(args, &admin).map(done),
        KeysCommand::Rotate(args) => rotate::run(args, &admin).map(done),
        KeysCommand::Enable(args) => update::switch(args, v1::KeyStatus::Active, &admin).map(done),
        KeysCommand::Disable(args) => {
            update::switch(args, v1::KeyStatus::Inactive, &admin).map(done)
        }
        KeysCommand::Revoke(args) => revoke::run(args, &admin),
    }
}

async fn connect(admin: &AdminArgs) -> anyhow::Result<(Connection, Keys)> {
    let connection = Connection::to_admin(admin).await?;
    let keys = Keys::new(connection.channel()).max_decoding_message_size(LARGEST_REPLY);
    Ok((connection, keys))
}

async fn read(
    connection: &Connection,
    keys: &mut Keys,
    id: String,
) -> anyhow::Result<v1::GetApiKeyResponse> {
    let request = connection.request(v1::GetApiKeyRequest { id });
    connection.ask(keys.get_api_key(request)).await
}

async fn get(connection: &Connection, keys: &mut Keys, id: String) -> anyhow::Result<v1::ApiKey> {
    present(read(connection, keys, id).await?.api_key)
}

/// The key that every reply has to hold.
fn present(key: Option<v1::ApiKey>) -> anyhow::Result<v1::ApiKey> {
    key.context("the sidecar answered without a key; is it of another version?")
}
