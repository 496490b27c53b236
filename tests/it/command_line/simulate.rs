//! `keys simulate` and `keys rights`: what a key may do, without its text.

use serde_json::json;

use super::{admin, run};
use crate::sidecar::Sidecar;

#[tokio::test]
async fn a_simulation_decides_as_check_does_by_id() {
    let sidecar = Sidecar::start();
    let (key, _) = sidecar.create("writer").await;
    let simulate =
        |args: &[&str]| run(admin(&sidecar, &[&["keys", "simulate", &key.id], args].concat()));
    assert_eq!(simulate(&["articles.create"]).with(0), "allowed\n");
    let own = ["articles.update", "--owner", &key.subject, "--state", "draft"];
    assert_eq!(simulate(&own).with(0), "allowed\n");
    for (args, reason) in [
        (&["articles.publish"][..], "ACTION_DENIED"),
        (&["articles.pubish"], "ACTION_UNKNOWN"),
        (&["articles.create", "--service", "shop"], "SERVICE_MISMATCH"),
        (&["articles.update", "--owner", "bob"], "CONDITION_UNMET"),
    ] {
        let said = simulate(args).with(3);
        assert!(said.starts_with(&format!("denied: {reason} — ")), "{said}");
        let said = simulate(&[args, &["-o", "json"]].concat()).json(3);
        assert_eq!((&said["allowed"], &said["reason"]), (&json!(false), &json!(reason)));
    }
    run(admin(&sidecar, &["keys", "disable", &key.id])).with(0);
    assert!(simulate(&["articles.create"]).with(3).contains("KEY_INACTIVE"));
    let said = run(admin(&sidecar, &["keys", "simulate", "0000000000", "a.b"])).refused(1);
    assert!(said.contains("not found"), "{said}");
    run(admin(&sidecar, &["keys", "simulate", &key.id])).refused(2);

    let got = run(admin(&sidecar, &["keys", "get", &key.id, "-o", "json"])).json(0);
    assert_eq!(got["api_key"]["allowed_count"], 0, "no use of the key");
    sidecar.finish().await;
}

#[tokio::test]
async fn the_rights_of_a_key_are_shown_with_their_conditions() {
    let sidecar = Sidecar::start();
    let (key, _) = sidecar.create("writer").await;
    let rights = ["keys", "rights", &key.id];
    let said = run(admin(&sidecar, &rights)).with(0);
    let right = |action: &str| {
        let line = said.lines().find(|line| line.starts_with(&format!("{action} ")));
        line.map(|line| line[action.len()..].trim().to_owned())
    };
    assert_eq!(right("articles.create").as_deref(), Some("allowed"));
    assert!(right("articles.update").unwrap().starts_with("if resource.owner = `"), "{said}");
    assert_eq!(right("articles.publish"), None);
    assert!(said.lines().last().unwrap().contains("allowed whatever the resource"), "{said}");

    let said = run(admin(&sidecar, &[&rights[..], &["-o", "json"]].concat())).json(0);
    assert_eq!(said["reason"], "ALLOWED");
    assert!(said["allowed_actions"].as_array().unwrap().contains(&json!("articles.create")));
    let conditional = said["conditional_actions"].as_array().unwrap();
    let update = conditional.iter().find(|right| right["action"] == "articles.update").unwrap();
    assert_eq!(update["conditions"][0]["attribute"], "resource.owner");

    run(admin(&sidecar, &["keys", "disable", &key.id])).with(0);
    let said = run(admin(&sidecar, &rights)).with(0);
    assert!(said.starts_with("every action is denied at the moment: KEY_INACTIVE — "), "{said}");
    assert!(
        run(admin(&sidecar, &["keys", "rights", "0000000000"])).refused(1).contains("not found")
    );
    sidecar.finish().await;
}
