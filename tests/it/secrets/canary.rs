//! A whole life with secrets in it, and a look into everything that it left.

use std::fs;

use octavia_authz::pb::v1::{
    CreateApiKeyRequest, ImportApiKeysRequest, ImportedKey, RotateApiKeyRequest,
    imported_key::Digest,
};
use prost_types::Duration;
use sha2::Digest as _;
use tempfile::TempDir;

use super::{
    Canaries, Headers, LOG_LEVEL, PEPPER, Target, commands, files,
    walk::{Said, right_calls, wrong_admin_calls, wrong_questions},
};
use crate::{
    command_line::{admin, run},
    sidecar::Sidecar,
};

/// The secrets of a sidecar that lives.
pub struct World {
    pub canaries: Canaries,
    /// Of a key that may everything: before its rotation, after it.
    pub keys: [String; 2],
    pub id: String,
    pub foreign: [String; 2],
    pub operator: String,
}

impl World {
    pub async fn of(target: &Target, operator: String) -> Self {
        let mut canaries = Canaries::default();
        canaries.text("the operator token", &operator[5..]);
        canaries.text("the pepper", PEPPER);
        let mut keys = target.keys(&Headers::bearer(&operator)).await;
        let new = CreateApiKeyRequest {
            name: "canary".into(),
            role: "super_admin".into(),
            ..Default::default()
        };
        let created = keys.create_api_key(new).await.unwrap().into_inner();
        let id = created.api_key.unwrap().id;
        let overlap = Some(Duration { seconds: 3600, nanos: 0 });
        let rotate = RotateApiKeyRequest { id: id.clone(), overlap, ..Default::default() };
        let rotated = keys.rotate_api_key(rotate).await.unwrap().into_inner();
        let foreign = ["sk_live_canary_hJ5tR8wQ2zNc", "Ключ-канарейка-鍵-7f3K9d"];
        for text in foreign {
            let digest = sha2::Sha256::digest(text.as_bytes());
            let hex = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            let key = ImportedKey {
                name: "foreign".into(),
                role: "super_admin".into(),
                digest: Some(Digest::Sha256(hex)),
                ..Default::default()
            };
            let message = ImportApiKeysRequest { keys: vec![key], dry_run: false };
            let answer = keys.import_api_keys(tokio_stream::iter([message])).await.unwrap();
            let answer = answer.into_inner().message().await.unwrap().unwrap();
            assert_eq!(answer.imported_count, 1);
            canaries.foreign(&format!("the foreign key `{text}`"), text);
        }
        let texts = [created.key, rotated.key];
        canaries.key("the key before", &texts[0]);
        canaries.key("the key after", &texts[1]);
        Self { canaries, keys: texts, id, foreign: foreign.map(str::to_owned), operator }
    }

    /// Uses its secrets in every way that they are for. Gives what was answered.
    pub async fn use_rightly(&self, target: &Target) -> Said {
        let mut said = Said::default();
        let [before, after] = &self.keys;
        for credential in [before, after, &self.foreign[0], &self.operator] {
            said.0.extend(right_calls(target, credential, &self.id).await.0);
        }
        // One that headers cannot carry.
        let none = Headers::default();
        said.0.extend(wrong_questions(target, &none, &self.foreign[1], "nothing").await.0);
        said
    }

    /// Puts them into every wrong place, within what `around` puts around them.
    pub async fn use_wrongly(&self, target: &Target, around: fn(&str) -> String) -> Said {
        let mut said = Said::default();
        for secret in [&self.keys[1], &self.operator] {
            let text = around(secret);
            let headers = Headers::bearer(&self.operator);
            let headers = headers.with("x-request-id", &text).with("x-api-key", &text);
            said.0.extend(wrong_admin_calls(target, &headers, &self.id, &text).await.0);
            let headers = Headers::default().with("x-request-id", &text);
            let questions = wrong_questions(target, &headers, &self.keys[0], &text).await;
            said.0.extend(questions.0);
        }
        said
    }
}

/// Everything that was found where it must not be.
#[derive(Default)]
pub struct Leaks(Vec<String>);

impl Leaks {
    pub fn look(&mut self, at: &str, found: Vec<String>) {
        self.0.extend(found.into_iter().map(|what| format!("{what} in {at}")));
    }

    /// Names the lines, if there are any.
    pub fn look_at_log(&mut self, canaries: &Canaries, log: &str) {
        if canaries.found_in(log.as_bytes()).is_empty() {
            return;
        }
        for line in log.lines() {
            self.look(&format!("the log: {line}"), canaries.found_in(line.as_bytes()));
        }
    }

    #[track_caller]
    pub fn assert_none(self) {
        assert!(self.0.is_empty(), "{:#?}", self.0);
    }
}

#[tokio::test]
async fn secrets_are_in_no_answer_no_log_no_event_and_no_file_but_their_own() {
    let temporary = TempDir::new().unwrap();
    let dir = temporary.path().join("data");
    let pepper = temporary.path().join("pepper");
    fs::write(&pepper, PEPPER).unwrap();
    let args = ["--log-level", LOG_LEVEL, "--pepper-file", pepper.to_str().unwrap()];
    // Whoever is not listened to any more is told nothing.
    let args = [&args[..], &["--max-failed-sign-ins", "100000"]].concat();
    let sidecar = Sidecar::start_on(&dir, &args);
    let target = Target::of(&sidecar);
    let world = World::of(&target, sidecar.operator_token()).await;
    let canaries = &world.canaries;
    let mut leaks = Leaks::default();
    world.use_wrongly(&target, str::to_owned).await;
    world.use_wrongly(&target, |secret| format!("a {secret} b")).await;
    // Last, so that it lists what came of the others.
    for (to, answer) in world.use_rightly(&target).await.0 {
        leaks.look(&format!("the answer to {to}: {answer}"), canaries.found_in(answer.as_bytes()));
    }
    for (command, said) in commands::right(&sidecar, &world, temporary.path()) {
        leaks.look(&format!("what `{command}` said: {said}"), canaries.found_in(said.as_bytes()));
    }
    let backup = temporary.path().join("all.backup");
    run(admin(&sidecar, &["backup", "--out", backup.to_str().unwrap()])).with(0);
    let mut log = sidecar.finish().await;
    // Once more: what a start reads and says.
    log += &Sidecar::start_on(&dir, &args).finish().await;
    assert!(log.contains("\"TRACE\""), "nothing was logged that could hold a secret");
    leaks.look_at_log(canaries, &log);
    let mut stored = Vec::new();
    for file in files(&dir).into_iter().chain([backup.clone()]) {
        let bytes = fs::read(&file).unwrap();
        if file.ends_with("operator.token") {
            assert!(bytes.starts_with(world.operator.as_bytes()));
            continue;
        }
        let at = file.strip_prefix(&dir).unwrap_or(&file).display().to_string();
        let is_store = ["journal/", "state/", "snapshot"].iter().any(|name| at.starts_with(name));
        if is_store || file == backup {
            leaks.look(&at, canaries.texts_in(&bytes));
            stored.extend(canaries.digests_in(&bytes));
        } else {
            leaks.look(&at, canaries.found_in(&bytes));
        }
    }
    // What is looked for is what would be found.
    for canary in &canaries.digests {
        assert!(stored.contains(&canary.what), "{} is not even stored", canary.what);
    }
    leaks.assert_none();
}
