//! `octavia-authz serve`: runs the sidecar. Called by `cli::run`.
//!
//! Flags and environment are turned into a `Config` here; mistakes in them end
//! with exit code 2 before anything is bound or touched.

mod announce;
mod descriptors;
mod limits;

use std::{
    io::IsTerminal as _,
    num::{NonZeroU64, NonZeroUsize},
    path::PathBuf,
    thread,
    time::Duration,
};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::{Stream, StreamExt as _, wrappers::SignalStream};

use self::announce::announce;
use super::{BadUsage, bad_usage, time};
use crate::{
    config::{Address, Config},
    dashboard::SessionTimes,
    gateway::{KeyHeader, KeyHeaders},
    server::{Server, ServerError, Started},
    telemetry::{self, LogFormat, Otlp, OtlpEndpoint, Ratio},
    tls::Files,
};

const EXAMPLES: &str = "\
Every flag can be given as an environment variable, OCTAVIA_AUTHZ_<FLAG>; those
that may be repeated take a list with commas there.

Examples:
  octavia-authz serve
  octavia-authz serve --listen unix:/run/octavia/authz.sock --admin-listen none
  octavia-authz serve --listen 'unix:/run/octavia/authz.sock?mode=0660&owner=0:1000'
  octavia-authz serve --listen 0.0.0.0:50051 --tls-cert tls.crt --tls-key tls.key
  octavia-authz serve --data-dir /var/lib/octavia-authz --policy policy.toml";

/// What `serve` is told.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ServeArgs {
    /// Keep keys, journal and generated secrets in DIR; created with mode 0700
    #[arg(
        long,
        value_name = "DIR",
        env = "OCTAVIA_AUTHZ_DATA_DIR",
        default_value = "./octavia-authz-data"
    )]
    pub data_dir: PathBuf,

    /// Serve the authorization API on ADDRESS, `host:port` or `unix:/path`; may be repeated. A
    /// socket's file has mode 0600 and the sidecar's owner if it does not say otherwise, as in
    /// `unix:/path?mode=0660&owner=UID:GID`
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "OCTAVIA_AUTHZ_LISTEN",
        value_delimiter = ',',
        default_value = "127.0.0.1:50051"
    )]
    pub listen: Vec<Address>,

    /// Serve the admin API on ADDRESS, `host:port` or `unix:/path`; may be repeated; `none` for
    /// nowhere
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "OCTAVIA_AUTHZ_ADMIN_LISTEN",
        value_delimiter = ',',
        default_value = "127.0.0.1:50052",
        value_parser = address_or_none
    )]
    pub admin_listen: Vec<AddressOrNone>,

    /// Serve the OpenID AuthZEN API over HTTP on ADDRESS, `host:port` or `unix:/path`; may be
    /// repeated; `none` for nowhere
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "OCTAVIA_AUTHZ_AUTHZEN_LISTEN",
        value_delimiter = ',',
        default_value = "none",
        value_parser = address_or_none
    )]
    pub authzen_listen: Vec<AddressOrNone>,

    /// Answer probes (/startupz, /readyz, /livez, gRPC health) and tell metrics (/metrics) in plain
    /// text on ADDRESS, `host:port` or `unix:/path`; may be repeated; `none` for nowhere
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "OCTAVIA_AUTHZ_OPS_LISTEN",
        value_delimiter = ',',
        default_value = "127.0.0.1:9464",
        value_parser = address_or_none
    )]
    pub ops_listen: Vec<AddressOrNone>,

    /// Serve the web dashboard on ADDRESS, `host:port` or `unix:/path`; may be repeated; `none` for
    /// nowhere
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "OCTAVIA_AUTHZ_DASHBOARD_LISTEN",
        value_delimiter = ',',
        default_value = "127.0.0.1:8480",
        value_parser = address_or_none
    )]
    pub dashboard_listen: Vec<AddressOrNone>,

    /// Sign a visitor of the dashboard out who has done nothing for DURATION
    #[arg(
        long,
        value_name = "DURATION",
        env = "OCTAVIA_AUTHZ_DASHBOARD_IDLE_TIMEOUT",
        default_value = "30m",
        value_parser = time::parse_timeout
    )]
    pub dashboard_idle_timeout: Duration,

    /// Sign a visitor of the dashboard out after DURATION, whatever is done
    #[arg(
        long,
        value_name = "DURATION",
        env = "OCTAVIA_AUTHZ_DASHBOARD_SESSION_TIMEOUT",
        default_value = "12h",
        value_parser = time::parse_timeout
    )]
    pub dashboard_session_timeout: Duration,

    /// Speak TLS, and nothing else, on the TCP addresses of all other listeners with the certificate
    /// chain in FILE (PEM); it is read again when it changes [default: plain text]
    #[arg(long, value_name = "FILE", env = "OCTAVIA_AUTHZ_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// Read the certificate's private key from FILE (PEM) [default: none, plain text]
    #[arg(long, value_name = "FILE", env = "OCTAVIA_AUTHZ_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Let in only clients with a certificate of a CA in FILE (PEM, one or more). The connections
    /// of a CA that is taken out end within 10 s [default: clients need no certificate]
    #[arg(long, value_name = "FILE", env = "OCTAVIA_AUTHZ_TLS_CLIENT_CA", requires = "tls_cert")]
    pub tls_client_ca: Option<PathBuf>,

    /// Listen beyond loopback without TLS: API keys and tokens can then be read on the way, unless
    /// something else encrypts, such as a service mesh [default: refuse to start]
    #[arg(
        long,
        env = "OCTAVIA_AUTHZ_ALLOW_PLAINTEXT",
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    pub allow_plaintext: bool,

    /// Read the operator token from FILE: one line of 32 to 512 visible characters [default:
    /// operator.token in the data directory, made with mode 0600 when it is missing]
    #[arg(long, value_name = "FILE", env = "OCTAVIA_AUTHZ_OPERATOR_TOKEN_FILE")]
    pub operator_token_file: Option<PathBuf>,

    /// Digest keys with the pepper in FILE, 32 to 4096 bytes that are kept away from the data
    /// directory: who has only that can try no guess. Once there is one, a start without it is
    /// refused [default: no pepper]
    #[arg(long, value_name = "FILE", env = "OCTAVIA_AUTHZ_PEPPER_FILE")]
    pub pepper_file: Option<PathBuf>,

    /// Accept keys that were digested with the pepper in FILE, too, and digest each anew when it is
    /// used: for the change from one pepper to another, or to none [default: none]
    #[arg(long, value_name = "FILE", env = "OCTAVIA_AUTHZ_PREVIOUS_PEPPER_FILE")]
    pub previous_pepper_file: Option<PathBuf>,

    /// Add the services, roles, actions and routes of FILE (TOML) to the built-in AI CMS policy, or
    /// replace it; read anew on SIGHUP [default: the built-in policy alone]
    #[arg(long, value_name = "FILE", env = "OCTAVIA_AUTHZ_POLICY")]
    pub policy: Option<PathBuf>,

    /// Look for the keys of HTTP requests, which a proxy such as Envoy asks about, in the header
    /// NAME; may be repeated. `authorization` carries a key behind `Bearer`
    #[arg(
        long,
        value_name = "NAME",
        env = "OCTAVIA_AUTHZ_KEY_HEADER",
        value_delimiter = ',',
        default_values = ["x-api-key", "authorization"]
    )]
    pub key_header: Vec<KeyHeader>,

    /// Answer the authorization API on N threads [default: the cores available]
    #[arg(long, value_name = "N", env = "OCTAVIA_AUTHZ_WORKERS")]
    pub workers: Option<NonZeroUsize>,

    /// Keep at most N resolved keys in memory
    #[arg(long, value_name = "N", env = "OCTAVIA_AUTHZ_CACHE_CAPACITY", default_value = "100000")]
    pub cache_capacity: NonZeroU64,

    /// Write last-used times and counts to the disk as often as DURATION, `10ms` to `1h`
    #[arg(
        long,
        value_name = "DURATION",
        env = "OCTAVIA_AUTHZ_USAGE_FLUSH_INTERVAL",
        default_value = "5s",
        value_parser = flush_interval
    )]
    pub usage_flush_interval: Duration,

    /// After SIGTERM, say that it is not ready and go on for DURATION, so that clients go elsewhere
    /// before anything is closed; `0s` to stop at once
    #[arg(
        long,
        value_name = "DURATION",
        env = "OCTAVIA_AUTHZ_LAMEDUCK",
        default_value = "2s",
        value_parser = time::parse_pause
    )]
    pub lameduck: Duration,

    /// After that, let calls in flight take as long as DURATION, such as `500ms` or `10s`
    #[arg(
        long,
        value_name = "DURATION",
        env = "OCTAVIA_AUTHZ_DRAIN_TIMEOUT",
        default_value = "10s",
        value_parser = time::parse_timeout
    )]
    pub drain_timeout: Duration,

    /// Keep the audit log for at least DURATION, `1d` or longer, such as `365d`; older history is
    /// deleted in whole files of 64 MiB, the keys stay [default: keep everything]
    #[arg(
        long,
        value_name = "DURATION",
        env = "OCTAVIA_AUTHZ_AUDIT_RETENTION",
        value_parser = time::parse_retention
    )]
    pub audit_retention: Option<Duration>,

    /// How much clients may take.
    #[command(flatten)]
    pub limits: limits::LimitArgs,

    /// Write the log as `text` or `json` [default: text on a terminal, else json]
    #[arg(long, value_name = "FORMAT", env = "OCTAVIA_AUTHZ_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,

    /// Log events of this level and above, or those that a tracing filter lets pass
    #[arg(long, value_name = "LEVEL", env = "OCTAVIA_AUTHZ_LOG_LEVEL", default_value = "info")]
    pub log_level: String,

    /// Log this share of what is allowed, 0 to 1; what is denied always is, unless --log-level says
    /// `octavia_authz::decision=off`
    #[arg(long, value_name = "RATIO", env = "OCTAVIA_AUTHZ_LOG_ALLOWS", default_value = "0")]
    pub log_allows: Ratio,

    /// Send traces over OTLP (gRPC) to the collector at URL, such as `http://127.0.0.1:4317` or
    /// `https://otel.example:4317` [default: none]
    #[arg(long, value_name = "URL", env = "OCTAVIA_AUTHZ_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<OtlpEndpoint>,

    /// Trace this share of the calls that carry no W3C trace context, 0 to 1; calls with one follow
    /// it
    #[arg(long, value_name = "RATIO", env = "OCTAVIA_AUTHZ_OTLP_RATIO", default_value = "0.01")]
    pub otlp_ratio: Ratio,
}

/// Where an API listens, or that it does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressOrNone {
    /// There.
    At(Address),
    /// Nowhere.
    None,
}

fn address_or_none(text: &str) -> Result<AddressOrNone, crate::config::InvalidAddress> {
    if text == "none" { Ok(AddressOrNone::None) } else { text.parse().map(AddressOrNone::At) }
}

/// The addresses that `flag` was given; none of them is nowhere.
fn addresses(flag: &str, given: Vec<AddressOrNone>) -> anyhow::Result<Vec<Address>> {
    let alone = given.len() == 1;
    let mut addresses = Vec::with_capacity(given.len());
    for address in given {
        match address {
            AddressOrNone::At(address) => addresses.push(address),
            AddressOrNone::None if alone => {}
            AddressOrNone::None => {
                return Err(bad_usage!("{flag} is `none` and an address at once"));
            }
        }
    }
    Ok(addresses)
}

fn flush_interval(text: &str) -> anyhow::Result<Duration> {
    let interval = time::parse_timeout(text)?;
    let fits = (Duration::from_millis(10)..=Duration::from_secs(3600)).contains(&interval);
    anyhow::ensure!(fits, "must be 10ms to 1h");
    Ok(interval)
}

impl ServeArgs {
    /// The same, validated.
    ///
    /// # Errors
    /// [`BadUsage`]
    pub fn config(self) -> anyhow::Result<Config> {
        let admin_listen = addresses("--admin-listen", self.admin_listen)?;
        let authzen_listen = addresses("--authzen-listen", self.authzen_listen)?;
        let ops_listen = addresses("--ops-listen", self.ops_listen)?;
        let dashboard_listen = addresses("--dashboard-listen", self.dashboard_listen)?;
        let tls = match (self.tls_cert, self.tls_key) {
            (Some(cert), Some(key)) => Some(Files { cert, key, client_ca: self.tls_client_ca }),
            _ => None,
        };
        if tls.is_none() && !self.allow_plaintext {
            for (flag, addresses) in [
                ("listen", &self.listen),
                ("admin-listen", &admin_listen),
                ("authzen-listen", &authzen_listen),
                ("dashboard-listen", &dashboard_listen),
            ] {
                if let Some(address) = addresses.iter().find(|address| !address.is_local()) {
                    return Err(exposed(flag, address));
                }
            }
        }
        let workers = self.workers.or_else(|| thread::available_parallelism().ok());
        Ok(Config {
            data_dir: self.data_dir,
            listen: self.listen,
            admin_listen,
            authzen_listen,
            ops_listen,
            dashboard_listen,
            session_times: SessionTimes {
                idle: self.dashboard_idle_timeout,
                longest: self.dashboard_session_timeout,
            },
            limits: self.limits.limits(),
            tls,
            operator_token_file: self.operator_token_file,
            pepper_file: self.pepper_file,
            previous_pepper_file: self.previous_pepper_file,
            policy: self.policy,
            key_headers: KeyHeaders::new(self.key_header),
            usage_flush_interval: self.usage_flush_interval,
            workers: workers.map_or(1, NonZeroUsize::get),
            cache_capacity: self.cache_capacity.get(),
            lameduck: self.lameduck,
            drain_timeout: self.drain_timeout,
            audit_retention: self.audit_retention,
            log_allows: self.log_allows,
            otlp: self.otlp_endpoint.map(|endpoint| Otlp { endpoint, ratio: self.otlp_ratio }),
        })
    }
}

fn exposed(flag: &str, address: &Address) -> anyhow::Error {
    bad_usage!(
        "--{flag} `{address}` is open to other machines, and API keys would go there in plain \
         text: give --tls-cert and --tls-key, or listen on 127.0.0.1 or a Unix socket, or pass \
         --allow-plaintext if something else encrypts, such as a service mesh"
    )
}

/// Runs the sidecar until SIGTERM or SIGINT.
///
/// # Errors
/// The configuration is wrong ([`BadUsage`]), the sidecar cannot start, or its
/// store has failed.
pub fn run(args: ServeArgs) -> anyhow::Result<()> {
    let log_format = args.log_format.unwrap_or_else(default_log_format);
    // What it says last is written before this ends.
    let _log =
        telemetry::start(log_format, &args.log_level).map_err(|error| BadUsage(error.into()))?;
    let mut config = args.config()?;
    descriptors::make_room(&mut config);
    // Admin calls, acceptors and signals; the workers, and what probes ask, have runtimes of their
    // own.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("background")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(async {
        let mut stops = stops().context("cannot listen for signals")?;
        let hangup = signal(SignalKind::hangup()).context("cannot listen for signals")?;
        let server = tokio::select! {
            server = Server::start(config) => server.map_err(blame)?,
            // What is begun is taken up by the next start, as after a power cut.
            _ = stops.next() => return Ok(()),
        };
        let announce = |started: &Started| {
            if let Err(error) = announce(started, log_format) {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "serving, but nobody is told where");
            }
        };
        server.run(stops, SignalStream::new(hangup), announce).await.map_err(blame)
    });
    // A store that is still being opened is not waited for.
    runtime.shutdown_background();
    if result.is_ok() {
        tracing::info!("stopped");
    }
    result
}

fn blame(error: ServerError) -> anyhow::Error {
    if error.is_configuration() { BadUsage(error.into()).into() } else { error.into() }
}

fn default_log_format() -> LogFormat {
    if std::io::stderr().is_terminal() { LogFormat::Text } else { LogFormat::Json }
}

/// Has one for each time that the process is asked to stop.
fn stops() -> std::io::Result<impl Stream<Item = ()> + Unpin> {
    let terminate = SignalStream::new(signal(SignalKind::terminate())?).map(|()| "SIGTERM");
    let interrupt = SignalStream::new(signal(SignalKind::interrupt())?).map(|()| "SIGINT");
    Ok(terminate.merge(interrupt).map(|signal| {
        tracing::info!(signal, "stopping: calls in flight are answered");
    }))
}
