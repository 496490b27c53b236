//! What the sidecar says while it runs: structured events on standard error.
//!
//! INVARIANT: no event holds a key's text, a token or a digest; their types have
//! no way to be printed. Set up once by `cli::serve`. Layout: `queues` are between
//! who logs and standard error; `ratio` picks samples, `traceparent` reads W3C's
//! header, `traces` sends spans to a collector.

mod once_per_second;
mod queues;
mod ratio;
mod traceparent;
mod traces;

use std::io::{self, IsTerminal as _};

use tracing_subscriber::{
    EnvFilter, filter::LevelFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use self::queues::Queues;
pub(crate) use self::{
    once_per_second::OncePerSecond,
    queues::{ANYBODY, DENIAL},
    traceparent::Traceparent,
    traces::Noted,
};
pub use self::{
    queues::{LogGuard, lines_dropped},
    ratio::{InvalidRatio, Ratio},
    traces::{InvalidOtlpEndpoint, Otlp, OtlpEndpoint, Traces, spans_dropped},
};

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// A line of text for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// The log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error(
        "`{given}` is no log level: give `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,octavia_authz=debug`"
    )]
    Filter {
        /// What was given.
        given: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// A word alone that is no level. As a filter it would be the name of a
    /// module, and silence all others.
    #[error(
        "`{0}` is no log level: give `error`, `warn`, `info`, `debug`, `trace`, `off`, or a filter such as `info,octavia_authz=debug`"
    )]
    Level(String),
    /// It is set up already.
    #[error("the log is set up already")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// sled is heard no further than this.
const SLED: &str = "sled=info";
/// h2 warns of every frame that a client sends in vain; who wants to hear it says so.
const H2: &str = "h2=error";

/// Writes events that pass `level` to standard error from now on, as long as the guard is kept. Who
/// logs does not wait for that.
///
/// # Errors
/// [`TelemetryError`]
pub fn start(format: LogFormat, level: &str) -> Result<LogGuard, TelemetryError> {
    if !level.contains([',', '=', '[']) && level.parse::<LevelFilter>().is_err() {
        return Err(TelemetryError::Level(level.to_owned()));
    }
    let all = level.parse::<LevelFilter>().is_ok_and(|level| level > LevelFilter::INFO);
    let quieted = if all { level.to_owned() } else { format!("{H2},{level}") };
    let filter = EnvFilter::builder()
        .parse(quieted)
        .map_err(|source| TelemetryError::Filter { given: level.to_owned(), source })?
        // What sled traces are records, digests included, as lists of numbers.
        .add_directive(
            SLED.parse()
                .map_err(|source| TelemetryError::Filter { given: SLED.to_owned(), source })?,
        );
    let registry = tracing_subscriber::registry().with(filter);
    let (queues, guard) = Queues::start();
    match format {
        LogFormat::Text => {
            let colours = io::stderr().is_terminal();
            registry.with(fmt::layer().with_ansi(colours).with_writer(queues)).try_init()?;
        }
        LogFormat::Json => {
            registry
                .with(fmt::layer().json().flatten_event(true).with_writer(queues))
                .try_init()?;
        }
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a defect: {}", panic.payload_as_str().unwrap_or("no message"));
    }));
    Ok(guard)
}
