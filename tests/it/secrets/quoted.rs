//! What is refused is not repeated: neither to who gave it, nor in part.

use std::fs;

use octavia_authz::pb::v1::CreateApiKeyRequest;
use tempfile::TempDir;

use super::{
    Canaries, Headers, PEPPER, Target,
    canary::{Leaks, World},
    commands, files,
};
use crate::sidecar::Sidecar;

/// A sidecar with a pepper, and its secrets.
async fn start(temporary: &TempDir, more: &[&str]) -> (Sidecar, Target, World) {
    let pepper = temporary.path().join("pepper");
    fs::write(&pepper, PEPPER).unwrap();
    let args = [&["--pepper-file", pepper.to_str().unwrap()], more].concat();
    let sidecar = Sidecar::start_on(&temporary.path().join("data"), &args);
    let target = Target::of(&sidecar);
    let world = World::of(&target, sidecar.operator_token()).await;
    (sidecar, target, world)
}

/// The places in which something was found, each once.
fn places(canaries: &Canaries, said: Vec<(String, String)>) -> Vec<String> {
    let leaking =
        said.into_iter().filter(|(_, said)| !canaries.found_in(said.as_bytes()).is_empty());
    let mut places: Vec<_> = leaking.map(|(place, _)| place).collect();
    places.sort();
    places.dedup();
    places
}

#[tokio::test]
async fn no_answer_repeats_a_secret_that_was_put_into_the_wrong_place() {
    let temporary = TempDir::new().unwrap();
    let (sidecar, target, world) = start(&temporary, &[]).await;
    let said = world.use_wrongly(&target, str::to_owned).await;
    assert_eq!(places(&world.canaries, said.0), <[String; 0]>::default());
    sidecar.finish().await;
}

#[tokio::test]
async fn no_command_repeats_a_secret_that_was_given_as_something_else() {
    let temporary = TempDir::new().unwrap();
    let (sidecar, _, world) = start(&temporary, &[]).await;
    let said = commands::wrong(&sidecar, &world);
    assert_eq!(places(&world.canaries, said), <[String; 0]>::default());
    sidecar.finish().await;
}

/// What is left in the files when secrets stand so in every wrong place.
async fn left_in_files(around: fn(&str) -> String) -> Leaks {
    let temporary = TempDir::new().unwrap();
    let (sidecar, target, world) = start(&temporary, &[]).await;
    world.use_wrongly(&target, around).await;
    sidecar.finish().await;
    let mut leaks = Leaks::default();
    for file in files(&temporary.path().join("data")) {
        if !file.ends_with("operator.token") {
            let bytes = fs::read(&file).unwrap();
            leaks.look(&file.display().to_string(), world.canaries.texts_in(&bytes));
        }
    }
    leaks
}

#[tokio::test]
async fn a_refusal_that_quotes_64_characters_leaves_no_part_of_a_secret() {
    left_in_files(|secret| format!("{:-<30}{secret}", "")).await.assert_none();
}

#[tokio::test]
async fn a_request_id_that_is_cut_at_128_characters_leaves_no_part_of_a_secret() {
    left_in_files(|secret| format!("{:-<95}{secret}", "")).await.assert_none();
}

#[tokio::test]
async fn a_log_of_everything_holds_no_digest_as_a_list_of_numbers() {
    let temporary = TempDir::new().unwrap();
    let (sidecar, target, world) = start(&temporary, &["--log-level", "trace"]).await;
    let mut keys = target.keys(&Headers::bearer(&world.operator)).await;
    let new =
        CreateApiKeyRequest { name: "another".into(), role: "writer".into(), ..Default::default() };
    keys.create_api_key(new).await.unwrap();
    drop(keys);
    let log = sidecar.finish().await;
    let mut places = Vec::new();
    for line in log.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        for digest in &world.canaries.digests {
            let list = format!("{:?}", digest.bytes);
            if line.contains(list.trim_matches(['[', ']'])) {
                places.push(format!("{} in events of {}", digest.what, event["target"]));
            }
        }
    }
    places.sort();
    places.dedup();
    assert_eq!(places, <[String; 0]>::default());
}
