//! Real input: a client that is not ours asks every operation of the public HTTP
//! API for a key of every role, and the golden table says what must come back.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use octavia_authz::pb::v1::{DecisionReason, Resource};
use serde_json::{Value, json};

use crate::{
    golden::{self, Operation, Right},
    sidecar::Sidecar,
};

const AUTHORIZATION: &str = "octavia.authz.v1.AuthorizationService";
const KEYS: &str = "octavia.authz.v1.ApiKeyService";

/// Python with grpcio, calling a sidecar.
struct Python {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Python {
    /// Starts `real_input.py` with the interpreter of OCTAVIA_TEST_PYTHON.
    fn start(sidecar: &Sidecar) -> Self {
        let root = env!("CARGO_MANIFEST_DIR");
        let interpreter = env::var_os("OCTAVIA_TEST_PYTHON").unwrap_or_else(|| "python3".into());
        let mut child = Command::new(interpreter)
            .arg(format!("{root}/tests/it/real_input.py"))
            .arg(format!("{root}/proto"))
            .args([&sidecar.listen, &sidecar.admin_listen])
            .env("OPERATOR_TOKEN", sidecar.operator_token())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, stdin, stdout: BufReader::new(stdout) }
    }

    /// The whole answer to a call: `response`, or `code` and `message`.
    fn answer(&mut self, call: &Value) -> Value {
        writeln!(self.stdin, "{call}").unwrap();
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: `{line}` to {call}"))
    }

    /// What a call that succeeds answers.
    fn call(&mut self, rpc: &str, request: Value) -> Value {
        let mut answer = self.answer(&json!({ "rpc": rpc, "request": request }));
        assert!(answer["response"] != Value::Null, "{rpc}: {answer}");
        answer["response"].take()
    }

    /// Ends it, and sees that it ended well.
    fn finish(self) {
        let Self { mut child, stdin, stdout } = self;
        drop((stdin, stdout));
        assert!(child.wait().unwrap().success());
    }
}

/// A key that Python created.
struct Key {
    role: &'static str,
    id: String,
    text: String,
}

fn create_a_key_of_every_role(python: &mut Python) -> Vec<Key> {
    let create = |role| {
        let request = json!({ "name": format!("a {role}"), "role": role, "team": "web" });
        let created = python.call(&format!("{KEYS}/CreateApiKey"), request);
        assert_eq!(created["api_key"]["role"], role);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Key { role, id: text(&created["api_key"]["id"]), text: text(&created["key"]) }
    };
    golden::ROLES.map(create).into()
}

/// A question about an operation, and what the golden table says to it.
struct Question<'a> {
    key: &'a Key,
    operation: Operation,
    resource: Resource,
}

impl Question<'_> {
    fn request(&self) -> Value {
        let Resource { owner, state, .. } = &self.resource;
        let resource = match (owner.as_str(), state.as_str()) {
            ("", "") => Value::Null,
            _ => json!({ "owner": owner, "state": state }),
        };
        json!({
            "key": self.key.text,
            "action": self.operation.action,
            "resource": resource,
            "correlation_id": self.name(),
        })
    }

    fn name(&self) -> String {
        let Operation { method, path, .. } = self.operation;
        let Resource { owner, state, .. } = &self.resource;
        format!("{} {method} {path} owner={owner} state={state}", self.key.role)
    }

    fn right(&self) -> Right {
        golden::right(self.key.role, self.operation.action)
    }

    /// The whole answer that the table asks for.
    fn expected(&self) -> Value {
        let right = self.right();
        let reason = right.reason(&self.resource, &self.key.id);
        let needs = match reason {
            DecisionReason::ConditionUnmet => right.needs(&self.key.id),
            _ => Vec::new(),
        };
        let conditions = needs.into_iter().map(|(attribute, value, alternative)| {
            json!({ "attribute": attribute, "value": value, "alternative": alternative })
        });
        json!({
            "allowed": reason == DecisionReason::Allowed,
            "reason": reason.as_str_name(),
            "key_id": self.key.id,
            "team": "web",
            "role": self.key.role,
            "conditions": conditions.collect::<Vec<_>>(),
            "revision": "7",
            "staleness_ms": "0",
            "correlation_id": self.name(),
        })
    }
}

fn every_question(keys: &[Key]) -> Vec<Question<'_>> {
    let operations = golden::operations();
    let ask = |key| {
        let question = move |operation| Question { key, operation, resource: Resource::default() };
        operations.iter().copied().map(question)
    };
    keys.iter().flat_map(ask).collect()
}

/// The same question about every resource that could make a difference.
fn variants<'a>(question: &Question<'a>) -> Vec<Question<'a>> {
    let mut variants = Vec::new();
    for owner in ["", &question.key.id, "somebody else"] {
        for state in ["", "draft", "in_review", "published", "archived"] {
            let (owner, state) = (owner.to_owned(), state.to_owned());
            let resource = Resource { owner, state, ..Default::default() };
            variants.push(Question { resource, ..*question });
        }
    }
    variants
}

#[tokio::test]
#[ignore = "needs Python with grpcio and grpcio-tools: see .ci/run"]
async fn a_python_client_gets_the_answers_of_the_golden_table() {
    let sidecar = Sidecar::start();
    let mut python = Python::start(&sidecar);
    let keys = create_a_key_of_every_role(&mut python);
    let questions = every_question(&keys);
    assert_eq!(questions.len(), 131 * 7);

    // One by one.
    let mut answers = Vec::new();
    for question in &questions {
        let answer = python.call(&format!("{AUTHORIZATION}/Authorize"), question.request());
        assert_eq!(answer, question.expected(), "{}", question.name());
        answers.push(answer);
    }
    assert_eq!(answers.len(), 917);
    let allowed = answers.iter().filter(|answer| answer["allowed"] == true).count();
    let unmet = |answer: &&Value| answer["reason"] == "DECISION_REASON_CONDITION_UNMET";
    let unmet = answers.iter().filter(unmet).count();
    // As the tables themselves have it.
    assert_eq!((allowed, unmet, answers.len() - allowed - unmet), (464, 29, 424));

    // All at once, in a batch and in a stream.
    let requests: Vec<Value> = questions.iter().map(Question::request).collect();
    let batch =
        python.call(&format!("{AUTHORIZATION}/BatchAuthorize"), json!({ "requests": requests }));
    assert_eq!(batch["responses"].as_array().unwrap(), &answers);
    let stream = python.call(&format!("{AUTHORIZATION}/StreamAuthorize"), json!(requests));
    assert_eq!(stream.as_array().unwrap(), &answers);

    // Whatever the resource, a stream for each role. What is not conditional
    // must not become so.
    let (mut asked, mut conditional) = (0, 0);
    for of_one_role in questions.chunks(131) {
        let variants: Vec<_> = of_one_role.iter().flat_map(variants).collect();
        let requests: Vec<Value> = variants.iter().map(Question::request).collect();
        let answers = python.call(&format!("{AUTHORIZATION}/StreamAuthorize"), json!(requests));
        let answers = answers.as_array().unwrap();
        assert_eq!(answers.len(), variants.len());
        for (question, answer) in variants.iter().zip(answers) {
            assert_eq!(answer, &question.expected(), "{}", question.name());
            asked += 1;
            conditional += usize::from(matches!(question.right(), Right::When(_)));
        }
    }
    assert_eq!((asked, conditional), (917 * 15, 29 * 15));

    python.finish();
    sidecar.finish().await;
}

#[tokio::test]
#[ignore = "needs Python with grpcio and grpcio-tools: see .ci/run"]
async fn a_python_client_sees_health_reflection_and_errors() {
    let sidecar = Sidecar::start();
    let mut python = Python::start(&sidecar);
    for service in ["", AUTHORIZATION, KEYS] {
        let health = python.call("grpc.health.v1.Health/Check", json!({ "service": service }));
        assert_eq!(health["status"], "SERVING", "{service}");
    }

    let on_admin = [
        KEYS,
        "octavia.authz.v1.AuditService",
        "octavia.authz.v1.RoleService",
        "octavia.authz.v1.MaintenanceService",
    ];
    for (admin, own) in [(false, &[AUTHORIZATION][..]), (true, &on_admin[..])] {
        for version in ["v1", "v1alpha"] {
            let rpc = format!("grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
            let request = json!([{ "list_services": "" }]);
            let answer = python.answer(&json!({ "rpc": rpc, "request": request, "admin": admin }));
            let listed = &answer["response"][0]["list_services_response"]["service"];
            let listed: Vec<&str> = listed
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["name"].as_str().unwrap())
                .collect();
            for name in own.iter().chain(&["grpc.health.v1.Health"]) {
                assert!(listed.contains(name), "{version} {name}: {listed:?}");
            }
            let ours = listed.iter().filter(|name| name.starts_with("octavia.")).count();
            assert_eq!(ours, own.len(), "{version}: {listed:?}");
        }
    }

    let no_action = json!({ "rpc": format!("{AUTHORIZATION}/Authorize"), "request": {} });
    let answer = python.answer(&no_action);
    assert_eq!(answer["code"], "INVALID_ARGUMENT");
    assert!(answer["message"].as_str().unwrap().contains("`action`"), "{answer}");
    python.finish();
    sidecar.finish().await;
}
