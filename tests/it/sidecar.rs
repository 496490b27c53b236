//! A real sidecar on free ports, and clients for it.

mod secret_free;
mod starting;

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use octavia_authz::pb::v1::{
    ApiKey, AuthorizeRequest, AuthorizeResponse, CreateApiKeyRequest, KeySecret, Resource,
    api_key_service_client::ApiKeyServiceClient,
    authorization_service_client::AuthorizationServiceClient,
    maintenance_service_client::MaintenanceServiceClient, role_service_client::RoleServiceClient,
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

pub use self::starting::Starting;

/// How long anything may take that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks at what is waited for, which needs the processor more.
pub const STEP: Duration = Duration::from_millis(2);

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_octavia-authz");

/// A running sidecar. Killed when dropped.
pub struct Sidecar {
    child: Child,
    dir: PathBuf,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    pub listen: String,
    pub admin_listen: String,
    /// Empty where it is not on.
    pub authzen_listen: String,
    pub ops_listen: String,
    /// Where the dashboard is: `http://…`.
    pub dashboard: String,
    _temporary: Option<TempDir>,
}

/// A client of the admin API that carries a credential.
pub type Admin<C> = InterceptedService<C, Bearer>;

/// Puts a credential on every call.
#[derive(Clone)]
pub struct Bearer(MetadataValue<Ascii>);

impl Bearer {
    pub fn new(credential: &str) -> Self {
        Self(format!("Bearer {credential}").parse().unwrap())
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

impl Sidecar {
    /// A sidecar on a new directory.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A sidecar on a new directory, with more arguments.
    pub fn start_with(args: &[&str]) -> Self {
        let temporary = TempDir::new().unwrap();
        let mut sidecar = Self::start_on(&temporary.path().join("data"), args);
        sidecar._temporary = Some(temporary);
        sidecar
    }

    /// A sidecar on `dir`, which stays when it is dropped.
    pub fn start_on(dir: &Path, args: &[&str]) -> Self {
        Self::try_start_on(dir, args)
            .unwrap_or_else(|(status, log)| panic!("no start, {status}: {log}"))
    }

    /// A sidecar on `dir`, or how it ended and what it said.
    pub fn try_start_on(dir: &Path, args: &[&str]) -> Result<Self, (ExitStatus, String)> {
        Self::try_spawn(Command::new(PROGRAM), dir, args)
    }

    /// The same, by a command that runs the program (`strace …`).
    pub fn try_spawn(
        command: Command,
        dir: &Path,
        args: &[&str],
    ) -> Result<Self, (ExitStatus, String)> {
        Starting::spawn(command, dir, args).serving()
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The operator token.
    pub fn operator_token(&self) -> String {
        std::fs::read_to_string(self.dir.join("operator.token")).unwrap().trim().to_owned()
    }

    /// SIGKILL, and wait.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and wait for the end.
    pub async fn stop(self) -> ExitStatus {
        self.terminate();
        self.wait().await
    }

    /// SIGTERM, without waiting.
    pub fn terminate(&self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// Waits until it has ended. Not blocking: a client on this thread has to
    /// answer for its connection to be closed.
    pub async fn wait(mut self) -> ExitStatus {
        self.ended().await
    }

    /// Stops it in order. It must have served until then, and have logged no
    /// defect and no error. Gives all that it has logged.
    pub async fn finish(self) -> String {
        for address in self.listen.split(", ").chain(self.admin_listen.split(", ")) {
            let mut health = HealthClient::new(connect(address).await);
            let answer = health.check(HealthCheckRequest::default()).await.unwrap();
            assert_eq!(answer.into_inner().status(), ServingStatus::Serving, "{address}");
        }
        self.terminate();
        self.finish_after_stop().await
    }

    /// The same of one that was asked to stop already.
    pub async fn finish_after_stop(mut self) -> String {
        let status = self.ended().await;
        self.reader.take().unwrap().join().unwrap();
        let log = self.log();
        assert_eq!(status.code(), Some(0), "{log}");
        for trouble in ["a defect", "panicked", r#""level":"ERROR""#] {
            assert!(!log.contains(trouble), "{log}");
        }
        log
    }

    async fn ended(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "still running after {PATIENCE:?}: {}",
                self.log()
            );
            step().await;
        }
    }

    pub async fn channel(&self) -> Channel {
        connect(&self.listen).await
    }

    pub async fn authorization(&self) -> AuthorizationServiceClient<Channel> {
        AuthorizationServiceClient::new(self.channel().await)
    }

    /// The key API, as the operator.
    pub async fn keys(&self) -> ApiKeyServiceClient<Admin<Channel>> {
        self.keys_as(&self.operator_token()).await
    }

    /// The key API, with any credential.
    pub async fn keys_as(&self, credential: &str) -> ApiKeyServiceClient<Admin<Channel>> {
        ApiKeyServiceClient::with_interceptor(
            connect(&self.admin_listen).await,
            Bearer::new(credential),
        )
    }

    pub async fn roles_as(&self, credential: &str) -> RoleServiceClient<Admin<Channel>> {
        RoleServiceClient::with_interceptor(
            connect(&self.admin_listen).await,
            Bearer::new(credential),
        )
    }

    pub async fn maintenance_as(
        &self,
        credential: &str,
    ) -> MaintenanceServiceClient<Admin<Channel>> {
        MaintenanceServiceClient::with_interceptor(
            connect(&self.admin_listen).await,
            Bearer::new(credential),
        )
    }

    /// A new key of `role`, and its text.
    pub async fn create(&self, role: &str) -> (ApiKey, String) {
        let request = CreateApiKeyRequest {
            name: format!("a {role}"),
            role: role.to_owned(),
            ..Default::default()
        };
        let created = self.keys().await.create_api_key(request).await.unwrap().into_inner();
        (created.api_key.unwrap(), created.key)
    }

    /// One decision, without attributes.
    pub async fn authorize(&self, key: &str, action: &str) -> AuthorizeResponse {
        self.authorize_on(key, action, Resource::default()).await
    }

    /// One decision about a resource.
    pub async fn authorize_on(
        &self,
        key: &str,
        action: &str,
        resource: Resource,
    ) -> AuthorizeResponse {
        let request = AuthorizeRequest {
            key: key.to_owned(),
            action: action.to_owned(),
            resource: Some(resource),
            ..Default::default()
        };
        self.authorization().await.authorize(request).await.unwrap().into_inner()
    }
}

/// A key without how it was used.
pub fn without_usage(key: ApiKey) -> ApiKey {
    let secrets = key.secrets.into_iter();
    let secrets = secrets.map(|secret| KeySecret { last_used_time: None, ..secret }).collect();
    ApiKey {
        secrets,
        last_used_time: None,
        allowed_count: 0,
        denied_count: 0,
        usage_since_time: None,
        ..key
    }
}

/// Whatever a test is about, the log holds no secret.
impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !thread::panicking() {
            secret_free::assert(&self.log());
        }
    }
}

/// A channel to an address as the log gives it; of several, to the first.
pub async fn connect(addresses: &str) -> Channel {
    let (address, _) = addresses.split_once(", ").unwrap_or((addresses, ""));
    let endpoint =
        if address.starts_with("unix:") { address.to_owned() } else { format!("http://{address}") };
    Endpoint::from_shared(endpoint).unwrap().connect().await.unwrap()
}

/// Waits a moment, between two looks at what is waited for.
pub async fn step() {
    tokio::time::sleep(STEP).await;
}

/// Waits for a condition; fails after [`PATIENCE`].
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        thread::sleep(STEP);
    }
}
