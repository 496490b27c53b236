//! `keys …`: the life of a key, as a table and as JSON.

use serde_json::{Value, json};

use super::{admin, run};
use crate::sidecar::Sidecar;

fn table(sidecar: &Sidecar, args: &[&str]) -> String {
    run(admin(sidecar, args)).with(0)
}

fn as_json(sidecar: &Sidecar, args: &[&str]) -> Value {
    run(admin(sidecar, &[args, &["-o", "json"]].concat())).json(0)
}

/// The value of a line `name: value` of a table.
fn field<'a>(table: &'a str, name: &str) -> &'a str {
    let line = table.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.unwrap_or_else(|| panic!("no {name} in {table}")).trim()
}

#[tokio::test]
async fn a_key_lives_from_create_to_revoke_in_json() {
    let sidecar = Sidecar::start();
    let create = [
        "keys",
        "create",
        "--name",
        "website",
        "--role",
        "admin",
        "--team",
        "web",
        "--grant",
        "billing.read",
        "--subject",
        "ana",
        "--description",
        "what for",
        "--label",
        "env=prod",
        "--label",
        "owner=a=b",
        "--expires",
        "2099-12-31",
        "--inactive",
    ];
    let created = as_json(&sidecar, &create);
    let key = &created["api_key"];
    let id = key["id"].as_str().unwrap();
    let shown = [
        ("name", json!("website")),
        ("team", json!("web")),
        ("service", json!("ai-cms")),
        ("role", json!("admin")),
        ("grants", json!(["billing.read"])),
        ("status", json!("INACTIVE")),
        ("expire_time", json!("2100-01-01T00:00:00Z")),
        ("subject", json!("ana")),
        ("description", json!("what for")),
        ("labels", json!({ "env": "prod", "owner": "a=b" })),
        ("created_by", json!("operator")),
    ];
    for (name, value) in shown {
        assert_eq!(key[name], value, "{name}");
    }
    assert_eq!(created["key"].as_str().unwrap()[5..15], *id);
    let got = as_json(&sidecar, &["keys", "get", id]);
    assert_eq!((&got["api_key"], &got["key"]), (key, &Value::Null));

    let enabled = as_json(&sidecar, &["keys", "enable", id]);
    assert_eq!(enabled["api_key"]["status"], "ACTIVE");
    let disabled = as_json(&sidecar, &["keys", "disable", id]);
    assert_eq!(disabled["api_key"]["status"], "INACTIVE");
    let update = ["keys", "update", id, "--role", "writer", "--no-grants", "--expires", "lifetime"];
    let updated = as_json(&sidecar, &update);
    let updated = &updated["api_key"];
    assert_eq!((&updated["role"], &updated["grants"]), (&json!("writer"), &json!([])));
    assert_eq!((&updated["expire_time"], &updated["name"]), (&Value::Null, &json!("website")));

    let rotated = as_json(&sidecar, &["keys", "rotate", id]);
    assert_ne!(rotated["key"], created["key"]);
    let listed = as_json(&sidecar, &["keys", "list", "--team", "web", "--status", "inactive"]);
    assert_eq!(listed["total_size"], 1);
    assert_eq!(listed["api_keys"][0], rotated["api_key"]);
    let revoked = as_json(&sidecar, &["keys", "revoke", id, "--yes"]);
    assert_eq!(revoked["api_key"], rotated["api_key"]);
    let said = run(admin(&sidecar, &["keys", "get", id])).refused(1);
    assert!(said.contains("not found") && said.contains(id), "{said}");
    assert_eq!(as_json(&sidecar, &["keys", "list"])["total_size"], 0);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_key_lives_from_create_to_revoke_in_tables() {
    let sidecar = Sidecar::start();
    assert_eq!(table(&sidecar, &["keys", "list"]).trim(), "no keys");
    let args = ["keys", "create", "--name", "website", "--role", "writer", "--expires", "90d"];
    let created = table(&sidecar, &args);
    let id = field(&created, "id");
    assert_eq!((field(&created, "name"), field(&created, "status")), ("website", "active"));
    assert!(field(&created, "expires").contains("in 90 days"), "{created}");
    let text = created.lines().last().unwrap();
    assert!(text.starts_with(&format!("octv_{id}_")) && text.len() == 54, "{created}");
    assert!(created.contains("shown this once"), "{created}");
    assert!(sidecar.authorize(text, "articles.create").await.allowed);

    assert_eq!(field(&table(&sidecar, &["keys", "disable", id]), "status"), "inactive");
    assert_eq!(field(&table(&sidecar, &["keys", "enable", id]), "status"), "active");
    let renamed = table(&sidecar, &["keys", "update", id, "--name", "renamed"]);
    assert_eq!(field(&renamed, "name"), "renamed");
    let rotated = table(&sidecar, &["keys", "rotate", id]);
    let new_text = rotated.lines().last().unwrap();
    assert!(rotated.contains("is refused from now on") && new_text != text, "{rotated}");
    assert!(!sidecar.authorize(text, "articles.create").await.allowed);
    assert!(sidecar.authorize(new_text, "articles.create").await.allowed);

    let listed = table(&sidecar, &["keys", "list"]);
    let row = listed.lines().find(|line| line.starts_with(id)).unwrap();
    assert!(row.contains("renamed") && row.contains("writer") && row.contains("active"), "{row}");
    assert_eq!(listed.lines().last().unwrap(), "1 key");
    let got = table(&sidecar, &["keys", "get", id]);
    assert!(field(&got, "secret").starts_with(&format!("octv_{id}_…{}", &new_text[50..])), "{got}");
    let revoked = table(&sidecar, &["keys", "revoke", id, "--yes"]);
    assert_eq!(revoked.trim(), format!("revoked key `renamed` ({id})"));
    sidecar.finish().await;
}

#[tokio::test]
async fn what_is_refused_says_why_and_how_it_ended() {
    let sidecar = Sidecar::start();
    let (key, _) = sidecar.create("writer").await;
    let id = key.id.as_str();
    let cases: [(i32, &[&str], &str); 14] = [
        (2, &["keys", "create", "--name", "x"], "--role"),
        (
            2,
            &["keys", "create", "--name", "x", "--role", "writer", "--expires", "soon"],
            "--expires",
        ),
        (2, &["keys", "create", "--name", "x", "--role", "writer", "--label", "env"], "name=value"),
        (2, &["keys", "update", id], "nothing to change"),
        (2, &["keys", "update", id, "--grant", "a.b", "--no-grants"], "--no-grants"),
        (2, &["keys", "list", "--page-size", "0"], "--page-size"),
        (2, &["keys", "revoke", id], "pass --yes"),
        (2, &["keys"], "Usage"),
        (
            1,
            &["keys", "create", "--name", "x", "--role", "owner"],
            "error: the request is not valid:\n  role: service `ai-cms` has no role `owner`",
        ),
        (
            1,
            &["keys", "create", "--name", "x", "--role", "writer", "--expires", "2001-01-01"],
            "error: the request is not valid:\n  expire_time: must be in the future",
        ),
        (1, &["keys", "get", "0000000000"], "there is no key `0000000000`"),
        (1, &["keys", "update", id, "--name", "b", "--if-etag", "old"], "read it again"),
        (1, &["keys", "list", "--page-token", "x"], "page_token"),
        (1, &["keys", "revoke", "0000000000", "--yes"], "not found"),
    ];
    for (code, args, expected) in cases {
        let said = run(admin(&sidecar, args)).refused(code);
        assert!(said.contains(expected), "{args:?}: {said}");
    }
    let same = run(admin(&sidecar, &["keys", "get", id, "-o", "json"])).json(0);
    assert_eq!(same["api_key"]["etag"], key.etag);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_list_follows_its_pages_and_stops_at_its_limit() {
    let sidecar = Sidecar::start();
    for _ in 0..7 {
        sidecar.create("writer").await;
    }
    let all = as_json(&sidecar, &["keys", "list", "--page-size", "2"]);
    assert_eq!(
        (all["api_keys"].as_array().unwrap().len(), &all["next_page_token"]),
        (7, &json!(""))
    );
    let first = as_json(&sidecar, &["keys", "list", "--limit", "3"]);
    let next = first["next_page_token"].as_str().unwrap();
    let rest = as_json(&sidecar, &["keys", "list", "--page-token", next]);
    let both = [&first["api_keys"], &rest["api_keys"]];
    let both: Vec<_> = both.iter().flat_map(|keys| keys.as_array().unwrap().clone()).collect();
    assert_eq!(&both, all["api_keys"].as_array().unwrap());
    let limited = table(&sidecar, &["keys", "list", "--limit", "3"]);
    assert!(limited.contains("3 of 7 keys; list on with `--page-token "), "{limited}");
    sidecar.finish().await;
}
