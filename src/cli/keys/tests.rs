//! Requests, confirmation, key files and tables of the `keys` commands. Imports
//! have their own.

use std::{ffi::OsString, fs, os::unix::fs::PermissionsExt as _};

use jiff::Timestamp;

use super::{
    super::{BadUsage, Cli, Command, output::json, secret::Secret},
    KeysCommand, changes, create,
    key_file::KeyFile,
    list,
    revoke::{self, many},
    rights, rotate, show, simulate, update,
};
use crate::pb::v1;

mod import;

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
        KeysCommand::Update(args) => update::request(args),
        other => panic!("{other:?}"),
    }
}

fn time(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 7 })
}

fn secret(number: u32, expires: Option<i64>) -> v1::KeySecret {
    v1::KeySecret {
        hint: format!("octv_Yt5Bq0cVn2_…abc{number}"),
        create_time: time(1_795_000_000),
        expire_time: expires.and_then(time),
        last_used_time: None,
        number,
        digest_scheme: "blake3".into(),
    }
}

fn key() -> v1::ApiKey {
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
    let (request, key_out) = create::request(args).unwrap();
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
    let (request, _) = create::request(args).unwrap();
    assert_eq!((request.expire_time, request.expiration.as_str()), (None, "1h"));
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
    assert_eq!(request.expiration, "lifetime");
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
        "ID          NAME           TEAM  SERVICE  ROLE   STATUS  EXPIRES   LAST USED  CREATED\n\
         Yt5Bq0cVn2  prod\\u{1b}[2J  web   ai-cms   admin  active  lifetime  unknown    2026-11-18"
    );
}

#[test]
fn a_key_as_json_has_the_names_of_the_api() {
    let key = key();
    let one = json::OneKey::from(&key);
    let expected = serde_json::json!({"api_key": {
        "id": "Yt5Bq0cVn2", "name": "prod\u{1b}[2J", "team": "web", "service": "ai-cms",
        "role": "admin", "grants": ["billing.read"], "status": "ACTIVE", "expire_time": null,
        "create_time": "2026-11-18T11:06:40.000000007Z", "update_time": null, "subject": "",
        "description": "", "labels": {"a": "1", "b": "2"}, "created_by": "", "etag": "e1",
        "secrets": [], "last_used_time": null, "allowed_count": 0, "denied_count": 0,
        "usage_since_time": null, "import_time": null,
    }});
    assert_eq!(serde_json::to_value(one).unwrap(), expected);

    let used = v1::ApiKey {
        last_used_time: time(1_795_000_000),
        usage_since_time: time(1_794_000_000),
        import_time: time(1_794_000_000),
        allowed_count: 12,
        denied_count: 3,
        secrets: vec![secret(2, None)],
        ..key
    };
    let used = serde_json::to_value(json::ApiKey::from(&used)).unwrap();
    assert_eq!(used["last_used_time"], "2026-11-18T11:06:40.000000007Z");
    assert_eq!((&used["allowed_count"], &used["denied_count"]), (&12.into(), &3.into()));
    assert_eq!(used["usage_since_time"], used["import_time"]);
    let expected = serde_json::json!([{
        "hint": "octv_Yt5Bq0cVn2_…abc2", "create_time": "2026-11-18T11:06:40.000000007Z",
        "expire_time": null, "last_used_time": null, "number": 2, "digest_scheme": "blake3",
    }]);
    assert_eq!(used["secrets"], expected);

    let day = v1::DailyUsage { start_time: time(1_795_000_000), allowed_count: 2, denied_count: 1 };
    let expected = serde_json::json!({
        "start_time": "2026-11-18T11:06:40.000000007Z", "allowed_count": 2, "denied_count": 1,
    });
    assert_eq!(serde_json::to_value(json::DailyUsage::from(&day)).unwrap(), expected);
}

#[test]
fn rotate_sends_an_overlap_of_at_most_90_days() {
    let request = |line: &str| match keys(&format!("rotate Yt5Bq0cVn2{line}")) {
        KeysCommand::Rotate(args) => rotate::request(args).0,
        other => panic!("{other:?}"),
    };
    assert_eq!((request("").overlap, request("").etag), (None, String::new()));
    let sent = request(" --overlap 90d --if-etag e1");
    assert_eq!((sent.overlap.unwrap().seconds, sent.etag.as_str()), (7_776_000, "e1"));
    for wrong in ["91d", "0d", "2027-01-31", "7"] {
        let line = format!("octavia-authz keys rotate Yt5Bq0cVn2 --overlap {wrong}");
        assert!(Cli::from_args(line.split(' ').map(OsString::from)).is_err(), "{wrong}");
    }
}

#[test]
fn a_rotation_says_what_becomes_of_the_old_secrets() {
    let mut key = key();
    key.secrets = vec![secret(3, None), secret(2, Some(now().as_second() + 7 * 86_400))];
    assert_eq!(
        rotate::before(&key, &[secret(1, None)], true, now()),
        "The old secret octv_Yt5Bq0cVn2_…abc2 is accepted until 2026-11-30T12:00:00Z (in 7 days).\n\
         The old secret octv_Yt5Bq0cVn2_…abc1 is refused from now on: a key has at most two secrets."
    );
    key.secrets.truncate(1);
    assert_eq!(
        rotate::before(&key, &[secret(2, None)], false, now()),
        "The old secret octv_Yt5Bq0cVn2_…abc2 is refused from now on."
    );
}

#[test]
fn a_list_sends_its_filter_and_its_order() {
    let request = |line: &str| match keys(&format!("list{line}")) {
        KeysCommand::List(args) => list::request(args),
        other => panic!("{other:?}"),
    };
    let plain = request("").unwrap();
    assert_eq!((plain.filter, plain.order_by.as_str()), (Some(v1::KeyFilter::default()), ""));

    let filter = |line: &str| request(line).unwrap().filter.unwrap();
    let lengths = filter(" --unused-for 90d --expires-within 2w");
    assert_eq!(lengths.unused_for.unwrap().seconds, 7_776_000);
    assert_eq!(lengths.expires_within.unwrap().seconds, 1_209_600);
    assert_eq!(filter(" --expired").expired, Some(true));
    assert_eq!(filter(" --not-expired").expired, Some(false));
    assert_eq!(filter(" --lifetime").lifetime, Some(true));
    assert_eq!(filter(" --no-lifetime").lifetime, Some(false));
    assert_eq!(filter(" --never-used").never_used, Some(true));
    let labels = filter(" --label a=1 --label b=2").labels;
    assert_eq!((labels["a"].as_str(), labels["b"].as_str()), ("1", "2"));
    assert!(request(" --label a=1 --label a=2").unwrap_err().is::<BadUsage>());

    for (line, order) in [
        (" --order-by name", "name"),
        (" --order-by expire_time --desc", "expire_time desc"),
        (" --desc", "id desc"),
    ] {
        assert_eq!(request(line).unwrap().order_by, order, "{line}");
    }
    for (text, wire) in [("name desc", "name desc"), (" last_used_time  asc ", "last_used_time")] {
        assert_eq!(list::order::Order::on_wire(Some(text.parse().unwrap()), false), wire);
    }
    for wrong in ["", "role", "name up", "name desc desc"] {
        assert!(wrong.parse::<list::order::Order>().is_err(), "{wrong}");
    }
    for wrong in ["--expired --not-expired", "--lifetime --no-lifetime", "--unused-for 0d"] {
        let line = format!("octavia-authz keys list {wrong}");
        assert!(Cli::from_args(line.split(' ').map(OsString::from)).is_err(), "{wrong}");
    }
}

#[test]
fn a_list_says_when_a_key_was_last_used_or_since_when_it_was_not() {
    let shown = |key: v1::ApiKey| {
        let rows = show::rows(&[key], now());
        let cells = rows.lines().last().unwrap().split("  ").filter(|cell| !cell.is_empty());
        cells.map(str::trim).nth(7).unwrap().to_owned()
    };
    let base = v1::ApiKey { name: "a".into(), ..key() };
    let used = v1::ApiKey { last_used_time: time(now().as_second() - 259_300), ..base.clone() };
    assert_eq!(shown(used), "3 days ago");
    let fresh = v1::ApiKey { usage_since_time: base.create_time, ..base.clone() };
    assert_eq!(shown(fresh), "never");
    let tracked = v1::ApiKey { usage_since_time: time(1_795_100_000), ..base.clone() };
    assert_eq!(shown(tracked.clone()), "not since 2026-11-19");
    let imported = v1::ApiKey { import_time: time(1_795_100_000), ..tracked };
    assert_eq!(shown(imported), "never");
}

#[test]
fn a_list_fits_120_columns_by_cutting_long_names() {
    let long = v1::ApiKey {
        name: "n".repeat(128),
        team: "a-team-of-people".into(),
        role: "managing_editor".into(),
        status: v1::KeyStatus::Inactive.into(),
        expire_time: time(now().as_second() + 2_000),
        usage_since_time: time(1_795_100_000),
        ..key()
    };
    let rows = show::rows(&[long, key()], now());
    assert!(rows.lines().all(|line| line.chars().count() <= 120), "{rows}");
    assert!(rows.contains("  nnnnnnnnnnn…  a-team-o…  ai-cms  "), "{rows}");
    let short = v1::ApiKey { name: "n".repeat(40), ..key() };
    assert!(show::rows(&[short], now()).contains(&"n".repeat(40)), "there is room");
}

#[test]
fn a_key_says_how_it_and_its_secrets_were_used() {
    let line = |key: &v1::ApiKey, name: &str| {
        let table = show::table(key, now());
        let line = table.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
        line.unwrap().trim().to_owned()
    };
    let base = key();
    let fresh = v1::ApiKey {
        usage_since_time: base.create_time,
        secrets: vec![secret(1, None)],
        ..base.clone()
    };
    assert_eq!(line(&fresh, "last used"), "never used");
    assert_eq!(line(&fresh, "requests"), "no requests since 2026-11-18T11:06:40Z");
    assert_eq!(
        line(&fresh, "secret"),
        "octv_Yt5Bq0cVn2_…abc1, number 1, made 2026-11-18T11:06:40Z, never used"
    );
    let tracked = v1::ApiKey {
        usage_since_time: time(1_795_100_000),
        secrets: vec![secret(1, None)],
        ..base.clone()
    };
    assert_eq!(
        line(&tracked, "last used"),
        "not used since 2026-11-19T14:53:20Z (before that it was not tracked)"
    );
    assert!(line(&tracked, "secret").ends_with(", not used since 2026-11-19T14:53:20Z"));
    let imported = v1::ApiKey { import_time: time(1_795_100_000), ..tracked.clone() };
    assert_eq!(
        line(&imported, "last used"),
        "never used here since it was imported at 2026-11-19T14:53:20Z (before that it is not \
         known)"
    );
    let mut used = v1::ApiKey {
        last_used_time: time(now().as_second() - 259_300),
        allowed_count: 12,
        denied_count: 3,
        ..tracked
    };
    used.secrets[0].last_used_time = used.last_used_time;
    assert_eq!(line(&used, "last used"), "2026-11-20T11:58:20Z (3 days ago)");
    assert_eq!(line(&used, "requests"), "12 allowed, 3 denied since 2026-11-19T14:53:20Z");
    assert!(line(&used, "secret").ends_with(", last used 2026-11-20T11:58:20Z (3 days ago)"));
}

#[test]
fn an_update_shows_the_fields_and_rights_that_change() {
    assert!(update(" --role editor --dry-run").unwrap().dry_run);
    assert!(!update(" --role editor").unwrap().dry_run);

    let after = v1::ApiKey {
        role: "writer\u{1b}".into(),
        grants: Vec::new(),
        expire_time: time(1_800_000_000),
        etag: "e2".into(),
        ..key()
    };
    let fields = changes::of_fields(&key(), &after).unwrap();
    assert_eq!(
        changes::fields_in_words(&fields),
        "would change:\n  role: admin → writer\\u{1b}\n  grants: billing.read → (none)\n  \
         expires: lifetime → 2027-01-15T08:00:00.000000007Z"
    );
    let same = changes::of_fields(&key(), &key()).unwrap();
    assert_eq!(changes::fields_in_words(&same), "would stay as it is");

    let right = |allowed, conditions: &[&str]| {
        let conditions = conditions.iter().map(|name| (*name).to_owned()).collect();
        Some(v1::ActionRight { allowed, conditions })
    };
    let change =
        |action: &str, before, after| v1::RightChange { action: action.into(), before, after };
    let changed = [
        change("a.update", right(false, &["own"]), right(true, &[])),
        change("a.publish", None, right(true, &[])),
        change("a.read", right(false, &[]), right(false, &["published", "own"])),
        change("b.read", right(true, &[]), right(false, &[])),
    ];
    assert_eq!(
        changes::rights_in_words(&changed, true),
        "rights: 2 actions gained, 1 lost, 1 on other conditions\n  + a.publish\n  + a.read (if \
         published or own)\n  - b.read\n  ~ a.update: own → always"
    );
    assert_eq!(changes::rights_in_words(&[], true), "the key's rights would stay as they were");
    let shown = serde_json::to_value(json::RightChange::from(&changed[0])).unwrap();
    let expected = serde_json::json!({
        "action": "a.update", "before": {"allowed": false, "conditions": ["own"]},
        "after": {"allowed": true, "conditions": []},
    });
    assert_eq!(shown, expected);
}

fn outcome(id: &str, name: Option<&str>) -> v1::RevokeOutcome {
    let api_key = name.map(|name| v1::ApiKey { id: id.into(), name: name.into(), ..key() });
    let (code, message) = match api_key {
        Some(_) => (0, String::new()),
        None => (5, format!("there is no key `{id}`")),
    };
    v1::RevokeOutcome { id: id.into(), api_key, code, message }
}

#[test]
fn several_keys_are_revoked_in_chunks_and_confirmed_by_their_number() {
    let ids: Vec<String> = (0..2_500).map(|at| format!("{at:010}")).collect();
    let sizes: Vec<usize> = many::requests(&ids, true).map(|request| request.ids.len()).collect();
    assert_eq!(sizes, [1000, 1000, 500]);
    assert!(many::requests(&ids, true).all(|request| request.dry_run));

    assert!(many::confirms("2\n", 2));
    for typed in ["", "\n", "y\n", "02\n", "3\n"] {
        assert!(!many::confirms(typed, 2), "{typed}");
    }
    let outlook = [outcome("0000000001", Some("a\u{1b}")), outcome("0000000002", None)];
    assert_eq!(
        many::question(&outlook),
        "  0000000001  `a\\u{1b}`, role admin\n  1 key cannot be revoked\n\
         revoke 1 key? This cannot be undone. Type the number of keys to confirm: "
    );
    assert_eq!(
        many::render(&outlook, false),
        "ID          NAME     TEAM  ROLE\n\
         0000000001  a\\u{1b}  web   admin\n\n\
         revoked 1 key; 1 could not be revoked:\n  \
         0000000002: not found: there is no key `0000000002`"
    );
    assert!(many::render(&outlook, true).ends_with("\nNothing was changed."));
    assert_eq!(many::render(&[], false), "revoked no keys");
}

#[test]
fn ids_of_a_file_are_checked_and_not_shown() {
    let read = |text: &str| revoke::id_list::from_reader(text.as_bytes(), "`ids`");
    let ids = read("Yt5Bq0cVn2\r\n\n  hP3kQ9sLw1\nYt5Bq0cVn2").unwrap();
    assert_eq!(ids, ["Yt5Bq0cVn2", "hP3kQ9sLw1", "Yt5Bq0cVn2"]);
    assert_eq!(revoke::id_list::distinct(ids), ["Yt5Bq0cVn2", "hP3kQ9sLw1"]);
    assert_eq!(read("\n").unwrap(), [""; 0]);
    let error = read("Yt5Bq0cVn2\n\noctv_canarycana_ry\n").unwrap_err();
    assert!(error.is::<BadUsage>());
    assert!(error.to_string().starts_with("line 3 of `ids` is not a key's id"), "{error}");
    assert!(!error.to_string().contains("canary"), "{error}");
}

#[test]
fn a_simulation_asks_what_check_asks_by_id() {
    let KeysCommand::Simulate(args) =
        keys("simulate Yt5Bq0cVn2 a.b --service shop --owner ana --state draft --attribute x=1")
    else {
        panic!("not simulate");
    };
    let request = simulate::request(args).unwrap();
    assert_eq!((request.id.as_str(), request.action.as_str()), ("Yt5Bq0cVn2", "a.b"));
    let resource = request.resource.unwrap();
    assert_eq!((request.service.as_str(), resource.owner.as_str()), ("shop", "ana"));
    assert_eq!((resource.state.as_str(), resource.attributes["x"].as_str()), ("draft", "1"));
}

#[test]
fn rights_are_sorted_by_action_and_say_why_all_is_denied() {
    let condition = |value: &str, alternative| v1::Condition {
        attribute: "resource.owner".into(),
        value: value.into(),
        alternative,
    };
    let mut rights = v1::GetApiKeyRightsResponse {
        allowed_actions: vec!["a.read".into(), "c.read".into()],
        conditional_actions: vec![v1::ConditionalAction {
            action: "b.read".into(),
            conditions: vec![condition("x", 0), condition("y", 1)],
        }],
        reason: v1::DecisionReason::Allowed.into(),
    };
    let table = "ACTION  RIGHT\n\
         a.read  allowed\n\
         b.read  if resource.owner = `x`, or resource.owner = `y`\n\
         c.read  allowed\n\n\
         2 actions allowed whatever the resource, 1 on conditions";
    assert_eq!(rights::render(&rights), table);
    rights.set_reason(v1::DecisionReason::KeyInactive);
    let text = rights::render(&rights);
    assert!(text.starts_with("every action is denied at the moment: KEY_INACTIVE — "), "{text}");
    assert!(text.ends_with(table), "{text}");
    let none = v1::GetApiKeyRightsResponse { reason: rights.reason, ..Default::default() };
    assert_eq!(rights::render(&none).lines().count(), 1);
}
