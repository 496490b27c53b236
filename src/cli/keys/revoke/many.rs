//! Revokes several keys, or says what would be revoked. Called by `revoke`.

use anyhow::Error;

use super::{
    super::{
        super::{
            Outcome,
            client::{AdminArgs, Connection, block_on, refusal},
            output::{self, Format, Grid, counted, json, plain},
            progress::Progress,
        },
        Keys, connect,
    },
    confirm,
};
use crate::pb::v1;

/// The most ids that the API takes in one call.
const CHUNK: usize = 1000;
/// How many keys are shown before somebody confirms that they go.
const SHOWN: usize = 20;

/// Revokes the keys; exit code 1 if any was not.
pub(super) fn run(
    ids: &[String],
    dry_run: bool,
    asks: bool,
    admin: &AdminArgs,
) -> anyhow::Result<Outcome> {
    let format = admin.call.output;
    if ids.is_empty() {
        // What a pipeline found nothing for.
        return print(&[], dry_run, format).map(|()| Outcome::Done);
    }
    block_on(async {
        let (connection, mut keys) = connect(admin).await?;
        if asks {
            let (outlook, broken) = send(&connection, &mut keys, ids, true).await;
            if let Some(error) = broken {
                return Err(error);
            }
            let revocable = outlook.iter().filter(|outcome| was_revoked(outcome)).count();
            if revocable == 0 {
                print(&outlook, true, format)?;
                return Ok(Outcome::Negative);
            }
            confirm(&question(&outlook), |typed| confirms(typed, revocable), "that number")?;
        }
        let (outcomes, broken) = send(&connection, &mut keys, ids, dry_run).await;
        if let Some(error) = broken {
            if outcomes.is_empty() {
                return Err(error);
            }
            print(&outcomes, dry_run, format)?;
            let left = ids.len().saturating_sub(outcomes.len());
            return Err(error.context(format!(
                "stopped with {} not answered for; the same command again does the rest",
                counted(left as u64, "key")
            )));
        }
        print(&outcomes, dry_run, format)?;
        let all = outcomes.len() == ids.len() && outcomes.iter().all(was_revoked);
        Ok(if all { Outcome::Done } else { Outcome::Negative })
    })
}

/// The outcomes, as far as there are any, and what ended it too soon.
async fn send(
    connection: &Connection,
    keys: &mut Keys,
    ids: &[String],
    dry_run: bool,
) -> (Vec<v1::RevokeOutcome>, Option<Error>) {
    let doing = if dry_run { "checking keys" } else { "revoking keys" };
    let progress = Progress::items(doing, Some(ids.len() as u64));
    let mut outcomes = Vec::new();
    for request in requests(ids, dry_run) {
        let amount = request.ids.len() as u64;
        let call = keys.batch_revoke_api_keys(connection.request(request));
        let reply = match dry_run {
            true => connection.ask(call).await,
            false => connection.change(call).await,
        };
        match reply {
            Ok(reply) => outcomes.extend(reply.outcomes),
            Err(error) => return (outcomes, Some(error)),
        }
        progress.moved(amount);
    }
    (outcomes, None)
}

/// The wire's requests, of as many ids as one may hold.
pub(in super::super) fn requests(
    ids: &[String],
    dry_run: bool,
) -> impl Iterator<Item = v1::BatchRevokeApiKeysRequest> {
    let chunks = ids.chunks(CHUNK);
    chunks.map(move |ids| v1::BatchRevokeApiKeysRequest { ids: ids.to_vec(), dry_run })
}

fn was_revoked(outcome: &v1::RevokeOutcome) -> bool {
    outcome.code == 0 && outcome.api_key.is_some()
}

/// What is asked before they go, with the first of them.
pub(in super::super) fn question(outlook: &[v1::RevokeOutcome]) -> String {
    let mut text = String::new();
    let revocable: Vec<_> = outlook.iter().filter_map(|outcome| outcome.api_key.as_ref()).collect();
    for key in revocable.iter().take(SHOWN) {
        let (id, name, role) = (plain(&key.id), plain(&key.name), plain(&key.role));
        text.push_str(&format!("  {id}  `{name}`, role {role}\n"));
    }
    if revocable.len() > SHOWN {
        text.push_str(&format!("  … and {} more\n", revocable.len() - SHOWN));
    }
    let failed = outlook.len() - revocable.len();
    if failed > 0 {
        text.push_str(&format!("  {} cannot be revoked\n", counted(failed as u64, "key")));
    }
    let amount = counted(revocable.len() as u64, "key");
    text.push_str(&format!(
        "revoke {amount}? This cannot be undone. Type the number of keys to confirm: "
    ));
    text
}

/// Whether the line typed is the number.
pub(in super::super) fn confirms(typed: &str, amount: usize) -> bool {
    typed.trim() == amount.to_string()
}

fn print(outcomes: &[v1::RevokeOutcome], dry_run: bool, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Table => output::print_text(&render(outcomes, dry_run)),
        Format::Json => output::print_json(&json::Revoked {
            outcomes: outcomes.iter().map(json::RevokeOutcome::from).collect(),
            revoked_count: outcomes.iter().filter(|outcome| was_revoked(outcome)).count() as u64,
            dry_run,
        }),
    }
}

/// The keys, how many they are, and those that stay with the reason.
pub(in super::super) fn render(outcomes: &[v1::RevokeOutcome], dry_run: bool) -> String {
    let (revoked, failed): (Vec<_>, Vec<_>) =
        outcomes.iter().partition(|outcome| was_revoked(outcome));
    let mut text = String::new();
    if !revoked.is_empty() {
        let mut grid = Grid::new(&["ID", "NAME", "TEAM", "ROLE"]);
        for key in revoked.iter().filter_map(|outcome| outcome.api_key.as_ref()) {
            grid.row(&[&key.id, &key.name, &key.team, &key.role]);
        }
        text.push_str(&format!("{}\n\n", grid.render()));
    }
    let amount = counted(revoked.len() as u64, "key");
    let (could, lead) = match dry_run {
        true => ("cannot be revoked", format!("{amount} would be revoked")),
        false => ("could not be revoked", format!("revoked {amount}")),
    };
    text.push_str(&lead);
    if !failed.is_empty() {
        text.push_str(&format!("; {} {could}:", failed.len()));
        for outcome in failed {
            let why = refusal(outcome.code, &outcome.message);
            text.push_str(&format!("\n  {}: {why}", plain(&outcome.id)));
        }
    }
    if dry_run {
        text.push_str("\nNothing was changed.");
    }
    text
}
