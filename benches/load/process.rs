//! A server in a process of its own, and what the kernel says of it.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, ChildStderr, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_octavia-authz");
/// The kernel's clock ticks a second, on Linux the same everywhere.
const TICKS: f64 = 100.0;

pub struct Process {
    child: Child,
    pub address: String,
    pub admin: String,
    pub ops: String,
    pub dashboard: String,
    pub started_in: Duration,
    dir: TempDir,
    /// Its log, where nobody reads it.
    _unread: Option<BufReader<ChildStderr>>,
}

impl Process {
    /// The sidecar on an empty directory.
    pub fn sidecar() -> Self {
        Self::sidecar_on(TempDir::new().unwrap())
    }

    /// The sidecar on a directory.
    pub fn sidecar_on(dir: TempDir) -> Self {
        Self::sidecar_of(dir, &[], true)
    }

    /// The sidecar with more arguments. Its log is read, or only up to the line that it serves.
    pub fn sidecar_with(args: &[&str], read: bool) -> Self {
        Self::sidecar_of(TempDir::new().unwrap(), args, read)
    }

    fn sidecar_of(dir: TempDir, args: &[&str], read: bool) -> Self {
        let mut command = Command::new(PROGRAM);
        command.arg("serve").arg("--data-dir").arg(dir.path());
        command.args([
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            "--ops-listen",
            "127.0.0.1:0",
            "--dashboard-listen",
            "127.0.0.1:0",
            "--lameduck",
            "0s",
            "--log-format",
            "json",
        ]);
        command.args(args);
        Self::start(command, dir, read)
    }

    /// A handler that does nothing, on the same workers.
    pub fn empty() -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("--empty-server");
        Self::start(command, TempDir::new().unwrap(), true)
    }

    fn start(mut command: Command, dir: TempDir, read: bool) -> Self {
        let started = Instant::now();
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let event: serde_json::Value = stderr
            .by_ref()
            .lines()
            .filter_map(|line| serde_json::from_str(&line.unwrap()).ok())
            .find(|event: &serde_json::Value| event["message"] == "serving")
            .unwrap();
        let started_in = started.elapsed();
        let unread = if read {
            std::thread::spawn(move || io::copy(&mut stderr, &mut io::sink()));
            None
        } else {
            Some(stderr)
        };
        let address = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        Self {
            address: address("listen"),
            admin: address("admin_listen"),
            ops: address("ops_listen"),
            dashboard: address("dashboard_listen"),
            child,
            started_in,
            dir,
            _unread: unread,
        }
    }

    /// The value of a metric without labels.
    pub fn metric(&self, name: &str) -> String {
        let mut stream = TcpStream::connect(&self.ops).unwrap();
        let request = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap().to_owned()
    }

    /// Stopped in order; gives its directory.
    pub fn stop(mut self) -> TempDir {
        let pid = i32::try_from(self.child.id()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
        std::mem::replace(&mut self.dir, TempDir::new().unwrap())
    }

    /// The operator token.
    pub fn operator_token(&self) -> String {
        let token = fs::read_to_string(self.dir.path().join("operator.token")).unwrap();
        token.trim().to_owned()
    }

    /// A new key, made by the program's own command line.
    pub fn create_key(&self, role: &str) -> String {
        let output = Command::new(PROGRAM)
            .args(["keys", "create", "--name", "load", "--role", role, "--output", "json"])
            .args(["--server", &format!("http://{}", self.admin)])
            .arg("--token-file")
            .arg(self.dir.path().join("operator.token"))
            .output()
            .unwrap();
        let created: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        created["key"].as_str().unwrap().to_owned()
    }

    /// User and system time of the process.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The name in parentheses may hold spaces: count from behind it.
        let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        Duration::from_secs_f64(ticks / TICKS)
    }

    pub fn resident_mib(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
