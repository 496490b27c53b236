//! Requests that are wrong: a status, a message that says what to do, and no secret anywhere.

use serde_json::{Value, json};

use super::{CONFIGURATION, EVALUATION, EVALUATIONS, client::Client, question};
use crate::sidecar::Sidecar;

const JSON: (&str, &str) = ("content-type", "application/json");

fn start() -> Sidecar {
    let args = ["--authzen-listen", "127.0.0.1:0", "--log-level", "trace,h2=trace,sled=info"];
    Sidecar::start_with(&args)
}

#[tokio::test]
async fn a_wrong_path_method_or_type_is_told_what_is_right() {
    let sidecar = start();
    let (_, text) = sidecar.create("writer").await;
    let mut client = Client::of(&sidecar);
    let body = question(&text, "articles.create").to_string();
    let id = ("x-request-id", "wrong");
    for path in ["/", "/access/v1", "/access/v1/evaluation/", "/access/v1/search/subject", "//"] {
        let answer = client.ask("POST", path, &[JSON, id], &body);
        assert!(answer.error(404).contains("use POST /access/v1/evaluation, POST"), "{answer:?}");
        assert_eq!(answer.header("x-request-id"), Some("wrong"));
    }
    for (path, wrong, right) in [
        (EVALUATION, ["GET", "PUT", "DELETE", "OPTIONS"], "POST"),
        (EVALUATIONS, ["GET", "PUT", "PATCH", "BREW"], "POST"),
        (CONFIGURATION, ["POST", "PUT", "DELETE", "OPTIONS"], "GET"),
    ] {
        for method in wrong {
            let answer = client.ask(method, path, &[JSON, id], &body);
            assert!(answer.error(405).contains(&format!("takes {right} only")), "{answer:?}");
            assert!(answer.header("allow").unwrap().split(',').any(|allowed| allowed == right));
            assert_eq!(answer.header("x-request-id"), Some("wrong"));
        }
    }
    let kinds: [&[(&str, &str)]; 6] = [
        &[],
        &[("content-type", "text/plain")],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[("content-type", "application/jsonp")],
        &[("content-type", "text/plain, application/json")],
        &[JSON, JSON],
    ];
    for headers in kinds {
        for path in [EVALUATION, EVALUATIONS] {
            let answer = client.ask("POST", path, headers, &body);
            assert!(answer.error(415).contains("must be `application/json`"), "{headers:?}");
        }
    }
    assert_eq!(client.ask("POST", EVALUATION, &[JSON], &body).status, 200);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_wrong_body_is_refused_without_a_word_of_it() {
    let sidecar = start();
    let (_, text) = sidecar.create("super_admin").await;
    let secret = &text[16..48];
    let mut client = Client::of(&sidecar);
    let right = question(&text, "articles.create");
    let with = |path: &str, value: Value| {
        let mut wrong = right.clone();
        *wrong.pointer_mut(path).unwrap() = value;
        wrong.to_string().into_bytes()
    };
    let without = |parent: &str, name: &str| {
        let mut wrong = right.clone();
        wrong.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
        wrong.to_string().into_bytes()
    };
    let twice = right.to_string().replacen('{', r#"{"action":{"name":"articles.read"},"#, 1);
    let quoted = json!({ &text: &text });
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"".to_vec(), "the body is empty"),
        (text.clone().into_bytes(), "the body is not JSON"),
        (json!(text).to_string().into_bytes(), "the body must be an object"),
        (json!([right]).to_string().into_bytes(), "the body must be an object"),
        (right.to_string().into_bytes()[..60].to_vec(), "the body is not JSON"),
        (format!("{right}{text}").into_bytes(), "the body is not JSON"),
        (right.to_string().replace("articles", "\u{1}").into_bytes(), "the body is not JSON"),
        ([right.to_string().as_bytes(), b"\xff"].concat(), "the body is not UTF-8"),
        (twice.into_bytes(), "`action` stands there twice"),
        (without("", "subject"), "`subject` is missing"),
        (without("", "action"), "`action` is missing"),
        (without("", "resource"), "`resource` is missing"),
        (without("/subject", "type"), "`subject.type` is missing"),
        (without("/subject", "id"), "`subject.id` is missing"),
        (without("/action", "name"), "`action.name` is missing"),
        (without("/resource", "type"), "`resource.type` is missing"),
        (without("/resource", "id"), "`resource.id` is missing"),
        (with("/subject", json!(text)), "`subject` must be an object"),
        (with("/subject", json!([text])), "`subject` must be an object"),
        (with("/subject/type", json!(text)), "`subject.type` must be `api_key`"),
        (with("/subject/id", quoted.clone()), "`subject.id` must be a string"),
        (with("/action/name", json!(123)), "`action.name` must be a string"),
        (with("/action/name", json!(text.repeat(3))), "`action.name` has 162 bytes; at most 128"),
        (with("/resource", quoted), "`resource.type` is missing"),
        (with("/resource/id", json!(text.repeat(5))), "`resource.id` has 270 bytes; at most 256"),
    ];
    for (body, expected) in cases {
        for path in [EVALUATION, EVALUATIONS] {
            let answer = client.ask("POST", path, &[JSON, ("x-request-id", "bad")], &body);
            let said = answer.error(400);
            assert!(said.starts_with(expected), "{said}");
            assert!(!format!("{answer:?}").contains(secret), "{answer:?}");
            assert_eq!(answer.header("x-request-id"), Some("bad"));
        }
    }
    // Rightly used, and as what it is not, it is in no answer either.
    for body in [
        with("/resource/id", json!(text)),
        with("/action/name", json!(text)),
        with("/subject/id", json!(format!("{text}{text}"))),
    ] {
        let answer = client.ask("POST", EVALUATION, &[JSON, ("x-api-key", &text)], &body);
        assert_eq!(answer.status, 200);
        assert!(!format!("{answer:?}").contains(secret), "{answer:?}");
    }
    let answer = client.ask("GET", &format!("/{text}"), &[("authorization", &text)], "");
    assert!(!answer.error(404).contains(secret));
    client.send(format!("{text} {text} {text}\r\n\r\n"));
    assert!(!String::from_utf8_lossy(&client.rest()).contains(secret));
    let log = sidecar.finish().await;
    assert!(log.contains("\"TRACE\""), "nothing was logged that could hold a secret");
    assert!(!log.contains(secret), "{log}");
}

#[tokio::test]
async fn what_is_too_much_is_refused() {
    let sidecar = start();
    let (_, text) = sidecar.create("writer").await;
    let mut client = Client::of(&sidecar);
    let mut request = question(&text, "articles.create");
    request["evaluations"] = vec![json!({}); 1001].into();
    let said = client.post(EVALUATIONS, &request).error(400);
    assert!(said.starts_with("`evaluations` holds 1001 elements; at most 1000"), "{said}");
    request["evaluations"] = vec![json!({}); 1000].into();
    let answer = client.evaluate(EVALUATIONS, &request);
    let several = answer["evaluations"].as_array().unwrap();
    assert!(several.len() == 1000 && several.iter().all(|one| one["decision"] == true));

    let mut request = question(&text, "articles.create").to_string();
    request.push_str(&" ".repeat((1 << 20) - request.len()));
    assert_eq!(client.ask("POST", EVALUATION, &[JSON], &request).status, 200);
    request.push(' ');
    for path in [EVALUATION, EVALUATIONS] {
        let said = client.ask("POST", path, &[JSON], &request).error(413);
        assert_eq!(said, "the body has more than 1048576 bytes: send less at once");
    }
    assert_eq!(client.ask("POST", EVALUATION, &[JSON], &request[1..]).status, 400, "no `{{`");
    sidecar.finish().await;
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let sidecar = start();
    let (_, text) = sidecar.create("writer").await;
    for wrong in [
        "hello\r\n\r\n".to_owned(),
        "POST /access/v1/evaluation HTTP/1.1\r\nbad header\r\n\r\n".to_owned(),
        "POST /access/v1/evaluation HTTP/1.1\r\ncontent-length: x\r\n\r\n".to_owned(),
        "POST /access/v1/evaluation HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n"
            .to_owned(),
        format!("POST /access/v1/evaluation HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(20_000)),
        // Nearly HTTP/2, which is spoken here, too.
        "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_owned(),
    ] {
        let mut client = Client::at(&sidecar.authzen_listen);
        client.send(&wrong);
        let said = String::from_utf8(client.rest()).unwrap();
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{wrong:?}: {said}");
    }
    let answer = Client::of(&sidecar).evaluate(EVALUATION, &question(&text, "articles.create"));
    assert_eq!(answer["decision"], true);
    sidecar.finish().await;
}
