//! What is printed of events, and what can be typed.

use std::time::Duration;

use super::{
    moment::{From, Moment, Until},
    show,
    verify::Head,
};
use crate::pb::v1::{ApiKey, AuditEvent, AuditEventKind, AuditRefusal, KeySecret, KeyStatus};

fn secret(number: u32) -> KeySecret {
    KeySecret { number, digest_scheme: "blake3".into(), ..Default::default() }
}

fn key() -> ApiKey {
    ApiKey {
        id: "Yt5Bq0cVn2".into(),
        name: "web".into(),
        role: "writer".into(),
        team: "a".into(),
        status: KeyStatus::Active.into(),
        secrets: vec![secret(1)],
        ..Default::default()
    }
}

fn event(before: Option<ApiKey>, after: Option<ApiKey>) -> AuditEvent {
    AuditEvent {
        sequence: 7,
        time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 }),
        kind: AuditEventKind::CarryOver.into(),
        actor: "operator".into(),
        key_id: "Yt5Bq0cVn2".into(),
        before,
        after,
        ..Default::default()
    }
}

#[track_caller]
fn says(event: &AuditEvent, what: &str) {
    let line = show::line(event);
    let known = "       7  2023-11-14T22:13:20Z  operator        carry-over  Yt5Bq0cVn2  ";
    assert_eq!(line.strip_prefix(known), Some(what), "{line}");
}

#[test]
fn a_line_says_in_words_what_has_changed() {
    says(&event(None, Some(key())), "`web`, role writer, team a");
    says(&event(Some(key()), None), "was `web`, role writer, team a");
    says(&event(Some(key()), Some(key())), "unchanged");
    let mut other = ApiKey {
        role: "editor".into(),
        status: KeyStatus::Inactive.into(),
        expire_time: Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 }),
        labels: [("env".to_owned(), "prod".to_owned())].into(),
        ..key()
    };
    says(
        &event(Some(key()), Some(other.clone())),
        "role: writer → editor, status: active → inactive, expires: lifetime → 2027-01-15T08:00:00Z, \
         labels: - → env=prod",
    );
    other = key();
    other.secrets.insert(0, secret(2));
    says(&event(Some(key()), Some(other.clone())), "secret 2 made");
    says(&event(Some(other), Some(key())), "secret 2 dropped");
    let keyed =
        |number| KeySecret { number, digest_scheme: "blake3-keyed".into(), ..secret(number) };
    other = ApiKey { secrets: vec![keyed(1)], ..key() };
    says(
        &event(Some(key()), Some(other.clone())),
        "secret 1: digest made anew (blake3 → blake3-keyed)",
    );
    for (secrets, what) in [
        (vec![keyed(2), secret(1)], "secret 2: digest made anew"),
        (vec![keyed(2), keyed(1)], "secret 1 or 2: digest made anew"),
    ] {
        other.secrets = secrets;
        let mut redigest = event(Some(other.clone()), Some(other.clone()));
        redigest.kind = AuditEventKind::Redigest.into();
        let line = show::line(&redigest);
        assert!(line.ends_with(&format!("  {what}")), "{line}");
    }
    let refusal = |unlisted_count| AuditRefusal { code: 7, message: "no\n".into(), unlisted_count };
    let mut refused = event(None, None);
    refused.refusal = Some(refusal(0));
    says(&refused, "refused: no\\n");
    refused.refusal = Some(refusal(9));
    says(&refused, "refused: no\\n (and 9 more, not listed)");
}

#[test]
fn text_of_others_stays_on_its_line() {
    let evil = ApiKey { name: "a\u{1b}[2J\nb".into(), ..key() };
    let line = show::line(&event(None, Some(evil.clone())));
    assert!(!line.contains(['\u{1b}', '\n']), "{line}");
    assert_eq!(show::rows(&[event(None, Some(evil))]).lines().count(), 2);
}

#[test]
fn a_period_ends_with_the_day_that_is_named() {
    let at = |text: &str| Moment::At(text.parse().unwrap());
    assert_eq!("2027-01-31".parse::<From>().unwrap().0, at("2027-01-31T00:00:00Z"));
    assert_eq!("2027-01-31".parse::<Until>().unwrap().0, at("2027-02-01T00:00:00Z"));
    let exact = "2027-01-31T12:00:00+01:00";
    assert_eq!(exact.parse::<Until>().unwrap().0, at("2027-01-31T11:00:00Z"));
    let ago = "12h".parse::<From>().unwrap().0;
    assert_eq!(ago, Moment::Ago(Duration::from_secs(12 * 3600)));
    let now = "2027-01-31T12:00:00Z".parse().unwrap();
    let noon = Moment::At(now).instant(now).unwrap();
    assert_eq!(ago.instant(now).unwrap().seconds, noon.seconds - 12 * 3600);
    for wrong in ["", "yesterday", "2027-02-30", "5", "lifetime"] {
        assert!(wrong.parse::<From>().is_err(), "{wrong}");
    }
}

#[test]
fn a_noted_head_is_a_number_and_64_digits() {
    let head: Head = format!("12:{}", "ab".repeat(32)).parse().unwrap();
    assert_eq!(head, Head { sequence: 12, head: [0xab; 32] });
    for wrong in ["", "12", "12:", "12:ab", &format!(":{}", "ab".repeat(32)), &"ab".repeat(32)] {
        assert!(wrong.parse::<Head>().is_err(), "{wrong}");
    }
}
