//! Requests, confirmation, key files and tables of the `keys` commands.

use std::{ffi::OsString, fs, os::unix::fs::PermissionsExt as _};

use jiff::Timestamp;

use super::{
    super::{BadUsage, Cli, Command, output::json, secret::Secret},
    KeysCommand, create,
    key_file::KeyFile,
    revoke, show, update,
};
use crate::pb::v1;

fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn keys(line: &str) -> KeysCommand {
    let args = format!("octavia-authz keys {line}");
    match Cli::from_args(args.split(' ').map(OsString::from)) {
        Ok(Cli { command: Command::Keys(args) }) => args.command,
        other => panic!("{other:?}"),
    }
}

fn update(line: &str) -> anyhow::Result<v1::UpdateApiKeyRequest> {
    match keys(&format!("update Yt5Bq0cVn2{line}")) {
        KeysCommand::Update(args) => update::request(args, now()),
        other => panic!("{other:?}"),
    }
}

fn key() -> v1::ApiKey {
    let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 7 });
    v1::ApiKey {
        id: "Yt5Bq0cVn2".into(),
        name: "prod\u{1b}[2J".into(),
        team: "web".into(),
        service: "ai-cms".into(),
        role: "admin".into(),
        grants: vec!["billing.read".into()],
        status: v1::KeyStatus::Active.into(),
        expire_time: None,
        create_time: time(1_795_000_000),
        labels: [("b".into(), "2".into()), ("a".into(), "1".into())].into(),
        etag: "e1".into(),
        ..Default::default()
    }
}

#[test]
fn create_sends_what_was_given_and_leaves_defaults_to_the_sidecar() {
    let KeysCommand::Create(args) = keys("create --name a --role admin") else {
        panic!("not create");
    };
    let (request, key_out) = create::request(args, now()).unwrap();
    let plain = v1::CreateApiKeyRequest {
        name: "a".into(),
        role: "admin".into(),
        status: v1::KeyStatus::Active.into(),
        ..Default::default()
    };
    assert_eq!((request, key_out), (plain, None));

    let KeysCommand::Create(args) = keys(
        "create --name a --role admin --expires 1h --inactive --grant x.y --grant z.z --label k=v",
    ) else {
        panic!("not create");
    };
    let (request, _) = create::request(args, now()).unwrap();
    let expires = request.expire_time.unwrap();
    assert_eq!(expires.seconds, now().as_second() + 3_600);
    assert_eq!(request.status(), v1::KeyStatus::Inactive);
    assert_eq!(request.grants, ["x.y", "z.z"]);
    assert_eq!(request.labels["k"], "v");
}

#[test]
fn update_names_what_was_given_and_nothing_else() {
    let paths = |line: &str| update(line).unwrap().update_mask.unwrap().paths;
    assert_eq!(paths(" --role editor"), ["role"]);
    assert_eq!(paths(" --name a --subject s --description d"), ["name", "subject", "description"]);
    assert_eq!(paths(" --grant a.b"), ["grants"]);
    assert_eq!(paths(" --no-grants --no-labels"), ["grants", "labels"]);
    assert_eq!(paths(" --label a=b"), ["labels"]);

    let request = update(" --expires lifetime --if-etag e1").unwrap();
    assert_eq!(request.update_mask.unwrap().paths, ["expire_time"]);
    assert_eq!(request.api_key.unwrap().expire_time, None);
    assert_eq!(request.etag, "e1");
}

#[test]
fn update_of_nothing_is_bad_usage() {
    for line in ["", " --if-etag e1"] {
        assert!(update(line).unwrap_err().is::<BadUsage>(), "{line}");
    }
}

#[test]
fn a_revocation_is_confirmed_by_the_name_only() {
    assert!(revoke::confirms("prod\n", "prod"));
    assert!(revoke::confirms("a\\u{1b}b\n", "a\u{1b}b"), "as it was shown");
    for typed in ["", "\n", "y\n", "yes\n", "Prod\n", "prod2\n"] {
        assert!(!revoke::confirms(typed, "prod"), "{typed}");
    }
    assert!(!revoke::confirms("\n", " "), "nothing confirms nothing");
    assert_eq!(
        revoke::question(&key()),
        "revoke key `prod\\u{1b}[2J` (Yt5Bq0cVn2), role admin? This cannot be undone. \
         Type the key's name to confirm: "
    );
}

#[test]
fn a_key_file_is_new_private_and_gone_unless_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.key");
    drop(KeyFile::create(path.clone()).unwrap());
    assert!(!path.exists(), "a failed call leaves no file");

    let mut file = KeyFile::create(path.clone()).unwrap();
    file.write(&Secret::from("octv_text".to_owned())).unwrap();
    drop(file);
    assert_eq!(fs::read_to_string(&path).unwrap(), "octv_text\n");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let error = KeyFile::create(path.clone()).unwrap_err().to_string();
    assert!(error.contains("exists; give --key-out a new file"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "octv_text\n", "untouched");
}

#[test]
fn keys_are_shown_in_full_or_one_a_line() {
    let table = show::table(&key(), now());
    for line in [
        "name:         prod\\u{1b}[2J",
        "grants:       billing.read",
        "status:       active",
        "expires:      lifetime",
        "labels:       a=1, b=2",
        "description:  -",
    ] {
        assert!(table.lines().any(|shown| shown == line), "{line}\n{table}");
    }
    assert_eq!(
        show::rows(&[key()], now()),
        "ID          NAME           TEAM  SERVICE  ROLE   STATUS  EXPIRES   CREATED\n\
         Yt5Bq0cVn2  prod\\u{1b}[2J  web   ai-cms   admin  active  lifetime  2026-11-18T11:06:40Z"
    );
}

#[test]
fn a_key_as_json_has_the_names_of_the_api() {
    let key = key();
    let one = json::OneKey { api_key: (&key).into(), key: None, key_out: None };
    let expected = serde_json::json!({"api_key": {
        "id": "Yt5Bq0cVn2", "name": "prod\u{1b}[2J", "team": "web", "service": "ai-cms",
        "role": "admin", "grants": ["billing.read"], "status": "ACTIVE", "expire_time": null,
        "create_time": "2026-11-18T11:06:40.000000007Z", "update_time": null, "subject": "",
        "description": "", "labels": {"a": "1", "b": "2"}, "created_by": "", "etag": "e1",
        "secrets": [],
    }});
    assert_eq!(serde_json::to_value(one).unwrap(), expected);
}
