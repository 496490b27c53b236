//! `audit watch`: prints events as they happen. Called by `audit`.

use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;

use super::{
    super::{
        client::{AdminArgs, block_on},
        output::{self, Format, json},
    },
    connect,
    filter::FilterArgs,
    show,
};
use crate::pb::v1;

/// Shown at the end of the command's help.
pub const EXAMPLES: &str = "\
With `-o json`, each event is one JSON object on a line of its own.

Examples:
  octavia-authz audit watch
  octavia-authz audit watch --after 0 -o json >> audit.jsonl
  octavia-authz audit watch --refused";

/// A sidecar says every 5 s that it is there.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to watch.
#[derive(Debug, clap::Args)]
pub struct WatchArgs {
    /// Begin with the event after SEQ, the last that is known; 0 is all that there
    /// is [default: what happens from now on]
    #[arg(long, value_name = "SEQ")]
    pub after: Option<u64>,

    /// Which events.
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// Prints events until the watch ends.
pub(super) fn run(args: WatchArgs, admin: &AdminArgs) -> anyhow::Result<()> {
    block_on(async {
        let filter = args.filter.to_wire(Timestamp::now())?;
        let (connection, mut audit) = connect(admin).await?;
        let request = connection.request(v1::WatchAuditEventsRequest {
            filter: Some(filter),
            after_sequence: args.after,
        });
        let mut messages = connection.ask(audit.watch_audit_events(request)).await?;
        let mut seen = args.after;
        loop {
            let message = connection.hear(&mut messages, PATIENCE).await.with_context(|| {
                let on = seen.map(|seen| format!("; watch on with `--after {seen}`"));
                format!("the watch has ended{}", on.unwrap_or_default())
            })?;
            let Some(message) = message else { return Ok(()) };
            for event in &message.events {
                let printed = match admin.call.output {
                    Format::Table => {
                        output::print_all(format!("{}\n", show::line(event)).as_bytes())
                    }
                    Format::Json => output::print_all(
                        format!("{}\n", output::to_json_line(&json::audit::Event::from(event))?)
                            .as_bytes(),
                    ),
                };
                match printed {
                    // Nobody reads it any more (`| head`).
                    Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
                    printed => printed.context("cannot write to standard output")?,
                }
            }
            seen = Some(message.sequence);
        }
    })
}
