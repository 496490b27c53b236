//! What a file of keys may hold, and how it is sent.

use std::{collections::HashMap, fmt::Write as _, fs, path::Path};

use prost::Message as _;

use super::super::{
    super::BadUsage,
    import::{self, line, messages::Messages, source::Source},
};
use crate::{
    clock::Timestamp,
    pb::v1::{self, imported_key::Digest},
};

fn instant() -> Timestamp {
    Timestamp(1_795_435_200_000)
}

fn hex() -> String {
    "9F86d081".repeat(8)
}

/// A line with `more` fields beside those that a key needs.
fn with(more: &str) -> String {
    format!(r#"{{"name":"web","role":"writer","sha256":"{}"{more}}}"#, hex())
}

fn problem(line: &str) -> String {
    line::key(line.as_bytes(), instant()).unwrap_err()
}

fn source(text: &str) -> (tempfile::TempDir, Source) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.jsonl");
    fs::write(&path, text).unwrap();
    (folder, Source::open(&path).unwrap())
}

#[test]
fn a_line_takes_every_field_of_the_api() {
    let plain = line::key(with("").as_bytes(), instant()).unwrap();
    let expected = v1::ImportedKey {
        name: "web".into(),
        role: "writer".into(),
        digest: Some(Digest::Sha256(hex().to_lowercase())),
        ..Default::default()
    };
    assert_eq!(plain, expected);
    let nothing = with(r#","team":null,"expire_time":null,"grants":null,"blake3":null"#);
    assert_eq!(line::key(nothing.as_bytes(), instant()).unwrap(), expected);

    let all = format!(
        r#"{{"name":"web","role":"writer","blake3":"{}","service":"shop","team":"t",
            "grants":["a.b","c.d"],"status":"INACTIVE","subject":"ana","description":"d",
            "labels":{{"env":"prod"}},"id":"Yt5Bq0cVn2","hint":"…abcd","expiration":"1h",
            "create_time":"2026-01-01T00:00:00Z","last_used_time":"2026-02-01T00:00:00Z"}}"#,
        hex()
    );
    let key = line::key(all.as_bytes(), instant()).unwrap();
    assert_eq!((key.service.as_str(), key.team.as_str()), ("shop", "t"));
    assert_eq!((key.grants.len(), key.status()), (2, v1::KeyStatus::Inactive));
    assert_eq!((key.subject.as_str(), key.description.as_str()), ("ana", "d"));
    assert_eq!((key.id.as_str(), key.hint.as_str()), ("Yt5Bq0cVn2", "…abcd"));
    assert_eq!(key.labels, HashMap::from([("env".into(), "prod".into())]));
    assert_eq!(key.expire_time.unwrap().seconds, instant().0 / 1_000 + 3_600);
    assert_eq!(key.create_time.unwrap().seconds, 1_767_225_600);
    assert_eq!(key.last_used_time.unwrap().seconds, 1_769_904_000);
    assert_eq!(key.digest, Some(Digest::Blake3(hex().to_lowercase())));

    let day = with(r#","expiration":"2027-01-31""#);
    let day = line::key(day.as_bytes(), instant()).unwrap();
    assert_eq!(day.expire_time.unwrap().seconds, 1_801_440_000, "through that day");
    let life = with(r#","expiration":"lifetime""#);
    assert_eq!(line::key(life.as_bytes(), instant()).unwrap().expire_time, None);
}

#[test]
fn a_line_that_is_no_key_names_the_field() {
    let other = hex();
    for (more, field, says) in [
        (r#","key":"octv_canary""#, "key", "there is no such field"),
        (r#","role":"editor""#, "role", "is given twice"),
        (r#","blake3":"9f86""#, "blake3", "either `sha256` or `blake3`"),
        (r#","team":5"#, "team", "must be text"),
        (r#","grants":"a.b""#, "grants", "must be a list of texts"),
        (r#","grants":[5]"#, "grants", "must be a list of texts"),
        (r#","labels":{"a":5}"#, "labels", "must be an object of texts"),
        (r#","labels":{"a":"1","a":"2"}"#, "labels", "the label `a` is given twice"),
        (r#","status":"off""#, "status", "`active` or `inactive`"),
        (r#","expire_time":"2027-01-31""#, "expire_time", "must be an instant"),
        (r#","expiration":"soon""#, "expiration", "write an instant"),
        (r#","expire_time":"2027-01-31T00:00:00Z","expiration":"1h""#, "expiration", "either"),
        (r#","create_time":"octv_canary""#, "create_time", "must be an instant"),
        (r#","id":"octv_canary""#, "id", "10 letters and digits"),
        (r#","hint":"octv_canary_octv_canary_octv_canary""#, "hint", "at most 32 characters"),
    ] {
        let said = problem(&with(more));
        assert!(said.starts_with(&format!("field `{field}`: ")), "{more}: {said}");
        assert!(said.contains(says), "{more}: {said}");
        assert!(!said.contains("canary"), "{said}");
    }
    for (line, says) in [
        (format!(r#"{{"role":"writer","sha256":"{other}"}}"#), "field `name`: is missing"),
        (format!(r#"{{"name":"a","sha256":"{other}"}}"#), "field `role`: is missing"),
        (r#"{"name":"a","role":"writer"}"#.into(), "field `sha256` or `blake3`: is missing"),
        (
            r#"{"name":"a","role":"writer","sha256":"octv_canary"}"#.into(),
            "field `sha256`: must be 64 hexadecimal digits",
        ),
        (r#""octv_canary""#.into(), "not a JSON object"),
        (r#" ["octv_canary"]"#.into(), "write one object a line (JSON Lines), not a JSON array"),
        ("[".into(), "write one object a line (JSON Lines), not a JSON array"),
        (format!("\u{feff}{}", with("")), "begins with a byte order mark (BOM)"),
        (r#"{"name":"octv_canary""#.into(), "not valid JSON, at column"),
        ("octv_canary".into(), "not valid JSON, at column 1"),
        (with(&format!(r#","description":"{}""#, "x".repeat(120_000))), "the key is too large"),
    ] {
        let said = problem(&line);
        assert!(said.starts_with(says), "{said}");
        assert!(!said.contains("canary"), "{said}");
    }
}

#[test]
fn a_file_is_checked_whole_and_says_which_lines_are_wrong() {
    let text = format!("{}\n\n{{}}\r\n{}\n5\n", with(""), with(""));
    let (folder, mut file) = source(&text);
    let path = folder.path().join("keys.jsonl");
    let error = import::check(&mut file, &path, instant()).unwrap_err();
    assert!(error.is::<BadUsage>());
    let said = error.to_string();
    assert!(said.contains("keys.jsonl` cannot be imported, and nothing was sent:\n"), "{said}");
    assert!(said.contains("\n  line 3: field `name`: is missing"), "{said}");
    assert!(said.ends_with("\n  line 5: not a JSON object"), "{said}");

    let (_folder, mut file) = source(&"5\n".repeat(25));
    let said = import::check(&mut file, Path::new("-"), instant()).unwrap_err().to_string();
    assert!(said.starts_with("standard input cannot be imported"), "{said}");
    assert!(said.ends_with("\n  line 20: not a JSON object\n  … and 5 lines more"), "{said}");

    let (_folder, mut file) = source("\n[\n  {\n  }\n]\n");
    let said = import::check(&mut file, Path::new("-"), instant()).unwrap_err().to_string();
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(said.contains("\n  line 2: write one object a line"), "{said}");

    let (_folder, mut file) = source(&"x".repeat(2 << 20));
    let said = import::check(&mut file, &path, instant()).unwrap_err().to_string();
    assert!(said.starts_with("line 1 of `"), "{said}");
    assert!(said.contains("is longer than any key"), "{said}");
}

#[test]
fn a_file_is_sent_in_messages_within_the_limits() {
    let mut text = String::new();
    for at in 0..1_234 {
        let more = match at % 100 {
            0 => format!(r#","description":"{}""#, "x".repeat(30_000)),
            _ => String::new(),
        };
        writeln!(text, "{}\n", with(&more).replace("web", &format!("key {at}"))).unwrap();
    }
    let (folder, mut file) = source(&text);
    let total = import::check(&mut file, &folder.path().join("keys.jsonl"), instant()).unwrap();
    assert_eq!(total, 1_234);
    let messages: Vec<_> = Messages::new(file.again().unwrap(), true, instant()).collect();
    let mut names = Vec::new();
    for message in messages {
        let message = message.unwrap();
        assert!((1..=500).contains(&message.keys.len()) && message.dry_run);
        assert!(message.encoded_len() < 200 << 10);
        names.extend(message.keys.into_iter().map(|key| key.name));
    }
    let expected: Vec<String> = (0..1_234).map(|at| format!("key {at}")).collect();
    assert_eq!(names, expected, "all of them, in order");

    // Every second line is empty.
    let lines = file.lines_of([0, 5, 1_233, 9_999].into_iter()).unwrap();
    assert_eq!(lines, HashMap::from([(0, 1), (5, 11), (1_233, 2_467)]));
}

#[test]
fn a_summary_names_the_lines_of_the_failures() {
    let failure = |index, name: &str| v1::ImportFailure {
        index,
        name: name.into(),
        code: 3,
        message: "role: there is no role `x`".into(),
    };
    let reply = v1::ImportApiKeysResponse {
        imported_count: 5,
        existing_count: 2,
        failed_count: 3,
        failures: vec![failure(4, "a\u{1b}"), failure(7, "b")],
    };
    let lines = HashMap::from([(4, 9), (7, 12)]);
    assert_eq!(
        import::summary(&reply, &lines, false),
        "imported 5 keys; 2 there already; 3 could not be imported:\n  \
         line 9, key `a\\u{1b}`: the request is not valid: role: there is no role `x`\n  \
         line 12, key `b`: the request is not valid: role: there is no role `x`\n  \
         … and 1 key more\n\
         The others are in force. Correct these and run the import again: that does the others \
         no harm."
    );
    let done = v1::ImportApiKeysResponse { imported_count: 1, ..Default::default() };
    assert_eq!(
        import::summary(&done, &HashMap::new(), true),
        "1 key would be imported\nNothing was changed."
    );
}
