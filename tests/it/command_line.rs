//! The command line against a real sidecar: what is printed, where secrets go,
//! and how each command ends.

mod changes;
mod check;
mod import;
mod keys;
mod revoke_many;
mod secrets;
mod serve;
mod server;
mod simulate;

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::sidecar::{PROGRAM, Sidecar};

/// The program, without what the environment of the tests may say.
pub fn program() -> Command {
    let mut command = Command::new(PROGRAM);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OCTAVIA_") {
            command.env_remove(name);
        }
    }
    // Where a test gives no flag: others run at the same time.
    command
        .env("OCTAVIA_AUTHZ_OPS_LISTEN", "127.0.0.1:0")
        .env("OCTAVIA_AUTHZ_DASHBOARD_LISTEN", "127.0.0.1:0")
        .env("OCTAVIA_AUTHZ_LAMEDUCK", "0s");
    command
}

/// A command that calls the admin API of `sidecar` as its operator.
pub fn admin(sidecar: &Sidecar, args: &[&str]) -> Command {
    let mut command = program();
    command.args(args).arg("--server").arg(format!("http://{}", sidecar.admin_listen));
    command.arg("--token-file").arg(sidecar.dir().join("operator.token"));
    command
}

/// A command that calls the authorization API of `sidecar`.
fn asks(sidecar: &Sidecar, args: &[&str]) -> Command {
    let mut command = program();
    command.args(args).arg("--server").arg(format!("http://{}", sidecar.listen));
    command
}

/// How a command ended.
pub struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ended {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// What it printed; it must have ended with `code`.
    #[track_caller]
    pub fn with(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self.out
    }

    /// All that it said, however it ended.
    pub fn said(self) -> String {
        self.out + &self.err
    }

    /// The same as JSON.
    #[track_caller]
    pub fn json(self, code: i32) -> Value {
        serde_json::from_str(&self.with(code)).unwrap()
    }

    /// What it said was wrong; it must have ended with `code` and printed nothing.
    #[track_caller]
    pub fn refused(self, code: i32) -> String {
        assert_eq!((self.code, self.out.as_str()), (Some(code), ""), "{}", self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self.err
    }
}

/// Runs a command to its end, with nothing on standard input.
pub fn run(mut command: Command) -> Ended {
    Ended::of(command.stdin(Stdio::null()).output().unwrap())
}

/// Runs a command to its end, with `input` on standard input.
fn run_with(mut command: Command, input: &str) -> Ended {
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Ended::of(child.wait_with_output().unwrap())
}
