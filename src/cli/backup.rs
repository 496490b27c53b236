//! `octavia-authz backup`: fetches a backup from a running sidecar into a file.
//! Called by `cli::run`.
//!
//! INVARIANT: FILE is a whole backup that was checked, or is not touched: it is
//! written beside its place, checked as it comes, synced and renamed.

use std::{
    fs::{self, File},
    io::{self, IsTerminal as _, Read, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, anyhow, bail};
use serde::Serialize;
use tonic::Streaming;

use super::{
    bad_usage,
    client::{AdminArgs, Connection, block_on},
    output::{self, Format, Grid},
    progress::Progress,
};
use crate::{
    grpc::hex,
    pb::v1::{BackupRequest, BackupResponse, maintenance_service_client::MaintenanceServiceClient},
    store::{BackupError, BackupInfo, check_backup},
};

const NOTES: &str = "\
The file holds all keys, the audit log and use, as of one moment; changes go on
meanwhile. No secret is in it, only digests: not the operator token, not the
pepper. It is checked while it is written.

Examples:
  octavia-authz backup --out octavia-authz.backup
  octavia-authz backup --out - | gzip > octavia-authz.backup.gz";

/// What `backup` is told.
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub struct BackupArgs {
    /// Write the backup to FILE, `-` for standard output
    #[arg(long, value_name = "FILE", required = true)]
    pub out: PathBuf,

    /// Replace FILE if there is one [default: refuse]
    #[arg(long)]
    pub force: bool,

    /// How to call the admin API; needs the operator token.
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// Fetches a backup.
///
/// # Errors
/// The call failed, the backup is not whole, or the file cannot be written.
pub fn run(args: BackupArgs) -> anyhow::Result<()> {
    let to_stdout = args.out == Path::new("-");
    if to_stdout && io::stdout().is_terminal() {
        return Err(bad_usage!("a backup is not for a terminal; write it to a file or a pipe"));
    }
    let target = match to_stdout {
        true => None,
        false => Some(Target::create(&args.out, args.force)?),
    };
    let info = block_on(fetch(&args.admin, target.as_ref()))?;
    if let Some(target) = target {
        target.finish()?;
    }
    report(&info, &args, to_stdout)
}

/// Receives the backup, writes it, and checks it.
async fn fetch(args: &AdminArgs, target: Option<&Target>) -> anyhow::Result<BackupInfo> {
    let connection = Connection::to_admin(args).await?;
    let mut maintenance = MaintenanceServiceClient::new(connection.channel());
    let request = connection.request(BackupRequest {});
    let mut chunks: Streaming<BackupResponse> = connection.ask(maintenance.backup(request)).await?;
    let (check, progress) = (Check::start(), Progress::bytes("backing up", Some(0)));
    let (mut done, mut failed) = (0, None);
    while let Some(BackupResponse { chunk, total_bytes, .. }) = connection.next(&mut chunks).await?
    {
        let written = match target {
            Some(target) => target.write(&chunk),
            None => output::print_all(&chunk).context("cannot write to standard output"),
        };
        written?;
        done += chunk.len() as u64;
        progress.show(done, total_bytes);
        if !check.take(chunk) {
            failed = Some(());
            break;
        }
    }
    let checked = check.finish();
    match (checked, failed) {
        (Ok(info), None) => Ok(info),
        (Ok(_), Some(())) => bail!("the backup went on behind its end"),
        (Err(error), _) => {
            Err(error.context("the sidecar sent a backup that is not whole; nothing was kept"))
        }
    }
}

/// Checks a backup while it comes, on a thread of its own.
struct Check {
    chunks: SyncSender<Vec<u8>>,
    thread: JoinHandle<Result<BackupInfo, BackupError>>,
}

impl Check {
    fn start() -> Self {
        let (chunks, taken) = sync_channel(4);
        let input = Chunks { taken, chunk: Vec::new(), at: 0 };
        let thread = thread::spawn(move || check_backup(input, Path::new("backup"), &mut |_| {}));
        Self { chunks, thread }
    }

    /// Whether it takes more: not, once something was wrong.
    fn take(&self, chunk: Vec<u8>) -> bool {
        self.chunks.send(chunk).is_ok()
    }

    fn finish(self) -> anyhow::Result<BackupInfo> {
        drop(self.chunks);
        let checked = self.thread.join().map_err(|_| anyhow!("the check of the backup ended"))?;
        Ok(checked?)
    }
}

/// Chunks as one stream.
struct Chunks {
    taken: Receiver<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.chunk.len() {
            match self.taken.recv() {
                Ok(chunk) => (self.chunk, self.at) = (chunk, 0),
                Err(_) => return Ok(0),
            }
        }
        let mut rest = self.chunk.get(self.at..).unwrap_or_default();
        let read = rest.read(buffer)?;
        self.at += read;
        Ok(read)
    }
}

/// The file, while it is written beside its place. Removed unless it is finished.
struct Target {
    path: PathBuf,
    partial: PathBuf,
    file: File,
}

impl Target {
    fn create(path: &Path, force: bool) -> anyhow::Result<Self> {
        if path.is_dir() {
            return Err(bad_usage!("`{}` is a directory; name a file", path.display()));
        }
        if !force && path.symlink_metadata().is_ok() {
            return Err(bad_usage!(
                "`{}` exists already; name another file, or pass --force to replace it",
                path.display()
            ));
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        // What an interrupted backup has left: made anew, so that its mode is ours.
        match fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error)
                    .with_context(|| format!("cannot replace `{}`", partial.display()));
            }
            _ => {}
        }
        let file = File::options().write(true).create_new(true).mode(0o600).open(&partial);
        let file = file.with_context(|| format!("cannot create `{}`", partial.display()))?;
        Ok(Self { path: path.to_owned(), partial, file })
    }

    fn write(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let written = (&self.file).write_all(bytes);
        written.with_context(|| format!("cannot write `{}`", self.partial.display()))
    }

    /// Puts the file in its place, durably.
    fn finish(self) -> anyhow::Result<()> {
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        self.file
            .sync_all()
            .and_then(|()| fs::rename(&self.partial, &self.path))
            .and_then(|()| File::open(parent.unwrap_or(Path::new(".")))?.sync_all())
            .with_context(|| format!("cannot finish `{}`", self.path.display()))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // Not there any more when it was finished.
        let _ = fs::remove_file(&self.partial);
    }
}

/// What a backup holds, for programs.
#[derive(Serialize)]
pub(crate) struct Info {
    file: String,
    revision: u64,
    key_count: u64,
    state_digest: String,
    journal_head: String,
    pepper: String,
    made: String,
    made_by: String,
    bytes: u64,
}

impl Info {
    /// Of the backup in `file`.
    pub(crate) fn new(file: &Path, info: &BackupInfo) -> Self {
        Self {
            file: file.display().to_string(),
            revision: info.revision,
            key_count: info.key_count,
            state_digest: hex(&info.state_digest),
            journal_head: hex(&info.journal_head),
            pepper: info.pepper.map(|pepper| pepper.to_string()).unwrap_or_default(),
            made: info.made.to_string(),
            made_by: info.version.clone(),
            bytes: info.bytes,
        }
    }

    /// The same for people.
    pub(crate) fn table(self) -> String {
        Grid::pairs([
            ("file", self.file),
            ("size", format!("{} bytes", self.bytes)),
            ("made", format!("{} by version {}", self.made, self.made_by)),
            ("revision", self.revision.to_string()),
            ("keys", self.key_count.to_string()),
            ("state digest", self.state_digest),
            ("journal head", self.journal_head),
            ("pepper", self.pepper),
        ])
        .render()
    }
}

fn report(info: &BackupInfo, args: &BackupArgs, to_stdout: bool) -> anyhow::Result<()> {
    let info = Info::new(&args.out, info);
    let text = match args.admin.call.output {
        Format::Table => info.table(),
        Format::Json => output::to_json(&info)?,
    };
    if to_stdout {
        // The backup is on standard output.
        return writeln!(io::stderr(), "{text}").context("cannot write to standard error");
    }
    output::print_text(&text)
}
