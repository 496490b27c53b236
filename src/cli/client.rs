//! The way to a running sidecar: where it is, who asks, how long to wait.
//!
//! INVARIANT: the token goes into the `authorization` metadata and nowhere
//! else. Used by every command that calls a sidecar.

use std::{future::Future, path::PathBuf, time::Duration};

use anyhow::Context as _;
use tonic::{
    Request, Response, Status, Streaming,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};
use zeroize::Zeroizing;

use super::{
    bad_usage,
    output::Format,
    secret::{self, Lookup, Secret},
    time,
};
use server::ServerUrl;

mod failure;
pub mod server;
mod tls;

/// How long the connection may take, and no longer than an answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A page of 1000 keys that fill every field exceeds tonic's 4 MiB.
pub(crate) const LARGEST_REPLY: usize = 64 << 20;

/// How to call, whatever is called.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection and output")]
pub struct CallArgs {
    /// Wait at most DURATION for the connection, 5 s at most, and then for an answer: `500ms`, `10s`, `2m`
    #[arg(long, value_name = "DURATION", default_value = "10s", global = true,
        value_parser = time::parse_timeout)]
    pub timeout: Duration,

    /// Print as FORMAT: `table` for people, `json` for programs
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "table",
        global = true,
        hide_possible_values = true
    )]
    pub output: Format,

    /// How to speak TLS.
    #[command(flatten)]
    pub tls: TlsArgs,
}

/// How to speak TLS with a server at `https://…`.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "TLS, for `--server https://…`")]
pub struct TlsArgs {
    /// Trust servers with a certificate of a CA in FILE (PEM), and no others
    /// [default: the public CAs that Mozilla trusts]
    #[arg(
        long,
        value_name = "FILE",
        env = "OCTAVIA_AUTHZ_CLIENT_TLS_CA",
        hide_env_values = true,
        global = true
    )]
    pub tls_ca: Option<PathBuf>,

    /// Show the certificate chain in FILE (PEM), for a server that asks for one
    /// [default: none]
    #[arg(
        long,
        value_name = "FILE",
        env = "OCTAVIA_AUTHZ_CLIENT_TLS_CERT",
        hide_env_values = true,
        global = true
    )]
    pub tls_cert: Option<PathBuf>,

    /// Read the certificate's private key from FILE (PEM) [default: none]
    #[arg(
        long,
        value_name = "FILE",
        env = "OCTAVIA_AUTHZ_CLIENT_TLS_KEY",
        hide_env_values = true,
        global = true
    )]
    pub tls_key: Option<PathBuf>,

    /// Expect the server's certificate to be for NAME [default: the host in --server]
    #[arg(
        long,
        value_name = "NAME",
        env = "OCTAVIA_AUTHZ_CLIENT_TLS_SERVER_NAME",
        hide_env_values = true,
        global = true
    )]
    pub tls_server_name: Option<String>,
}

/// How to call the admin API.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection and output")]
pub struct AdminArgs {
    /// Call the sidecar whose admin API listens at URL: `http://host:port`,
    /// `https://host:port` or `unix:/path`
    #[arg(
        long,
        value_name = "URL",
        env = "OCTAVIA_AUTHZ_ADMIN_SERVER",
        hide_env_values = true,
        default_value = "http://127.0.0.1:50052",
        global = true
    )]
    pub server: ServerUrl,

    /// Authenticate with this operator token or API key; other users can see
    /// arguments, so prefer --token-file [env: OCTAVIA_AUTHZ_TOKEN] [default: the
    /// token that --token-file gives]
    #[arg(long, value_name = "TOKEN", global = true, conflicts_with = "token_file",
        value_parser = parse_secret)]
    pub token: Option<Secret>,

    /// Authenticate with the token in FILE, `-` for standard input
    /// [env: OCTAVIA_AUTHZ_TOKEN_FILE] [default: `operator.token` in
    /// OCTAVIA_AUTHZ_DATA_DIR or ./octavia-authz-data]
    #[arg(long, value_name = "FILE", global = true)]
    pub token_file: Option<PathBuf>,

    /// How to call.
    #[command(flatten)]
    pub call: CallArgs,
}

/// How to call the authorization API, which takes no token.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection and output")]
pub struct AuthorizationArgs {
    /// Call the sidecar whose authorization API listens at URL:
    /// `http://host:port`, `https://host:port` or `unix:/path`
    #[arg(
        long,
        value_name = "URL",
        env = "OCTAVIA_AUTHZ_SERVER",
        hide_env_values = true,
        default_value = "http://127.0.0.1:50051"
    )]
    pub server: ServerUrl,

    /// How to call.
    #[command(flatten)]
    pub call: CallArgs,
}

fn parse_secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::from(text.to_owned()))
}

impl AdminArgs {
    /// The token: of the arguments, else of the environment, else the operator
    /// token of a sidecar on this machine.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    // Not clap's `env`: it counts a variable as given, so that `--token-file`
    // would clash with a variable that it is meant to override.
    pub fn read_token(&self, variable: Lookup<'_>) -> anyhow::Result<Secret> {
        if let Some(token) = &self.token {
            return Ok(token.clone());
        }
        if let Some(file) = &self.token_file {
            return secret::from_file(file);
        }
        if let Some(value) = variable("OCTAVIA_AUTHZ_TOKEN") {
            return secret::from_variable("OCTAVIA_AUTHZ_TOKEN", value);
        }
        if let Some(file) = variable("OCTAVIA_AUTHZ_TOKEN_FILE") {
            return secret::from_file(&PathBuf::from(file));
        }
        let data_dir = variable("OCTAVIA_AUTHZ_DATA_DIR")
            .map_or_else(|| PathBuf::from("./octavia-authz-data"), PathBuf::from);
        secret::from_file(&data_dir.join("operator.token")).map_err(|unreadable| {
            bad_usage!(
                "no token: pass `--token-file FILE`, or set OCTAVIA_AUTHZ_TOKEN_FILE or \
                 OCTAVIA_AUTHZ_TOKEN (tried the operator token of a sidecar on this machine: \
                 {unreadable:#})"
            )
        })
    }
}

/// Runs a client command to its end, on this thread.
///
/// # Errors
/// The command's own, or the runtime could not be started.
pub(crate) fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(command)
}

/// A connection to a sidecar.
pub(crate) struct Connection {
    channel: Channel,
    server: ServerUrl,
    timeout: Duration,
    bearer: Option<MetadataValue<Ascii>>,
}

impl Connection {
    /// Connects to an admin API, with the token that `args` and the environment
    /// give.
    ///
    /// # Errors
    /// There is no token, or nobody answers.
    pub(crate) async fn to_admin(args: &AdminArgs) -> anyhow::Result<Connection> {
        let bearer = bearer(&args.read_token(&secret::environment)?)?;
        Connection::open(&args.server, &args.call, Some(bearer)).await
    }

    /// Connects to an authorization API.
    ///
    /// # Errors
    /// Nobody answers.
    pub(crate) async fn to_authorization(args: &AuthorizationArgs) -> anyhow::Result<Connection> {
        Connection::open(&args.server, &args.call, None).await
    }

    async fn open(
        server: &ServerUrl,
        call: &CallArgs,
        bearer: Option<MetadataValue<Ascii>>,
    ) -> anyhow::Result<Connection> {
        let mut endpoint = Endpoint::from_shared(server.to_string())
            .and_then(|endpoint| {
                endpoint.user_agent(concat!("octavia-authz/", env!("CARGO_PKG_VERSION")))
            })
            .with_context(|| format!("cannot use `{server}` as a server"))?;
        if server.is_tls() {
            endpoint = tls::secured(endpoint, &call.tls)?;
        }
        let patience = CONNECT_TIMEOUT.min(call.timeout);
        let channel = match tokio::time::timeout(patience, endpoint.connect()).await {
            Ok(Ok(channel)) => channel,
            Ok(Err(error)) => return Err(failure::unreachable(server, &error)),
            Err(_) => return Err(failure::silent(server, patience)),
        };
        Ok(Connection { channel, server: server.clone(), timeout: call.timeout, bearer })
    }

    /// The channel, for a generated client.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// A request that carries the token, if there is one.
    pub(crate) fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        if let Some(bearer) = &self.bearer {
            request.metadata_mut().insert("authorization", bearer.clone());
        }
        request
    }

    /// Waits for the answer to a question.
    ///
    /// # Errors
    /// The call failed, or there is no answer in time.
    pub(crate) async fn ask<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> anyhow::Result<T> {
        match tokio::time::timeout(self.timeout, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(failure::refused(&self.server, &status)),
            Err(_) => Err(failure::overdue(&self.server, self.timeout)),
        }
    }

    /// Waits for the next message of an answer that comes in pieces; `None`: that was
    /// all.
    ///
    /// # Errors
    /// The call failed, or there is no message in time.
    pub(crate) async fn next<M>(&self, answer: &mut Streaming<M>) -> anyhow::Result<Option<M>> {
        self.hear(answer, self.timeout).await
    }

    /// The same, with a patience of its own.
    ///
    /// # Errors
    /// The call failed, or nothing comes within `patience`.
    pub(crate) async fn hear<M>(
        &self,
        answer: &mut Streaming<M>,
        patience: Duration,
    ) -> anyhow::Result<Option<M>> {
        match tokio::time::timeout(patience, answer.message()).await {
            Ok(Ok(message)) => Ok(message),
            Ok(Err(status)) => Err(failure::refused(&self.server, &status)),
            Err(_) => Err(failure::overdue(&self.server, patience)),
        }
    }

    /// Waits for the answer to a change. An error says so where it leaves open
    /// whether the change was made.
    ///
    /// # Errors
    /// The call failed, or there is no answer in time.
    pub(crate) async fn change<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> anyhow::Result<T> {
        match tokio::time::timeout(self.timeout, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) if failure::leaves_open(&status) => {
                Err(failure::in_doubt(&failure::refused(&self.server, &status)))
            }
            Ok(Err(status)) => Err(failure::refused(&self.server, &status)),
            Err(_) => Err(failure::in_doubt(&failure::overdue(&self.server, self.timeout))),
        }
    }
}

/// Why one of many was refused: the number of a gRPC status code, in words, and
/// what the sidecar says.
pub(crate) fn refusal(code: i32, message: &str) -> String {
    failure::one_of_many(code.into(), message)
}

/// The `authorization` metadata of a token.
fn bearer(token: &Secret) -> anyhow::Result<MetadataValue<Ascii>> {
    let text = Zeroizing::new(format!("Bearer {}", token.reveal()));
    // The source is dropped: it might show the text.
    let mut bearer = MetadataValue::try_from(text.as_str()).map_err(|_| {
        bad_usage!("the token holds characters that no token has; is it the right file?")
    })?;
    bearer.set_sensitive(true);
    Ok(bearer)
}
