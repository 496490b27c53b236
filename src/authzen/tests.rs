//! A store that cannot be read, and bodies that are wrong in every place.

use std::{future::Future, path::PathBuf, pin::Pin};

use axum::body::{Body, to_bytes};
use http::Request;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;

use super::*;
use crate::{
    clock::Clock,
    digest::{Digest, Digester},
    policy::{CurrentPolicy, Policy},
    record::KeyRecord,
    store::{
        CommitError, Committed, Reader, Revision, Rule, Store, StoreError, Subscriber, Summary,
    },
    telemetry::Ratio,
    token::{KeyId, Token},
    usage::Usage,
};

/// A store that is at revision 7 and cannot be read.
struct Broken;

impl Reader for Broken {
    fn get(&self, _: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        Err(StoreError::Unavailable("it is broken"))
    }

    fn find(&self, _: &Digest) -> Result<Option<KeyId>, StoreError> {
        Err(StoreError::Unavailable("it is broken"))
    }
}

impl Store for Broken {
    fn commit(
        &self,
        _: Rule,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<Committed>, CommitError>> + Send + '_>> {
        Box::pin(async { Err(CommitError::Closed) })
    }

    fn scan(
        &self,
        _: Option<KeyId>,
    ) -> Box<dyn Iterator<Item = Result<KeyRecord, StoreError>> + Send + '_> {
        Box::new(std::iter::empty())
    }

    fn subscribe(&self, _: Subscriber) {}

    fn revision(&self) -> Revision {
        7
    }

    fn summary(&self) -> Summary {
        let (state_digest, journal_head) = ([0; 32], [0; 32]);
        let (engine, data_dir, key_count) = ("broken", PathBuf::new(), 0);
        Summary { engine, data_dir, revision: 7, key_count, state_digest, journal_head }
    }
}

/// The endpoints on a store that cannot be read, and the text of a key that it would have to read.
struct World {
    router: Router,
    text: String,
    _dir: TempDir,
}

impl World {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let usage = Usage::open(&dir.path().join("usage"), Clock::System).unwrap();
        let policy = CurrentPolicy::new(Policy::built_in().unwrap());
        let digester = Digester::new(None, None);
        let authorizer =
            Authorizer::new(Arc::new(Broken), policy.clone(), digester, usage, 10, Clock::System);
        let token = Token::generate(KeyId::generate().unwrap()).unwrap();
        let text = token.reveal().to_owned();
        let log = DecisionLog::new(Ratio::NONE, policy, false);
        Self { router: router(Arc::new(authorizer), log), text, _dir: dir }
    }

    async fn post(&self, path: &str, body: impl Into<Body>) -> (u16, String) {
        let request = Request::post(path).header("content-type", "application/json");
        let request = request.body(body.into()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.into()).unwrap())
    }

    /// What is wrong with `body`, which must be wrong.
    async fn wrong(&self, path: &str, body: impl Into<Body>) -> String {
        let (status, said) = self.post(path, body).await;
        assert_eq!(status, 400, "{said}");
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["error"]["status"], 400);
        said["error"]["message"].as_str().unwrap().to_owned()
    }
}

fn question(key: &str) -> Value {
    json!({
        "subject": { "type": "api_key", "id": key },
        "action": { "name": "articles.read" },
        "resource": { "type": "article", "id": "1" },
    })
}

#[tokio::test]
async fn what_cannot_be_decided_is_an_error_and_no_permit() {
    let world = World::new();
    let (status, said) = world.post(EVALUATION, question(&world.text).to_string()).await;
    let expected = json!({ "error": {
        "status": 503,
        "message": "the store could not be read; nothing was decided",
    } });
    assert_eq!((status, serde_json::from_str(&said).unwrap()), (503, expected.clone()));
    let (status, _) = world.post(EVALUATIONS, question(&world.text).to_string()).await;
    assert_eq!(status, 503);

    let undecided = json!({ "decision": false, "context": {
        "reason": "UNAVAILABLE",
        "error": expected["error"],
        "revision": 7,
    } });
    let malformed = json!({
        "decision": false,
        "context": { "reason": "KEY_MALFORMED", "revision": 7 },
    });
    let mut request = question("no key");
    request["evaluations"] = json!([{}, { "subject": question(&world.text)["subject"] }, {}]);
    for (semantic, expected) in [
        ("execute_all", json!([malformed, undecided, malformed])),
        ("permit_on_first_permit", json!([malformed, undecided, malformed])),
        ("deny_on_first_deny", json!([malformed])),
    ] {
        request["options"] = json!({ "evaluations_semantic": semantic });
        let (status, said) = world.post(EVALUATIONS, request.to_string()).await;
        let expected = json!({ "evaluations": expected });
        assert_eq!((status, serde_json::from_str(&said).unwrap()), (200, expected), "{semantic}");
    }
    // What could not be decided ends as a denial does.
    request["evaluations"].as_array_mut().unwrap().remove(0);
    request["options"] = json!({ "evaluations_semantic": "deny_on_first_deny" });
    let (_, said) = world.post(EVALUATIONS, request.to_string()).await;
    let expected = json!({ "evaluations": [undecided] });
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap(), expected);
}

#[tokio::test]
async fn a_fault_says_what_is_wrong_where_and_what_to_do() {
    let world = World::new();
    let cases = [
        ("", "the body is empty: send a JSON object"),
        ("[]", "the body must be an object"),
        ("\"x\"", "the body must be an object"),
        ("null", "the body must be an object"),
        ("{\n\"subject\":,}", "the body is not JSON: see line 2, column 11"),
        ("{\"a\":1", "the body is not JSON: see line 1, column 6"),
        ("{} {}", "the body is not JSON: see line 1, column 4"),
        (r#"{"\ud800":1}"#, "the body has a member whose name is no text"),
        ("{}", "`subject` is missing: give `type` (`api_key`) and `id` (the API key's text)"),
        (r#"{"subject":null}"#, "`subject` is missing: give `type` (`api_key`)"),
        (r#"{"subject":1}"#, "`subject` must be an object"),
        (r#"{"subject":["api_key","x"]}"#, "`subject` must be an object"),
        (r#"{"subject":{}}"#, "`subject.type` is missing: give `api_key`"),
        (r#"{"subject":{"type":"user","id":"x"}}"#, "`subject.type` must be `api_key`: subjects"),
        (r#"{"subject":{"type":"api_key"}}"#, "`subject.id` is missing: give the API key's text"),
        (r#"{"subject":{"type":"api_key","id":1}}"#, "`subject.id` must be a string"),
        (r#"{"subject":{"type":"api_key","id":"\udc00"}}"#, "`subject.id` holds an escape that"),
        (r#"{"subject":{"id":"x","id":"y"}}"#, "`subject.id` stands there twice: send it once"),
        (r#"{"subject":{"id":"x","\u0069d":"y"}}"#, "`subject.id` stands there twice"),
        (r#"{"subject":{},"subject":{}}"#, "`subject` stands there twice: send it once"),
        (
            r#"{"subject":{"type":"api_key","id":"x","properties":[]}}"#,
            "`subject.properties` must be an object",
        ),
        (
            r#"{"subject":{"type":"api_key","id":"x"}}"#,
            "`action` is missing: give its `name`, such as `articles.publish`",
        ),
        (r#"{"action":{}}"#, "`action.name` is missing: name the action as `resource.verb`"),
        (r#"{"action":{"name":""}}"#, "`action.name` must not be empty: name the action as"),
        (r#"{"action":{"name":7}}"#, "`action.name` must be a string"),
        (r#"{"resource":{"id":"1"}}"#, "`resource.type` is missing: say what kind of thing"),
        (r#"{"resource":{"type":"a"}}"#, "`resource.id` is missing: say which one it is"),
        (
            r#"{"resource":{"type":"a","id":"1","properties":{"owner":1}}}"#,
            "`resource.properties.owner` must be a string",
        ),
        (
            r#"{"resource":{"type":"a","id":"1","properties":{"state":"a","state":"b"}}}"#,
            "`resource.properties.state` stands there twice: send it once",
        ),
        (r#"{"context":[]}"#, "`context` must be an object"),
        (r#"{"context":{"service":{}}}"#, "`context.service` must be a string"),
    ];
    for (body, expected) in cases {
        for path in [EVALUATION, EVALUATIONS] {
            let said = world.wrong(path, body).await;
            assert!(said.starts_with(expected), "{body}: {said}");
        }
    }
    let said = world.wrong(EVALUATION, b"{\"a\":\"\xff\"}".as_slice()).await;
    assert_eq!(said, "the body is not UTF-8 from byte 7 on: send JSON");

    let several = [
        (r#"{"evaluations":{}}"#, "`evaluations` must be an array"),
        (r#"{"evaluations":[],"evaluations":[]}"#, "`evaluations` stands there twice"),
        (r#"{"options":[]}"#, "`options` must be an object"),
        (
            r#"{"options":{"evaluations_semantic":"x"}}"#,
            "`options.evaluations_semantic` must be `execute_all`, `deny_on_first_deny` or",
        ),
        (
            r#"{"options":{"evaluations_semantic":1}}"#,
            "`options.evaluations_semantic` must be a string",
        ),
        // What is at the top has to be right, even where nobody needs it.
        (r#"{"subject":{},"evaluations":[{}]}"#, "`subject.type` is missing"),
    ];
    for (body, expected) in several {
        let said = world.wrong(EVALUATIONS, body).await;
        assert!(said.starts_with(expected), "{body}: {said}");
    }
}

#[tokio::test]
async fn limits_are_those_of_a_question() {
    let world = World::new();
    for (path, max) in [
        ("/action/name", 128),
        ("/context/service", 128),
        ("/resource/type", 256),
        ("/resource/id", 256),
        ("/resource/properties/owner", 256),
        ("/resource/properties/state", 256),
    ] {
        let mut request = question("no key");
        request["resource"]["properties"] = json!({ "owner": "", "state": "" });
        request["context"] = json!({ "service": "" });
        *request.pointer_mut(path).unwrap() = json!("é".repeat(max / 2));
        let (status, said) = world.post(EVALUATION, request.to_string()).await;
        assert!(status == 200 && said.contains("KEY_MALFORMED"), "{path}: {said}");
        *request.pointer_mut(path).unwrap() = json!("x".repeat(max + 1));
        let place = path[1..].replace('/', ".");
        let expected = format!("`{place}` has {} bytes; at most {max}", max + 1);
        assert_eq!(world.wrong(EVALUATION, request.to_string()).await, expected);
    }
    let several = |count| {
        let mut request = question("no key");
        request["evaluations"] = vec![json!({}); count].into();
        request.to_string()
    };
    let (status, said) = world.post(EVALUATIONS, several(1000)).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((status, said["evaluations"].as_array().unwrap().len()), (200, 1000));
    let said = world.wrong(EVALUATIONS, several(1001)).await;
    assert_eq!(said, "`evaluations` holds 1001 elements; at most 1000: send several requests");
}

#[tokio::test]
async fn what_nobody_reads_may_be_anything_and_null_is_not_there() {
    let world = World::new();
    let mut request = question("no key");
    request["resource"]["properties"] = json!({ "owner": null, "state": null, "more": [1, {}] });
    request["subject"]["properties"] = json!({ "a": { "b": 1e300 } });
    request["action"]["properties"] = Value::Null;
    request["context"] = Value::Null;
    request["options"] = Value::Null;
    request["evaluations"] = Value::Null;
    request["future"] = json!({ "nested": [true, null] });
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let body = request.to_string().replacen('{', &format!(r#"{{"deep":{deep},"deep":1,"#), 1);
    for path in [EVALUATION, EVALUATIONS] {
        let (status, said) = world.post(path, body.clone()).await;
        assert!(status == 200 && said.contains("KEY_MALFORMED"), "{path}: {said}");
    }
}

/// `body` with the text `secret` in place of each of its values in turn.
fn with_secret_in_each_place(body: &Value, secret: &Value) -> Vec<Value> {
    let mut all = vec![secret.clone()];
    match body {
        Value::Object(members) => {
            for (name, value) in members {
                for value in with_secret_in_each_place(value, secret) {
                    let mut changed = members.clone();
                    changed.insert(name.clone(), value);
                    all.push(changed.into());
                }
                let mut renamed = members.clone();
                let value = renamed.remove(name).unwrap();
                renamed.insert(secret.to_string(), value);
                all.push(renamed.into());
            }
        }
        Value::Array(elements) => {
            for (index, value) in elements.iter().enumerate() {
                for value in with_secret_in_each_place(value, secret) {
                    let mut changed = elements.clone();
                    changed[index] = value;
                    all.push(changed.into());
                }
            }
        }
        _ => {}
    }
    all
}

#[tokio::test]
async fn no_answer_holds_a_keys_text_however_wrong_the_request_is() {
    let world = World::new();
    let text = &world.text;
    let mut request = question(text);
    request["resource"]["properties"] = json!({ "owner": "a", "state": "b" });
    request["context"] = json!({ "service": "ai-cms" });
    request["options"] = json!({ "evaluations_semantic": "execute_all" });
    request["evaluations"] = json!([question(text), { "subject": null, "context": {} }]);
    let mut bodies: Vec<Vec<u8>> = Vec::new();
    for secret in [json!(text), json!([text]), json!({ text: text }), json!(text.repeat(6))] {
        let wrong = with_secret_in_each_place(&request, &secret);
        bodies.extend(wrong.iter().map(|body| body.to_string().into_bytes()));
    }
    let whole = request.to_string().into_bytes();
    for at in 0..whole.len() {
        bodies.push(whole[..at].to_vec());
        for byte in [b'"', b'\\', b'{', b'}', b'1', 0, 0xff] {
            let mut changed = whole.clone();
            changed[at] = byte;
            bodies.push(changed);
        }
    }
    let mut seen = std::collections::BTreeMap::new();
    for body in bodies {
        for path in [EVALUATION, EVALUATIONS] {
            let (status, said) = world.post(path, body.clone()).await;
            let shown = String::from_utf8_lossy(&body);
            assert!(!said.contains(&text[16..48]), "{shown}: {said}");
            assert!(!said.contains(r#""decision":true"#), "{shown}: {said}");
            *seen.entry(status).or_insert(0) += 1;
        }
    }
    assert!(seen.keys().eq(&[200, 400, 503]) && seen.values().all(|count| *count > 20), "{seen:?}");
}
