//! A whole sidecar in this process: what is asked of it over the wire shows in its metrics.

use std::{
    env, fs,
    future::Future,
    io::Write as _,
    path::PathBuf,
    process::{self, Stdio},
};

use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use octavia_authz::{
    cli::{Cli, Command},
    metrics::{Counted, Exposition, Metrics, NONE, OTHER},
    pb::v1::{
        ApiKey, AuthorizeRequest, CreateApiKeyRequest, GetApiKeyRequest, IntrospectRequest,
        KeyStatus, RevokeApiKeyRequest, UpdateApiKeyRequest,
        api_key_service_client::ApiKeyServiceClient,
        authorization_service_client::AuthorizationServiceClient,
    },
    server::{Server, Started},
};
use prost_types::{FieldMask, Timestamp};
use tempfile::TempDir;
use tokio::sync::{
    mpsc::{UnboundedSender, unbounded_channel},
    oneshot,
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, transport::Channel};

use crate::{
    ext_authz::Asked,
    sidecar::{Admin, Bearer, connect, wait_until},
};

/// What a test asks, and looks at.
struct Parts {
    metrics: std::sync::Arc<Metrics>,
    authorization: AuthorizationServiceClient<Channel>,
    keys: ApiKeyServiceClient<Admin<Channel>>,
    channel: Channel,
    policy_file: PathBuf,
    reload: UnboundedSender<()>,
}

impl Parts {
    async fn create(&mut self, role: &str, expires: Option<Timestamp>) -> (ApiKey, String) {
        let request = CreateApiKeyRequest {
            name: format!("a {role}"),
            role: role.to_owned(),
            expire_time: expires,
            ..Default::default()
        };
        let created = self.keys.create_api_key(request).await.unwrap().into_inner();
        (created.api_key.unwrap(), created.key)
    }

    async fn ask(&mut self, key: &str, action: &str) -> bool {
        let (key, action) = (key.to_owned(), action.to_owned());
        let request = AuthorizeRequest { key, action, ..Default::default() };
        self.authorization.authorize(request).await.unwrap().into_inner().allowed
    }

    fn text(&self) -> String {
        self.metrics.encode(Exposition::Classic).unwrap()
    }

    /// The value of a series.
    fn value(&self, series: &str) -> Option<f64> {
        let text = self.text();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        Some(line.parse().unwrap())
    }

    fn decisions(&self, labels: [&str; 3], reason: Counted) -> u64 {
        self.metrics.handles().decisions.counts.count(labels, reason)
    }
}

async fn with_parts<F: Future<Output = ()>>(test: impl FnOnce(Parts) -> F) {
    let dir = TempDir::new().unwrap();
    let policy_file = dir.path().join("policy.toml");
    fs::write(&policy_file, "").unwrap();
    let data_dir = dir.path().join("data");
    let [data_dir, policy] = [&data_dir, &policy_file].map(|path| path.to_str().unwrap());
    let args = ["octavia-authz", "serve", "--data-dir", data_dir, "--listen", "127.0.0.1:0"];
    let listen = ["--admin-listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];
    let more = ["--policy", policy, "--usage-flush-interval", "1h", "--lameduck", "0s"];
    let more = listen.into_iter().chain(["--dashboard-listen", "none"]).chain(more);
    let cli = Cli::from_args(args.into_iter().chain(more).map(Into::into)).unwrap();
    let Command::Serve(args) = cli.command else { panic!("asked to serve") };
    let config = args.config().unwrap();
    let server = Server::start(config.clone()).await.unwrap();
    let metrics = server.metrics().clone();
    let (stop, stopped) = unbounded_channel();
    let (reload, asked) = unbounded_channel();
    let (stopped, asked) =
        (UnboundedReceiverStream::new(stopped), UnboundedReceiverStream::new(asked));
    let (announced, started) = oneshot::channel();
    let announce = |started: &Started| announced.send(started.clone()).unwrap();
    let running = tokio::spawn(server.run(stopped, asked, announce));
    let started = started.await.unwrap();
    let operator = fs::read_to_string(&started.operator_token_file).unwrap();
    let admin = connect(&started.admin_listen[0].to_string()).await;
    let channel = connect(&started.listen[0].to_string()).await;
    let parts = Parts {
        metrics: metrics.clone(),
        authorization: AuthorizationServiceClient::new(channel.clone()),
        keys: ApiKeyServiceClient::with_interceptor(admin, Bearer::new(operator.trim())),
        channel,
        policy_file,
        reload,
    };
    test(parts).await;
    drop(stop);
    running.await.unwrap().unwrap();
    // A scraper that comes late finds what was counted, and keeps nothing open.
    let text = metrics.encode(Exposition::Classic).unwrap();
    assert!(text.contains("octavia_authz_commits_total") && !text.contains("octavia_authz_keys{"));
    assert!(Server::start(config).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_are_counted_by_what_the_policy_knows_of_them() {
    with_parts(|mut parts| async move {
        let (key, text) = parts.create("writer", None).await;
        assert!(parts.ask(&text, "articles.create").await);
        assert!(parts.ask(&text, "articles.create").await);
        assert!(!parts.ask(&text, "api_keys.create").await);
        assert!(!parts.ask(&text, "articles.explode").await);
        assert!(!parts.ask("octv_no_key", "articles.create").await);
        let request = AuthorizeRequest { service: "x".repeat(1000), ..Default::default() };
        let refused = parts.authorization.authorize(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let request = UpdateApiKeyRequest {
            id: key.id.clone(),
            api_key: Some(ApiKey { status: KeyStatus::Inactive.into(), ..Default::default() }),
            update_mask: Some(FieldMask { paths: vec!["status".to_owned()] }),
            ..Default::default()
        };
        parts.keys.update_api_key(request).await.unwrap();
        assert!(!parts.ask(&text, "comments.read").await);
        parts
            .keys
            .revoke_api_key(RevokeApiKeyRequest { id: key.id.clone(), ..Default::default() })
            .await
            .unwrap();
        assert!(!parts.ask(&text, "articles.create").await);
        let request = IntrospectRequest { key: text.clone(), ..Default::default() };
        parts.authorization.introspect(request).await.unwrap();

        let writer = |resource| ["ai-cms", "writer", resource];
        for (labels, reason, count) in [
            (writer("articles"), Counted::Allowed, 2),
            (writer("api_keys"), Counted::ActionDenied, 1),
            (writer(OTHER), Counted::ActionUnknown, 1),
            (writer("comments"), Counted::KeyInactive, 1),
            ([NONE; 3], Counted::KeyMalformed, 1),
            ([NONE; 3], Counted::RequestInvalid, 1),
            ([NONE; 3], Counted::KeyUnknown, 1),
            ([NONE; 3], Counted::Unavailable, 0),
        ] {
            assert_eq!(parts.decisions(labels, reason), count, "{labels:?} {reason:?}");
        }
        let shown = parts.text();
        for secret in [&*text, &key.id, "explode"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        // First, and again after the update: five questions with a key that there was.
        let (hits, misses) = ("octavia_authz_cache_hits_total", "octavia_authz_cache_misses_total");
        assert_eq!((parts.value(hits), parts.value(misses)), (Some(3.0), Some(4.0)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_proxy_asks_is_counted_once_for_each_request() {
    with_parts(|mut parts| async move {
        let (_, text) = parts.create("writer", None).await;
        let proxy = AuthorizationClient::new(parts.channel.clone());
        for (path, key) in [
            ("/cms/articles/advanceSearch", &*text),
            ("/cms/no/such", &*text),
            ("/cms/articles/advanceSearch", "no key"),
        ] {
            Asked::new("GET", path, key).ask(&proxy).await;
        }
        let mut asked = Asked::new("GET", "/cms/articles/advanceSearch", "");
        asked.headers.clear();
        asked.ask(&proxy).await;
        // `attributes.request.http` with a method that is no text.
        let unreadable = b"\x0a\x07\x22\x05\x12\x03\x12\x01\xff".to_vec();
        let path = "/envoy.service.auth.v3.Authorization/Check";
        crate::raw::unary(&parts.channel, path, "", unreadable).await.unwrap();
        let writer = |resource| ["ai-cms", "writer", resource];
        assert_eq!(parts.decisions(writer("articles"), Counted::Allowed), 1);
        assert_eq!(parts.decisions(writer(OTHER), Counted::ActionUnknown), 1);
        assert_eq!(parts.decisions([NONE; 3], Counted::KeyMalformed), 2);
        assert_eq!(parts.decisions([NONE; 3], Counted::RequestInvalid), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admin_calls_are_counted_by_the_code_that_they_end_with() {
    with_parts(|mut parts| async move {
        parts.create("writer", None).await;
        let request = GetApiKeyRequest { id: "0000000000".to_owned() };
        assert_eq!(parts.keys.get_api_key(request).await.unwrap_err().code(), Code::NotFound);
        let request = CreateApiKeyRequest { role: "no such".to_owned(), ..Default::default() };
        let refused = parts.keys.create_api_key(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let count = |method, code| parts.metrics.handles().admin.count(method, code);
        assert_eq!(count("CreateApiKey", "OK"), 1);
        assert_eq!(count("CreateApiKey", "INVALID_ARGUMENT"), 1);
        assert_eq!(count("GetApiKey", "NOT_FOUND"), 1);
        let took = "octavia_authz_admin_request_duration_seconds_count{method=\"CreateApiKey\"}";
        assert_eq!(parts.value(took), Some(2.0));
        assert_eq!(parts.value("octavia_authz_commits_total{result=\"done\"}"), Some(1.0));
        assert_eq!(parts.value("octavia_authz_commits_total{result=\"refused\"}"), Some(1.0));
        assert_eq!(parts.value("octavia_authz_commit_duration_seconds_count"), Some(2.0));
        // The refusal is recorded, too.
        assert_eq!(parts.value("octavia_authz_fsync_duration_seconds_count"), Some(2.0));
        assert_eq!(parts.value("octavia_authz_audit_sequence"), Some(2.0));
        assert_eq!(parts.value("octavia_authz_revision"), Some(2.0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gauges_show_what_is_there_when_they_are_read() {
    with_parts(|mut parts| async move {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let soon = i64::try_from(now.as_secs()).unwrap() + 10 * 24 * 3600;
        parts.create("writer", None).await;
        parts.create("writer", Some(Timestamp { seconds: soon, nanos: 0 })).await;
        wait_until("the keys to be read", || {
            parts.value("octavia_authz_keys{status=\"active\"}") == Some(2.0)
        });
        assert_eq!(parts.value("octavia_authz_keys{status=\"inactive\"}"), Some(0.0));
        assert_eq!(parts.value("octavia_authz_keys{status=\"expired\"}"), Some(0.0));
        assert_eq!(parts.value("octavia_authz_keys_expiring{within=\"7d\"}"), Some(0.0));
        assert_eq!(parts.value("octavia_authz_keys_expiring{within=\"30d\"}"), Some(1.0));
        assert_eq!(parts.value("octavia_authz_staleness_seconds"), Some(0.0));
        for size in ["journal_bytes", "state_bytes", "usage_bytes", "disk_free_bytes"] {
            assert!(parts.value(&format!("octavia_authz_{size}")).unwrap() > 0.0, "{size}");
        }
        let digest = octavia_authz::policy::Policy::built_in().unwrap();
        let digest = octavia_authz::grpc::hex(digest.digest());
        let policy = format!("octavia_authz_policy_info{{digest=\"{digest}\"}}");
        assert_eq!(parts.value(&policy), Some(1.0));
        let started = parts.value("process_start_time_seconds").unwrap();
        assert!((now.as_secs_f64() - started).abs() < 3600.0, "{started}");
        assert_eq!(parts.value("octavia_authz_cache_entries"), Some(0.0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_go_on_under_a_policy_that_was_read_anew() {
    with_parts(|mut parts| async move {
        let (_, text) = parts.create("super_admin", None).await;
        assert!(parts.ask(&text, "articles.create").await);
        assert!(!parts.ask(&text, "radio.play").await);
        let reloads = |result| format!("octavia_authz_policy_reloads_total{{result=\"{result}\"}}");
        for (policy, result) in [
            ("no policy", reloads("failed")),
            ("[services.ai-cms.actions]\nradio.play = \"play it\"", reloads("done")),
        ] {
            fs::write(&parts.policy_file, policy).unwrap();
            parts.reload.send(()).unwrap();
            wait_until("the policy to be read", || parts.value(&result) == Some(1.0));
        }
        assert!(parts.ask(&text, "articles.create").await);
        assert!(parts.ask(&text, "radio.play").await);
        let of = |resource| ["ai-cms", "super_admin", resource];
        assert_eq!(parts.decisions(of("articles"), Counted::Allowed), 2);
        assert_eq!(parts.decisions(of("radio"), Counted::Allowed), 1);
        assert_eq!(parts.decisions(of(OTHER), Counted::ActionUnknown), 1);
        let policies = parts.text();
        let policies =
            policies.lines().filter(|line| line.starts_with("octavia_authz_policy_info"));
        assert_eq!(policies.count(), 1);
    })
    .await;
}

/// A checker must take `text`, and say nothing.
pub fn check(command: &mut process::Command, text: &str) {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut checker = piped.spawn().unwrap();
    checker.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = checker.wait_with_output().unwrap();
    assert!(said.status.success() && said.stderr.is_empty(), "{said:?} of {text}");
}

/// What there is to tell when everything was used.
async fn told(parts: &mut Parts) -> [String; 2] {
    let (_, text) = parts.create("writer", None).await;
    parts.ask(&text, "articles.create").await;
    let handles = parts.metrics.handles();
    let _open = handles.listeners.of("admin").connected();
    handles.tls.set_expiry("admin", octavia_authz::clock::Timestamp(1));
    let forms = [Exposition::Classic, Exposition::OpenMetrics];
    forms.map(|exposition| parts.metrics.encode(exposition).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs promtool, of Debian's package prometheus"]
async fn promtool_finds_nothing_to_complain_about() {
    with_parts(|mut parts| async move {
        let [classic, _] = told(&mut parts).await;
        check(process::Command::new("promtool").args(["check", "metrics"]), &classic);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Python with prometheus-client: see .ci/run"]
async fn prometheus_own_parser_takes_the_openmetrics_text() {
    const PARSE: &str = "import sys\n\
         from prometheus_client.openmetrics.parser import text_string_to_metric_families\n\
         assert len(list(text_string_to_metric_families(sys.stdin.read()))) > 30";
    with_parts(|mut parts| async move {
        let [_, openmetrics] = told(&mut parts).await;
        let python = env::var_os("OCTAVIA_TEST_PYTHON").unwrap_or_else(|| "python3".into());
        check(process::Command::new(python).args(["-c", PARSE]), &openmetrics);
    })
    .await;
}
