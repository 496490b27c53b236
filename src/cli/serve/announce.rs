//! What a start tells people: on one screen, or as one event for a log.

use std::{env, fmt::Write as _, io, thread};

use crate::{cli::output, config::Address, grpc::hex, server::Started, telemetry::LogFormat};

/// Says where everything is and what to try next: on one screen for people, as
/// one event for a log. Does not wait for anybody to read it.
///
/// # Errors
/// There can be no thread.
pub(super) fn announce(started: &Started, format: LogFormat) -> io::Result<()> {
    let recovery = &started.recovery;
    if recovery.torn > 0 {
        tracing::warn!(
            bytes = recovery.torn,
            "cut off a change that was begun and never acknowledged"
        );
    }
    if recovery.replayed > 0 {
        tracing::info!(changes = recovery.replayed, "replayed changes from the journal");
    }
    let (data_dir, digest) = (display(&started.data_dir), hex(&started.policy_digest));
    let token = display(&started.operator_token_file);
    let (listen, admin) = (list(&started.listen), list(&started.admin_listen));
    let authzen = Some(list(&started.authzen_listen)).filter(|authzen| !authzen.is_empty());
    let ops = Some(list(&started.ops_listen)).filter(|ops| !ops.is_empty());
    let dashboard = dashboard(started);
    match format {
        LogFormat::Json => tracing::info!(
            data_dir,
            keys = started.key_count,
            revision = started.revision,
            listen,
            admin_listen = admin,
            authzen_listen = authzen,
            ops_listen = ops,
            dashboard_listen = dashboard,
            tls = started.tls.is_some(),
            operator_token_file = token,
            policy_digest = digest,
            workers = started.workers,
            "serving"
        ),
        LogFormat::Text => {
            let new = if recovery.created { "new, " } else { "" };
            let admin = if admin.is_empty() { "none".to_owned() } else { admin };
            let mut text = format!("octavia-authz {}\n", env!("CARGO_PKG_VERSION"));
            let mut line = |name: &str, value: &str| {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "  {name:<16}{value}");
            };
            line(
                "data",
                &format!(
                    "{data_dir} ({new}{} keys, revision {})",
                    started.key_count, started.revision
                ),
            );
            line("authorization", &format!("{listen} ({} workers)", started.workers));
            line("admin", &admin);
            if let Some(authzen) = authzen {
                line("authzen", &authzen);
            }
            if let Some(ops) = ops {
                line("probes, metrics", &ops);
            }
            if let Some(dashboard) = dashboard {
                line("dashboard", &dashboard);
            }
            if let Some(certificate) = &started.tls {
                let tls = format!("{} until {}", certificate.subject, certificate.expires);
                line("tls", &tls);
            }
            line("operator token", &token);
            line("policy", &digest);
            if let Some(address) = started.admin_listen.first() {
                line("try next", &next_command(address, started.tls.is_some(), &token));
                if started.tls.is_some() && matches!(address, Address::Tcp(_)) {
                    line("", MAY_NEED);
                }
            }
            thread::Builder::new().name("announce".to_owned()).spawn(move || print(&text))?;
        }
    }
    Ok(())
}

/// Standard output may be a pipe that is full.
fn print(text: &str) {
    if let Err(error) = output::print_text(text) {
        let error = &*error as &dyn std::error::Error;
        tracing::warn!(error, "serving, but nobody is told where");
    }
}

/// Where the dashboard is, as a browser takes it; `None`: nowhere.
fn dashboard(started: &Started) -> Option<String> {
    let scheme = if started.tls.is_some() { "https" } else { "http" };
    let shown = |address: &Address| match address {
        Address::Tcp(address) => format!("{scheme}://{address}"),
        Address::Unix(_) => address.to_string(),
    };
    let addresses: Vec<_> = started.dashboard_listen.iter().map(shown).collect();
    Some(addresses.join(", ")).filter(|addresses| !addresses.is_empty())
}

/// What the next command needs over TLS, which cannot be told from here.
const MAY_NEED: &str = "(--tls-ca FILE if its CA is a private one, --tls-server-name NAME if the \
    certificate is for another name; --tls-cert and --tls-key if clients need one)";

/// A command that works against this very sidecar when it is pasted; over TLS it may need more.
fn next_command(admin: &Address, tls: bool, token: &str) -> String {
    let program = env::args().next().unwrap_or_else(|| "octavia-authz".to_owned());
    let server = match admin {
        Address::Tcp(address) if tls => {
            format!(" --server {}", quoted(&format!("https://{address}")))
        }
        Address::Tcp(address) if address == "127.0.0.1:50052" => String::new(),
        Address::Tcp(address) => format!(" --server {}", quoted(&format!("http://{address}"))),
        Address::Unix(_) => format!(" --server {}", quoted(&admin.to_string())),
    };
    format!(
        "{} keys create --name my-first-key --role read_only{server} --token-file {}",
        quoted(&program),
        quoted(token)
    )
}

/// A text as a shell takes it for one word.
fn quoted(text: &str) -> String {
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./:@".contains(c)) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn list(addresses: &[Address]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn display(path: &std::path::Path) -> String {
    path.canonicalize().unwrap_or_else(|_| path.to_owned()).display().to_string()
}
