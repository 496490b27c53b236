//! Sidecar, Envoy and upstream, a key of every role, and what holds for each request
//! that is sent: nothing gets through that is not expected to, and what does carries
//! no key and nothing that only the sidecar may say.

use std::time::Instant;

use octavia_authz::pb::v1::CreateApiKeyRequest;
use serde_json::json;

use super::{
    chunks,
    operation::encoded,
    proxy::{Config, Envoy},
    upstream::{Seen, Upstream},
    wire::{Answer, Request},
};
use crate::{
    golden,
    sidecar::{PATIENCE, Sidecar},
};

/// The parts, running.
pub struct Scene {
    pub sidecar: Sidecar,
    pub envoy: Envoy,
    pub upstream: Upstream,
    keys: Vec<Key>,
}

/// A key.
#[derive(Clone, Debug)]
pub struct Key {
    pub id: String,
    pub text: String,
    pub role: String,
    pub subject: String,
}

/// What has to become of a request.
#[derive(Clone, Debug)]
pub enum Then<'a> {
    /// The upstream gets it as this key's, with this in `x-octavia-action` and this in
    /// `x-octavia-conditions`; an empty one is no header.
    Passes(&'a Key, &'a str, &'a str),
    /// The sidecar refuses it, with this status.
    Refused(u16),
    /// Envoy refuses it without asking, with this status.
    Rejected(u16),
    /// The connection ends without an answer.
    Dropped,
}

/// What servers take another method or path from than those that were decided on.
const OVERRIDES: [&str; 5] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

impl Scene {
    /// With the configuration that is shipped.
    pub async fn start() -> Self {
        Self::start_with(|config| config).await
    }

    /// With a changed configuration.
    pub async fn start_with(change: impl FnOnce(Config) -> Config) -> Self {
        Self::start_on(Sidecar::start(), change).await
    }

    /// With a sidecar that runs already.
    pub async fn start_on(sidecar: Sidecar, change: impl FnOnce(Config) -> Config) -> Self {
        let upstream = Upstream::start();
        let config = change(Config::shipped(&sidecar.listen, upstream.address));
        let envoy = Envoy::start(&config);
        let mut scene = Self { sidecar, envoy, upstream, keys: Vec::new() };
        for role in golden::ROLES {
            scene.create(role, "").await;
        }
        scene
    }

    /// A new key of `role`; without a subject that is its id.
    pub async fn create(&mut self, role: &str, subject: &str) -> Key {
        self.create_as(CreateApiKeyRequest {
            role: role.to_owned(),
            subject: subject.to_owned(),
            ..Default::default()
        })
        .await
    }

    /// A new key as the request says, in the team `web`.
    pub async fn create_as(&mut self, request: CreateApiKeyRequest) -> Key {
        let request = CreateApiKeyRequest { name: "a key".into(), team: "web".into(), ..request };
        let created = self.sidecar.keys().await.create_api_key(request).await.unwrap();
        let created = created.into_inner();
        let key = created.api_key.unwrap();
        let key = Key { id: key.id, text: created.key, role: key.role, subject: key.subject };
        self.keys.push(key.clone());
        key
    }

    /// The text of a key that no one here has ever had: another sidecar made it.
    pub async fn stranger() -> String {
        Sidecar::start().create("super_admin").await.1
    }

    /// The first key of `role`.
    pub fn key(&self, role: &str) -> &Key {
        self.keys.iter().find(|key| key.role == role).unwrap()
    }

    /// Sends `request`, and sees that it ends as it has to.
    pub fn play(&self, what: &str, request: &Request, then: &Then<'_>) -> Option<Answer> {
        let answer = self.ask(request);
        self.judge(what, request, answer.as_ref(), then);
        answer
    }

    /// Sends `request`, again for as long as the answer is to try again: this machine
    /// can be too busy for a decision within the time that is shipped.
    pub fn ask(&self, request: &Request) -> Option<Answer> {
        let started = Instant::now();
        loop {
            let answer = request.send(self.envoy.listen);
            if !answer.as_ref().is_some_and(says_try_again) {
                return answer;
            }
            assert_eq!(self.upstream.take(), [], "nothing passes without a decision");
            assert!(started.elapsed() < PATIENCE, "no decision within {PATIENCE:?}");
        }
    }

    /// What is answered to `request`, which passes, and what the upstream gets of it.
    pub fn passed(&self, request: &Request) -> (Answer, Seen) {
        let answer = self.ask(request).unwrap();
        let mut seen = self.upstream.take();
        assert_eq!((answer.status, seen.len()), (200, 1), "{answer:?}");
        (answer, seen.remove(0))
    }

    /// Sees that what came back, and what the upstream got since the last time, is as
    /// it has to be.
    pub fn judge(&self, what: &str, request: &Request, answer: Option<&Answer>, then: &Then<'_>) {
        let seen = self.upstream.take();
        let status = answer.map(|answer| answer.status);
        let expected = match then {
            Then::Passes(..) => Some(200),
            Then::Refused(status) | Then::Rejected(status) => Some(*status),
            Then::Dropped => None,
        };
        assert_eq!(status, expected, "{what}: {answer:?}, expected {then:?}; upstream: {seen:?}");
        if let Some(answer) = answer {
            self.assert_no_key(what, format!("{answer:?}").as_bytes());
        }
        match then {
            Then::Passes(key, action, conditions) => {
                assert_eq!(seen.len(), 1, "{what}: {seen:?}");
                assert_eq!(seen[0].method, request.method, "{what}");
                assert_eq!(seen[0].target, path_of(request), "{what}");
                assert!(seen[0].whole, "{what}: {seen:?}");
                assert_eq!(seen[0].body, body_of(request), "{what}");
                self.assert_said_by_the_sidecar(what, &seen[0], key, action, conditions);
            }
            _ => assert!(seen.is_empty(), "{what}: the upstream got {seen:?}"),
        }
        match (then, answer) {
            (Then::Refused(status), Some(answer)) if request.method != "HEAD" => {
                assert_is_a_refusal(what, answer, *status);
            }
            (Then::Rejected(_), Some(answer)) => {
                assert!(!answer.body.contains("statusCode"), "{what}: {answer:?}");
            }
            _ => {}
        }
    }

    /// The headers of the sidecar, each once and as they have to be, and no others of
    /// that name; none that holds a key or changes what was asked.
    fn assert_said_by_the_sidecar(
        &self,
        what: &str,
        seen: &Seen,
        key: &Key,
        action: &str,
        conditions: &str,
    ) {
        let mut said: Vec<(&str, String)> = seen
            .headers
            .iter()
            .filter(|(name, _)| name.replace('_', "-").starts_with("x-octavia"))
            .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value).into_owned()))
            .map(|(name, value)| match name {
                // All of them are needed: their order means nothing.
                "x-octavia-action" => (name, sorted(&value)),
                _ => (name, value),
            })
            .collect();
        said.sort();
        let mut expected = vec![
            ("x-octavia-action", sorted(action)),
            ("x-octavia-conditions", conditions.to_owned()),
            ("x-octavia-key-id", key.id.clone()),
            ("x-octavia-role", key.role.clone()),
            ("x-octavia-service", "ai-cms".to_owned()),
            ("x-octavia-subject", encoded(&key.subject)),
            ("x-octavia-team", "web".to_owned()),
        ];
        expected.retain(|(_, value)| !value.is_empty());
        assert_eq!(said, expected, "{what}");
        for (name, _) in &seen.headers {
            // Servers that make variables of headers take the one for the other.
            let name = name.replace('_', "-");
            assert!(name != "x-api-key" && !OVERRIDES.contains(&&*name), "{what}: {seen:?}");
        }
        let everything = [&seen.target, &seen.body]
            .into_iter()
            .chain(seen.headers.iter().map(|(_, value)| value));
        for text in everything {
            self.assert_no_key(what, text);
        }
    }

    fn assert_no_key(&self, what: &str, text: &[u8]) {
        for key in &self.keys {
            assert_eq!(chunks::position(text, key.text.as_bytes()), None, "{what}: holds a key");
        }
    }

    /// Ends the parts in order. None of them has written a key into a log.
    pub async fn finish(self) {
        let log = self.envoy.all_logs();
        self.assert_no_key("the logs of Envoy", log.as_bytes());
        assert_eq!(self.upstream.take(), [], "nothing was left over");
        let Self { sidecar, envoy, keys, .. } = self;
        envoy.finish();
        let log = sidecar.finish().await;
        for key in keys {
            assert!(!log.contains(&key.text), "the sidecar has logged a key");
        }
    }
}

fn sorted(actions: &str) -> String {
    let mut actions: Vec<&str> = actions.split(',').collect();
    actions.sort_unstable();
    actions.join(",")
}

/// The path and query that the upstream gets.
fn path_of(request: &Request) -> &[u8] {
    let absolute = b"http://".as_slice();
    match request.target.strip_prefix(absolute) {
        None => &request.target,
        Some(rest) => &rest[chunks::position(rest, b"/").unwrap()..],
    }
}

/// What the body holds, chunks or not.
fn body_of(request: &Request) -> Vec<u8> {
    let chunked = request.headers.iter().any(|(name, _)| name == "transfer-encoding");
    if chunked { chunks::joined(&request.body).unwrap() } else { request.body.clone() }
}

/// Whether Envoy had no decision.
pub fn says_try_again(answer: &Answer) -> bool {
    answer.status == 503 && answer.body.contains("cannot answer at the moment")
}

/// An answer of the sidecar, in the envelope of the API.
pub fn assert_is_a_refusal(what: &str, answer: &Answer, status: u16) {
    let json = answer.json();
    let message = json["message"].as_str().unwrap_or_default();
    assert!(message.len() > 10, "{what}: {json}");
    let envelope =
        json!({ "success": false, "statusCode": status, "message": message, "data": null });
    assert_eq!(json, envelope, "{what}");
    assert_eq!(answer.status, status, "{what}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{what}");
    let challenge = answer.header("www-authenticate");
    assert_eq!(challenge.is_some(), status == 401, "{what}: {answer:?}");
}
