//! `keys rotate --overlap`, `keys update --dry-run` and the filters of `keys
//! list`.

use serde_json::{Value, json};

use super::{admin, run};
use crate::sidecar::Sidecar;

fn table(sidecar: &Sidecar, args: &[&str]) -> String {
    run(admin(sidecar, &[&["keys"], args].concat())).with(0)
}

fn as_json(sidecar: &Sidecar, args: &[&str]) -> Value {
    run(admin(sidecar, &[&["keys"], args, &["-o", "json"]].concat())).json(0)
}

#[tokio::test]
async fn a_rotation_can_leave_the_old_text_in_force_for_a_while() {
    let sidecar = Sidecar::start();
    let (key, first) = sidecar.create("writer").await;
    let rotate = |args: &[&str]| table(&sidecar, &[&["rotate", &key.id], args].concat());
    let allowed = async |text: &str| sidecar.authorize(text, "articles.create").await.allowed;

    let said = rotate(&["--overlap", "7d"]);
    let second = said.lines().last().unwrap().to_owned();
    let hint = format!("octv_{}_…{}", key.id, &first[50..]);
    assert!(said.contains(&format!("The old secret {hint} is accepted until ")), "{said}");
    assert!(said.contains("(in 6 days)") || said.contains("(in 7 days)"), "{said}");
    assert!(allowed(&first).await && allowed(&second).await);

    // A third secret: the first has to go.
    let third = as_json(&sidecar, &["rotate", &key.id, "--overlap", "1h"]);
    assert_eq!(third["dropped_secrets"].as_array().unwrap().len(), 1, "{third}");
    assert_eq!(third["dropped_secrets"][0]["hint"], json!(hint));
    assert_eq!(third["api_key"]["secrets"].as_array().unwrap().len(), 2);
    assert_eq!(third["api_key"]["secrets"][0]["number"], 3);
    assert!(!allowed(&first).await && allowed(&second).await);

    let said = rotate(&[]);
    assert_eq!(said.matches(" is refused from now on.").count(), 2, "{said}");
    assert!(!allowed(&second).await && !allowed(third["key"].as_str().unwrap()).await);
    assert!(allowed(said.lines().last().unwrap()).await);

    let etag = as_json(&sidecar, &["get", &key.id])["api_key"]["etag"].clone();
    let stale = ["keys", "rotate", &key.id, "--if-etag", &key.etag];
    assert!(run(admin(&sidecar, &stale)).refused(1).contains("read it again"));
    as_json(&sidecar, &["rotate", &key.id, "--if-etag", etag.as_str().unwrap()]);
    for overlap in ["91d", "0d", "soon"] {
        let args = ["keys", "rotate", &key.id, "--overlap", overlap];
        assert!(run(admin(&sidecar, &args)).refused(2).contains("--overlap"), "{overlap}");
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn a_dry_run_of_an_update_shows_what_would_change_and_changes_nothing() {
    let sidecar = Sidecar::start();
    let (key, text) = sidecar.create("writer").await;
    let before = as_json(&sidecar, &["get", &key.id]);
    let update = ["update", &key.id, "--role", "publisher", "--name", "b", "--dry-run"];

    let said = table(&sidecar, &update);
    assert!(said.starts_with(&format!("key `a writer` ({}) would change:\n", key.id)), "{said}");
    assert!(said.contains("\n  name: a writer → b\n  role: writer → publisher\n"), "{said}");
    assert!(said.contains("Nothing was changed"), "{said}");
    assert!(said.contains("\n  + articles.publish\n"), "{said}");
    let said = as_json(&sidecar, &update);
    assert_eq!((&said["dry_run"], &said["api_key"]["role"]), (&json!(true), &json!("publisher")));
    let fields = json!([
        { "field": "name", "before": "a writer", "after": "b" },
        { "field": "role", "before": "writer", "after": "publisher" },
    ]);
    assert_eq!(said["field_changes"], fields);
    let gained = json!({
        "action": "articles.publish",
        "before": { "allowed": false, "conditions": [] },
        "after": { "allowed": true, "conditions": [] },
    });
    assert!(said["right_changes"].as_array().unwrap().contains(&gained), "{said}");
    assert_eq!(as_json(&sidecar, &["get", &key.id]), before);
    assert!(!sidecar.authorize(&text, "articles.publish").await.allowed);

    let wrong = ["keys", "update", &key.id, "--role", "owner", "--dry-run"];
    assert!(run(admin(&sidecar, &wrong)).refused(1).contains("has no role `owner`"));
    let stale = ["keys", "update", &key.id, "--name", "b", "--dry-run", "--if-etag", "old"];
    assert!(run(admin(&sidecar, &stale)).refused(1).contains("read it again"));
    let same = table(&sidecar, &["update", &key.id, "--role", "writer", "--dry-run"]);
    assert!(same.contains("would stay as it is"), "{same}");
    assert!(same.contains("the key's rights would stay as they were"), "{same}");

    // Done, it says the same.
    let said = table(&sidecar, &["update", &key.id, "--role", "publisher"]);
    assert!(said.contains("\n  + articles.publish\n"), "{said}");
    let said = as_json(&sidecar, &["update", &key.id, "--role", "writer"]);
    assert_eq!((&said["dry_run"], &said["field_changes"]), (&json!(false), &Value::Null));
    assert!(!said["right_changes"].as_array().unwrap().is_empty(), "{said}");
    let said = table(&sidecar, &["update", &key.id, "--name", "c"]);
    assert!(!said.contains("rights"), "{said}");
    sidecar.finish().await;
}

#[tokio::test]
async fn a_list_is_filtered_and_ordered() {
    let sidecar = Sidecar::start();
    let create = |name: &str, more: &[&str]| {
        let args = ["create", "--name", name, "--role", "writer"];
        let created = as_json(&sidecar, &[&args, more].concat());
        created["api_key"]["id"].as_str().unwrap().to_owned()
    };
    create("b", &["--expires", "1h", "--label", "env=prod", "--label", "a=1"]);
    create("c", &["--label", "env=test"]);
    create("a", &["--expires", "90d", "--label", "env=prod"]);
    let names = |args: &[&str]| {
        let listed = as_json(&sidecar, &[&["list"], args].concat());
        let keys = listed["api_keys"].as_array().unwrap().iter();
        keys.map(|key| key["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for (args, expected) in [
        (&["--order-by", "name"][..], &["a", "b", "c"][..]),
        (&["--order-by", "name desc"], &["c", "b", "a"]),
        (&["--order-by", "name", "--desc", "--page-size", "1"], &["c", "b", "a"]),
        (&["--order-by", "create_time"], &["b", "c", "a"]),
        (&["--order-by", "expire_time"], &["b", "a", "c"]),
        (&["--expires-within", "2h"], &["b"]),
        (&["--lifetime"], &["c"]),
        (&["--no-lifetime", "--order-by", "name"], &["a", "b"]),
        (&["--expired"], &[]),
        (&["--not-expired", "--order-by", "name"], &["a", "b", "c"]),
        (&["--label", "env=prod", "--order-by", "name"], &["a", "b"]),
        (&["--label", "env=prod", "--label", "a=1"], &["b"]),
        (&["--unused-for", "1h"], &[]),
        (&["--never-used", "--order-by", "name"], &["a", "b", "c"]),
    ] {
        assert_eq!(names(args), expected, "{args:?}");
    }
    let said = table(&sidecar, &["list", "--order-by", "name"]);
    assert!(said.lines().next().unwrap().contains("LAST USED"), "{said}");
    assert_eq!(said.matches("  never  ").count(), 3, "{said}");
    for args in [&["--order-by", "role"][..], &["--expired", "--not-expired"]] {
        run(admin(&sidecar, &[&["keys", "list"], args].concat())).refused(2);
    }
    sidecar.finish().await;
}

#[tokio::test]
async fn a_key_says_when_it_was_last_used() {
    let sidecar = Sidecar::start_with(&["--usage-flush-interval", "50ms"]);
    let (key, text) = sidecar.create("writer").await;
    let fresh = table(&sidecar, &["get", &key.id]);
    assert!(fresh.contains("last used:    never used"), "{fresh}");
    sidecar.authorize(&text, "articles.create").await;
    sidecar.authorize(&text, "articles.publish").await;
    let started = std::time::Instant::now();
    let used = loop {
        let got = as_json(&sidecar, &["get", &key.id]);
        if got["api_key"]["denied_count"] == 1 {
            break got;
        }
        assert!(started.elapsed() < crate::sidecar::PATIENCE, "{got}");
    };
    assert_eq!(used["api_key"]["allowed_count"], 1);
    assert!(used["api_key"]["last_used_time"].is_string(), "{used}");
    assert!(used["api_key"]["secrets"][0]["last_used_time"].is_string(), "{used}");
    let last = used["daily_usage"].as_array().and_then(|days| days.last()).unwrap();
    assert!(last["start_time"].as_str().unwrap().ends_with("T00:00:00Z"), "{used}");
    assert_eq!(last["denied_count"], 1);
    let said = table(&sidecar, &["get", &key.id]);
    assert!(said.contains("1 allowed, 1 denied since "), "{said}");
    sidecar.finish().await;
}
