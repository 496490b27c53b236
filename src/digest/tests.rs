//! Which digest proves what, and which are made at all.

use std::fs;

use super::*;
use crate::{clock::Timestamp, token::Token};

const TEXT: &str = "octv_0123456789_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef0oL0nN";

fn pepper(text: &str) -> Pepper {
    Pepper::new(text.as_bytes())
}

fn key(scheme: Scheme, digest: Digest, foreign: bool) -> KeyRecord {
    let id = KeyId::generate().unwrap();
    let now = Timestamp(0);
    let token = Token::generate(id).unwrap();
    let secret = SecretRecord::new(&token, 1, &Digester::new(None, None), now);
    KeyRecord {
        id,
        name: String::new(),
        team: String::new(),
        service: String::new(),
        role: String::new(),
        grants: Vec::new(),
        active: true,
        expires: None,
        created: now,
        updated: now,
        subject: String::new(),
        description: String::new(),
        labels: std::collections::BTreeMap::new(),
        created_by: crate::change::Actor::Operator,
        revision: 0,
        secrets: vec![SecretRecord { scheme, digest, foreign, ..secret }],
        imported: None,
    }
}

fn proves(digester: &Digester, text: &str, key: &KeyRecord) -> bool {
    let presented = digester.present(text).unwrap();
    key.proven_by(&presented.digests, Timestamp(1)).is_some()
}

#[test]
fn a_digest_proves_nothing_under_another_pepper_or_none() {
    let (one, two) = (pepper("one"), pepper("two"));
    let digesters = [
        Digester::new(None, None),
        Digester::new(Some(one.clone()), None),
        Digester::new(Some(two.clone()), None),
    ];
    for (by, digester) in digesters.iter().enumerate() {
        let (scheme, digest) = digester.digest(TEXT.as_bytes());
        let key = key(scheme, digest, false);
        for (other, reader) in digesters.iter().enumerate() {
            reader.count(None, Some(&key));
            let expected = by == other || by == 0;
            assert_eq!(proves(reader, TEXT, &key), expected, "{by} {other}");
            reader.count(Some(&key), None);
        }
    }
}

#[test]
fn the_pepper_before_is_accepted_as_long_as_a_key_needs_it() {
    let (one, two) = (pepper("one"), pepper("two"));
    let (scheme, digest) = Digester::new(Some(one.clone()), None).digest(TEXT.as_bytes());
    let key = key(scheme, digest, false);
    let both = Digester::new(Some(two), Some(one));
    assert_eq!(both.outdated(), 0);
    both.count(None, Some(&key));
    assert_eq!(both.outdated(), 1);
    assert!(proves(&both, TEXT, &key));
    both.count(Some(&key), None);
    assert_eq!(both.outdated(), 0);
    // Nobody pays for it any more.
    assert_eq!(both.present(TEXT).unwrap().digests.iter().count(), 1);
}

#[test]
fn what_is_not_ours_is_a_key_only_as_long_as_there_is_an_imported_one() {
    let digester = Digester::new(None, None);
    assert!(digester.present("sk_live_1").is_err());
    let sha256 = Digest::from_bytes(sha2::Sha256::digest(b"sk_live_1").into());
    let key = key(Scheme::Sha256, sha256, true);
    digester.count(None, Some(&key));
    assert!(digester.present("sk_live_1").unwrap().id.is_none());
    assert!(proves(&digester, "sk_live_1", &key));
    assert!(!proves(&digester, "sk_live_2", &key));
    assert!(digester.present("").is_err());
    assert!(digester.present(&"x".repeat(MAX_FOREIGN_TEXT)).is_ok());
    assert!(digester.present(&"x".repeat(MAX_FOREIGN_TEXT + 1)).is_err());
    assert!(digester.present(TEXT).unwrap().id.is_some());
    digester.count(Some(&key), None);
    assert!(digester.present("sk_live_1").is_err());
}

#[test]
fn only_an_outdated_secret_is_renewed_and_once_however_often_it_is_used() {
    let digester = Digester::new(Some(pepper("one")), None);
    let (scheme, digest) = Digester::new(None, None).digest(TEXT.as_bytes());
    let outdated = key(scheme, digest, false);
    digester.count(None, Some(&outdated));
    let presented = digester.present(TEXT).unwrap();
    for _ in 0..3 {
        digester.renew(outdated.id, &outdated.secrets[0], &presented);
    }
    let (scheme, digest) = presented.digests.current();
    let current = key(scheme, digest, false);
    digester.renew(current.id, &current.secrets[0], &presented);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let renewals = runtime.block_on(digester.renewals());
    let [renewal] = renewals.as_slice() else { panic!("{renewals:?}") };
    let secret = &outdated.secrets[0];
    assert_eq!((renewal.id, renewal.old), (outdated.id, (secret.scheme, secret.digest)));
    assert_eq!(renewal.new, (scheme, digest));
}

#[test]
fn peppers_and_digests_show_nothing_but_the_fingerprint() {
    let pepper = pepper("the pepper itself");
    let digester = Digester::new(Some(pepper.clone()), None);
    let (_, digest) = digester.digest(TEXT.as_bytes());
    let shown = format!("{pepper:?} {digester:?} {digest:?} {:?}", digester.present(TEXT));
    let hex: String = digest.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    for secret in ["the pepper itself", TEXT, &hex[..16], &format!("{:?}", pepper.key)] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let id = pepper.id().to_string();
    assert_eq!(id.parse::<PepperId>().unwrap(), pepper.id());
    for wrong in ["", "1", &id.to_uppercase(), "zzzzzzzzzzzzzzzz", "+123456789abcdef"] {
        assert!(wrong.parse::<PepperId>().is_err() || wrong == id, "{wrong}");
    }
}

#[test]
fn a_newline_at_the_end_is_not_part_of_a_pepper() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("pepper");
    let ids = ["", "\n", "\r\n"].map(|end| {
        fs::write(&path, format!("{}{end}", "p".repeat(32))).unwrap();
        Pepper::read(&path).unwrap().id()
    });
    assert_eq!(ids, [ids[0]; 3]);
    fs::write(&path, "p".repeat(31)).unwrap();
    assert!(matches!(Pepper::read(&path), Err(PepperError::Length(_))));
}
