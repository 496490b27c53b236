//! The program: parse, dispatch, Result → ExitCode.
//!
//! Exit codes: 0 done, 1 failed, 2 bad usage or configuration, 3 `check`
//! denied. What there is to do stands in `octavia_authz::cli`.

use std::{env, io::Write as _, process::ExitCode, sync::mpsc, thread, time::Duration};

use octavia_authz::{
    cli::{self, Cli},
    token::redacted,
};
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let cli = match Cli::from_args(env::args_os()) {
        Ok(cli) => cli,
        Err(answer) => {
            // Help and version come this way too, with exit code 0. Nobody is
            // left to be told that the stream is closed.
            let _ = match redacted(&answer.render().to_string()) {
                // A secret that was given as something else is not repeated.
                Some(clean) => std::io::stderr().lock().write_all(clean.as_bytes()),
                None => answer.print(),
            };
            return u8::try_from(answer.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    match cli::run(cli) {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            let message = format!("error: {error:#}");
            let message = redacted(&message).unwrap_or(message);
            say(message);
            cli::exit_code_of(&error)
        }
    }
}

/// Writes `message` to standard error, or gives up after a moment: a sidecar that
/// has to end does so also when nobody reads.
fn say(message: String) {
    let (said, waiting) = mpsc::channel::<()>();
    let say = move || {
        let _ = writeln!(std::io::stderr().lock(), "{message}");
        drop(said);
    };
    if thread::Builder::new().spawn(say).is_ok() {
        let _ = waiting.recv_timeout(Duration::from_secs(2));
    }
}
