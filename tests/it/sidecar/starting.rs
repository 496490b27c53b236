//! A sidecar that was started and does not serve yet.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread::{self, JoinHandle},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{PATIENCE, Sidecar};

/// A sidecar that starts. Killed when dropped.
pub struct Starting {
    child: Option<Child>,
    dir: PathBuf,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    started: mpsc::Receiver<serde_json::Value>,
}

impl Starting {
    /// Starts `command` on `dir`, and reads what it says.
    pub fn spawn(mut command: Command, dir: &Path, args: &[&str]) -> Self {
        let mut child = command
            .arg("serve")
            .args([
                "--listen",
                "127.0.0.1:0",
                "--admin-listen",
                "127.0.0.1:0",
                "--log-format",
                "json",
            ])
            .arg("--data-dir")
            .arg(dir)
            .args(args)
            .env_remove("OCTAVIA_AUTHZ_DATA_DIR")
            // Where a test gives no flag.
            .env("OCTAVIA_AUTHZ_OPS_LISTEN", "127.0.0.1:0")
            .env("OCTAVIA_AUTHZ_DASHBOARD_LISTEN", "127.0.0.1:0")
            .env("OCTAVIA_AUTHZ_LAMEDUCK", "0s")
            .env("OCTAVIA_AUTHZ_MAX_FAILED_SIGN_INS", "1000000")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (serving, started) = mpsc::channel();
        let (stderr, lines) = (child.stderr.take().unwrap(), Arc::clone(&log));
        let reader = thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().unwrap().push_str(&format!("{line}\n"));
                if let Ok(event) = serde_json::from_str::<serde_json::Value>(&line)
                    && event["message"] == "serving"
                {
                    let _ = serving.send(event);
                }
            }
        });
        Self { child: Some(child), dir: dir.to_owned(), log, reader: Some(reader), started }
    }

    /// Waits until it serves, or says how it ended and what it said.
    pub fn serving(mut self) -> Result<Sidecar, (ExitStatus, String)> {
        match self.started.recv_timeout(PATIENCE) {
            Ok(event) => {
                let address = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
                Ok(Sidecar {
                    child: self.child.take().unwrap(),
                    dir: self.dir.clone(),
                    log: Arc::clone(&self.log),
                    reader: self.reader.take(),
                    listen: address("listen"),
                    admin_listen: address("admin_listen"),
                    authzen_listen: address("authzen_listen"),
                    ops_listen: address("ops_listen"),
                    dashboard: address("dashboard_listen"),
                    _temporary: None,
                })
            }
            // Its standard error has ended: so has it.
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(self.ended()),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                panic!("not serving after {PATIENCE:?}: {}", self.log())
            }
        }
    }

    /// SIGTERM, and wait: how it ended and what it said.
    pub fn stop(mut self) -> (ExitStatus, String) {
        let pid = Pid::from_child(self.child.as_ref().unwrap());
        kill_process(pid, Signal::TERM).unwrap();
        match self.started.recv_timeout(PATIENCE) {
            Err(mpsc::RecvTimeoutError::Disconnected) => self.ended(),
            other => panic!("still running, {other:?}: {}", self.log()),
        }
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    fn ended(&mut self) -> (ExitStatus, String) {
        let status = self.child.take().unwrap().wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        (status, self.log())
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
