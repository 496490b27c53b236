//! `keys rotate`: a new secret for a key, its text shown once, and what becomes
//! of the old one. Called by `keys`.

use std::{path::PathBuf, time::Duration};

use anyhow::bail;
use jiff::Timestamp;

use super::{
    super::{
        client::{AdminArgs, block_on},
        output::plain,
        time::{length_to_wire, parse_length, stamp_and_distance},
    },
    connect,
    key_file::KeyFile,
    key_id::KeyIdParser,
    present,
    show::{self, Fresh},
};
use crate::pb::v1;

/// Shown at the end of the command's help.
pub const EXAMPLES: &str = "\
The key keeps its id, role and everything else. Without --overlap the old text
is refused from the moment that the new one is shown. With it, both are accepted
until clients have the new one. A key has at most two secrets: rotating again
during an overlap drops the oldest at once.

Examples:
  octavia-authz keys rotate Yt5Bq0cVn2 --key-out website.key
  octavia-authz keys rotate Yt5Bq0cVn2 --overlap 7d --key-out website.key";

/// The longest overlap that the API takes.
const LONGEST_OVERLAP: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Which key to give a new secret.
#[derive(Debug, clap::Args)]
pub struct RotateArgs {
    /// The key's id: the 10 characters after `octv_` in its text
    #[arg(value_name = "ID", value_parser = KeyIdParser)]
    pub id: String,

    /// Go on accepting the old text for DURATION: `30m`, `12h`, `7d` or `2w`, at
    /// most 90 days [default: refuse it at once]
    #[arg(long, value_name = "DURATION", value_parser = parse_overlap)]
    pub overlap: Option<Duration>,

    /// Rotate only if the key's etag is still ETAG, as `keys get` shows it
    /// [default: rotate whatever it is]
    #[arg(long, value_name = "ETAG")]
    pub if_etag: Option<String>,

    /// Write the new text to FILE, which must not exist yet, with mode 0600,
    /// instead of printing it [default: print it]
    #[arg(long, value_name = "FILE")]
    pub key_out: Option<PathBuf>,
}

fn parse_overlap(text: &str) -> anyhow::Result<Duration> {
    match parse_length(text)? {
        length if length > LONGEST_OVERLAP => bail!("an overlap is at most 90 days, `90d`"),
        length => Ok(length),
    }
}

/// Rotates the key.
pub(super) fn run(args: RotateArgs, admin: &AdminArgs) -> anyhow::Result<()> {
    let (request, key_out) = request(args);
    block_on(async {
        let (connection, mut keys) = connect(admin).await?;
        // Before the call: the old text may be gone once it is answered.
        let file = key_out.map(KeyFile::create).transpose()?;
        let overlaps = request.overlap.is_some();
        let request = connection.request(request);
        let reply = connection.change(keys.rotate_api_key(request)).await?;
        let key = present(reply.api_key)?;
        let before = before(&key, &reply.dropped_secrets, overlaps, Timestamp::now());
        let fresh = Fresh {
            key,
            text: reply.key.into(),
            before,
            dropped: Some(reply.dropped_secrets),
            notice: "The key's new text, shown this once and stored nowhere. Keep it secret:",
        };
        show::fresh(fresh, file, admin.call.output)
    })
}

pub(super) fn request(args: RotateArgs) -> (v1::RotateApiKeyRequest, Option<PathBuf>) {
    let request = v1::RotateApiKeyRequest {
        id: args.id,
        etag: args.if_etag.unwrap_or_default(),
        overlap: args.overlap.map(length_to_wire),
    };
    (request, args.key_out)
}

/// What became of the secrets before, one a line.
pub(super) fn before(
    key: &v1::ApiKey,
    dropped: &[v1::KeySecret],
    overlaps: bool,
    now: Timestamp,
) -> String {
    let mut lines = Vec::new();
    for secret in key.secrets.iter().skip(1) {
        let until = match &secret.expire_time {
            Some(until) => format!("until {}", stamp_and_distance(until, now)),
            None => "as long as the key".to_owned(),
        };
        lines.push(format!("The old secret {} is accepted {until}.", plain(&secret.hint)));
    }
    let why = if overlaps { ": a key has at most two secrets" } else { "" };
    for secret in dropped {
        let hint = plain(&secret.hint);
        lines.push(format!("The old secret {hint} is refused from now on{why}."));
    }
    lines.join("\n")
}
