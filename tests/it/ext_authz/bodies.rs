//! What bodies need, against a second reading of the table's rules; and bodies that another reader
//! could take for something else, which need everything.

use std::collections::BTreeSet;

use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};

use super::{Asked, client};
use crate::{
    golden::{Operation, ROLES, Right, operations, right},
    sidecar::Sidecar,
};

/// What is odd about a request, and the request of a key.
type Case<'a> = (&'a str, Box<dyn Fn(&str) -> Asked + 'a>);

/// The two operations whose body counts.
fn with_body() -> [Operation; 2] {
    let rows: Vec<_> = operations().into_iter().filter(|row| !row.body_fields.is_empty()).collect();
    rows.try_into().unwrap_or_else(|_| panic!("two operations"))
}

/// The actions that the table names for a row.
fn every_action(row: &Operation) -> BTreeSet<&'static str> {
    let by_fields = row.body_fields.split("; ").map(|rule| rule.split_once(" -> ").unwrap().1);
    by_fields.filter(|action| *action != "none").chain([row.action]).collect()
}

/// The actions that a body of `fields` needs, read from the table's own words.
fn needed(row: &Operation, fields: &[(&str, Value)]) -> BTreeSet<&'static str> {
    let rules: Vec<(&str, &str)> =
        row.body_fields.split("; ").map(|rule| rule.split_once(" -> ").unwrap()).collect();
    let any_other = rules.iter().find(|(field, _)| *field == "any other field");
    let mut needed = BTreeSet::new();
    if any_other.is_none() {
        needed.insert(row.action);
    }
    for (name, value) in fields {
        let is = |field: &str| field.split('=').next() == Some(name);
        let of_field: Vec<_> = rules.iter().filter(|(field, _)| is(field)).collect();
        // In other case it is that field to some readers, and another one to the others.
        let plain = name.replace('_', "");
        let like = |field: &str| field.split('=').next().unwrap().eq_ignore_ascii_case(&plain);
        for (field, action) in &rules {
            if of_field.is_empty() && like(field) && *action != "none" {
                needed.insert(action);
            }
        }
        for (field, action) in &of_field {
            let applies = match field.split_once('=') {
                None => true,
                Some((_, wanted)) => {
                    value.as_bool().is_none_or(|value| value == (wanted == "true"))
                }
            };
            if applies && *action != "none" {
                needed.insert(action);
            }
        }
        if let (true, Some((_, action))) = (of_field.is_empty(), any_other) {
            needed.insert(action);
        }
    }
    if needed.is_empty() {
        needed.insert(row.action);
    }
    needed
}

fn may(role: &str, actions: &BTreeSet<&str>) -> bool {
    actions.iter().all(|action| right(role, action) == Right::Always)
}

fn target(row: &Operation) -> String {
    format!("/cms{}", row.path)
}

#[test]
fn a_body_needs_what_its_fields_need_for_every_role() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sidecar = Sidecar::start();
    let (client, keys) = runtime.block_on(async {
        let mut keys = Vec::new();
        for role in ROLES {
            keys.push((role, sidecar.create(role).await.1));
        }
        (client(&sidecar).await, keys)
    });
    let names = [
        "id",
        "isPublished",
        "isPrivate",
        "publishDate",
        "title",
        "ispublished",
        "is_Private",
        "*",
    ];
    let values = [
        json!(true),
        json!(false),
        json!(null),
        json!("true"),
        json!(1),
        json!(0),
        json!([true]),
        json!({"isPublished": true}),
        json!(1.5),
        json!(""),
    ];
    let body = prop::sample::subsequence(names.to_vec(), 0..=names.len()).prop_shuffle();
    let picks = prop::collection::vec(prop::sample::select(values.to_vec()), names.len());
    let mut runner = TestRunner::new(ProptestConfig { cases: 150, ..ProptestConfig::default() });
    runner
        .run(&(body, picks, any::<bool>()), |(body, picks, update)| {
            let row = with_body()[usize::from(update)];
            let fields: Vec<_> = body.into_iter().zip(picks).collect();
            let text: Vec<String> =
                fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            let text = format!("{{{}}}", text.join(", "));
            let needed = needed(&row, &fields);
            for (role, key) in &keys {
                let asked = Asked::new(row.method, &target(&row), key).json(&text);
                let told = runtime.block_on(asked.ask(&client));
                let passes = told.status == 200;
                prop_assert_eq!(passes, may(role, &needed), "{} {} {:?}", role, text, needed);
                let named: BTreeSet<&str> = told.metadata["action"].split(',').collect();
                prop_assert_eq!(&named, &needed, "{}", text);
                if passes {
                    prop_assert_eq!(&told.headers["x-octavia-action"], &told.metadata["action"]);
                }
            }
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn a_body_that_is_not_seen_whole_as_json_needs_everything() {
    const BODY: &str = r#"{"id":"1","isPublished":true}"#;
    let sidecar = Sidecar::start();
    let client = client(&sidecar).await;
    let (_, publisher) = sidecar.create("publisher").await;
    let (_, admin) = sidecar.create("admin").await;
    let update = |key: &str| Asked::new("PUT", "/cms/articles/update", key);
    let as_json = |key: &str| update(key).header("content-type", "application/json");
    let plain = |key: &str| as_json(key).buffered(BODY);
    assert_eq!(plain(&publisher).ask(&client).await.status, 200);
    let typed = |key: &str, kind: &str| update(key).header("content-type", kind).buffered(BODY);

    let cases: Vec<Case<'_>> = vec![
        ("no body", Box::new(as_json)),
        (
            "a body that nobody says is whole",
            Box::new(move |key| {
                let mut asked = as_json(key);
                asked.raw_body = BODY.into();
                asked
            }),
        ),
        (
            "a partial body",
            Box::new(move |key| plain(key).header("x-envoy-auth-partial-body", "true")),
        ),
        (
            "what a client says of it",
            Box::new(move |key| {
                let mut asked = as_json(key).header("x-envoy-auth-partial-body", "true");
                asked.raw_body = BODY.into();
                asked.header("x-envoy-auth-partial-body", "false")
            }),
        ),
        (
            "a body of another length",
            Box::new(move |key| plain(key).header("content-length", "30")),
        ),
        (
            "two lengths",
            Box::new(move |key| {
                plain(key).header("content-length", "29").header("content-length", "29")
            }),
        ),
        ("no length", Box::new(move |key| plain(key).header("content-length", "x"))),
        (
            "two bodies",
            Box::new(move |key| {
                let mut asked = plain(key);
                asked.body = BODY.to_owned();
                asked
            }),
        ),
        ("no type", Box::new(move |key| update(key).buffered(BODY))),
        ("a form", Box::new(move |key| typed(key, "application/x-www-form-urlencoded"))),
        ("text", Box::new(move |key| typed(key, "text/plain"))),
        ("UTF-7", Box::new(move |key| typed(key, "application/json; charset=utf-7"))),
        ("UTF-16", Box::new(move |key| typed(key, "application/json;charset=\"UTF-16\""))),
        (
            "two charsets",
            Box::new(move |key| typed(key, "application/json; charset=utf-8; charset=utf-7")),
        ),
        (
            "a parameter without a value",
            Box::new(move |key| typed(key, "application/json; charset")),
        ),
        ("two types", Box::new(move |key| plain(key).header("content-type", "text/plain"))),
        ("joined types", Box::new(move |key| typed(key, "application/json, text/plain"))),
        ("gzip", Box::new(move |key| plain(key).header("content-encoding", "gzip"))),
        (
            "a type that is no text",
            Box::new(move |key| {
                update(key).header("content-type", *b"application/json\xff").buffered(BODY)
            }),
        ),
    ];
    let many: Vec<String> = (0..300).map(|field| format!("\"f{field}\":1")).collect();
    let many = format!("{{{}}}", many.join(","));
    let bodies = [
        "",
        "null",
        "true",
        "[]",
        r#""id""#,
        r#"{"id":"1""#,
        r#"{"id":"1"} x"#,
        r#"{"id":"1"}{}"#,
        r#"{id:1}"#,
        r#"{"id":NaN}"#,
        r#"{"id":1,}"#,
        r#"{"id":"\ud800"}"#,
        "\u{feff}{\"id\":1}",
        r#"{"id":1e999}"#,
        r#"{"id":1,"__proto__":{"isPublished":true}}"#,
        &many,
        "/**/{\"id\":1}",
    ];
    let bodies = bodies
        .map(|body| -> Case<'_> { (body, Box::new(move |key: &str| as_json(key).buffered(body))) });
    for (case, asked) in cases.into_iter().chain(bodies) {
        let told = asked(&publisher).ask(&client).await;
        assert_eq!((told.status, told.reason()), (403, "ACTION_DENIED"), "{case}");
        let told = asked(&admin).ask(&client).await;
        assert_eq!(told.status, 200, "{case}: {}", told.body);
        let named: BTreeSet<&str> = told.metadata["action"].split(',').collect();
        assert_eq!(named, every_action(&with_body()[1]), "{case}");
    }
    for kind in ["application/json", "Application/JSON ; Charset=\"UTF-8\"", "application/json;"] {
        assert_eq!(typed(&publisher, kind).ask(&client).await.status, 200, "{kind}");
    }
    assert_eq!(
        plain(&publisher).header("content-encoding", "identity").ask(&client).await.status,
        200
    );
}

#[tokio::test]
async fn a_field_that_is_there_twice_is_refused_to_everyone() {
    let sidecar = Sidecar::start();
    let client = client(&sidecar).await;
    let (_, text) = sidecar.create("super_admin").await;
    for body in [
        r#"{"isPublished":false,"isPublished":true}"#,
        r#"{"id":1,"title":"a","title":"a"}"#,
        r#"{"isPublished":false,"\u0069sPublished":true}"#,
    ] {
        for (method, path) in [("POST", "/cms/articles/create"), ("PUT", "/cms/articles/update")] {
            let told = Asked::new(method, path, &text).json(body).ask(&client).await;
            assert_eq!((told.status, told.reason()), (403, "REQUEST_INVALID"), "{body}");
            assert!(told.message().contains("twice"), "{}", told.body);
        }
        // Where the body makes no difference nobody reads it.
        let told = Asked::new("POST", "/cms/tags/create", &text).json(body).ask(&client).await;
        assert_eq!(told.status, 200);
    }
    let nested = r#"{"id":1,"a":{"x":1,"x":2}}"#;
    let told = Asked::new("PUT", "/cms/articles/update", &text).json(nested).ask(&client).await;
    assert_eq!(told.status, 200);
}
