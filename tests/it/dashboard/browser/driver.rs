//! What drives a browser, and ends with it.
//!
//! A browser takes longer to start than most tests last, so a test leaves its own to the next one. As
//! every test has a sidecar of its own, on a port of its own, they share no page and no cookie.

use std::{
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use fantoccini::{Client, ClientBuilder, wd::WebDriverCompatibleCommand};
use http::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;
use url::{ParseError, Url};

use crate::sidecar::PATIENCE;

static POOL: Mutex<Pool> = Mutex::new(Pool { taken: 0, idle: Vec::new() });

/// INVARIANT: when no driver is taken, there is none.
struct Pool {
    taken: usize,
    idle: Vec<Driver>,
}

/// A driver that a test has to itself. A test that fails leaves it to nobody.
pub(super) struct Taken(Option<Driver>);

/// A chromedriver, with the browser that it starts.
///
/// INVARIANT: both are of one process group, which is the driver's own and ends with it.
struct Driver {
    child: Child,
    address: String,
    profile: TempDir,
    /// What it calls its browser, once that was started.
    session: Option<String>,
}

impl Taken {
    pub(super) fn take() -> Self {
        let mut pool = pool();
        pool.taken += 1;
        Self(pool.idle.pop())
    }

    /// Its browser.
    pub(super) async fn client(&mut self) -> Client {
        self.0.get_or_insert_with(Driver::start).client().await
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut pool = pool();
        pool.taken -= 1;
        pool.idle.extend(self.0.take().filter(|_| !thread::panicking()));
        if pool.taken == 0 {
            pool.idle.clear();
        }
    }
}

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Driver {
    fn start() -> Self {
        let profile = TempDir::new().unwrap();
        let mut child = Command::new("chromedriver")
            .arg("--port=0")
            // What the browser leaves lying about goes with its profile.
            .env("TMPDIR", profile.path())
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("chromedriver: see .ci/run");
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = said.find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            Some(port.trim_end_matches('.').to_owned())
        });
        let address = format!("http://localhost:{}", port.expect("chromedriver's port"));
        Self { child, address, profile, session: None }
    }

    async fn client(&mut self) -> Client {
        let connector = HttpConnector::new();
        if let Some(session) = &self.session {
            let client = Client::with_existing_session(&self.address, session, connector);
            let client = client.await.unwrap();
            client.persist().await.unwrap();
            return client;
        }
        let profile = format!("--user-data-dir={}", self.profile.path().display());
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-breakpad",
            "--disable-extensions",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--lang=en-US",
            "--window-size=1280,900",
            &profile,
        ];
        let capabilities = json!({
            "goog:chromeOptions": { "args": args },
            "timeouts": { "script": PATIENCE.as_millis() },
        });
        let client = ClientBuilder::new(connector)
            .capabilities(capabilities.as_object().unwrap().clone())
            .connect(&self.address)
            .await
            .unwrap();
        // It outlives its client.
        client.persist().await.unwrap();
        self.session = client.session_id().await.unwrap();
        client
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// A command of the browser's own protocol.
#[derive(Debug)]
pub(super) struct Cdp(pub(super) Value);

impl WebDriverCompatibleCommand for Cdp {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap()))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.0.to_string()))
    }
}
