//! Tables and properties of a key's text.

use proptest::prelude::*;

use super::*;
use crate::digest::Digester;

fn token() -> Token {
    Token::generate(KeyId::generate().unwrap()).unwrap()
}

/// Computed outside of this program (Python's `zlib.crc32`).
#[test]
fn a_known_text_is_accepted_and_its_checksum_is_the_standard_crc32() {
    let body = "octv_0123456789_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef";
    let text = format!("{body}{}", str::from_utf8(&checksum(body.as_bytes())).unwrap());
    assert_eq!(text, "octv_0123456789_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef0oL0nN");
    assert_eq!(id_in(&text).unwrap().as_str(), "0123456789");
}

#[test]
fn what_is_generated_is_accepted_and_proves_itself() {
    for _ in 0..100 {
        let token = token();
        assert_eq!(token.reveal().len(), TEXT_LEN);
        assert_eq!(id_in(token.reveal()).unwrap().as_str(), &token.reveal()[5..15]);
        assert!(token.reveal().ends_with(token.hint()));
        assert_eq!(token.hint().len(), 4);
    }
}

#[test]
fn no_two_secrets_of_one_key_are_alike() {
    let id = KeyId::generate().unwrap();
    let (one, two) = (Token::generate(id).unwrap(), Token::generate(id).unwrap());
    assert_ne!(one.reveal(), two.reveal());
}

#[test]
fn debug_shows_neither_text_nor_digest() {
    let token = token();
    let presented = Digester::new(None, None).present(token.reveal()).unwrap();
    let shown = format!("{token:?} {presented:?}");
    assert!(!shown.contains(&token.reveal()[16..48]), "{shown}");
    assert_eq!(format!("{token:?}"), "Token(…)");
}

#[test]
fn every_digit_of_the_alphabet_occurs_about_equally_often() {
    let mut seen = std::collections::BTreeMap::new();
    let mut out = [0; 62_000];
    random_base62(&mut out).unwrap();
    for digit in out {
        *seen.entry(digit).or_insert(0_u32) += 1;
    }
    assert_eq!(seen.len(), 62);
    // 1000 expected, standard deviation 31: ten of them are never reached.
    assert!(seen.values().all(|n| (690..1310).contains(n)), "{seen:?}");
}

proptest! {
    #[test]
    fn any_single_changed_byte_is_refused(at in 0..TEXT_LEN, to in any::<u8>()) {
        let token = token();
        let mut bytes = token.reveal().as_bytes().to_vec();
        prop_assume!(bytes[at] != to);
        bytes[at] = to;
        if let Ok(text) = str::from_utf8(&bytes) {
            prop_assert_eq!(id_in(text).unwrap_err(), Malformed);
        }
    }

    #[test]
    fn any_other_text_is_refused_without_a_panic(text in ".*") {
        prop_assert!(id_in(&text).is_err());
    }

    #[test]
    fn a_cut_or_lengthened_text_is_refused(cut in 0..TEXT_LEN, more in "[0-9A-Za-z_ \n]{1,60}") {
        let token = token();
        prop_assert!(id_in(&token.reveal()[..cut]).is_err());
        let (longer, shifted) = (format!("{}{more}", token.reveal()), format!("{more}{}", token.reveal()));
        prop_assert!(id_in(&longer).is_err());
        prop_assert!(id_in(&shifted).is_err());
    }

    #[test]
    fn a_key_id_is_read_back(text in "[0-9A-Za-z]{10}") {
        prop_assert_eq!(text.parse::<KeyId>().unwrap().to_string(), text);
    }

    #[test]
    fn what_is_no_key_id_is_refused(text in "[^0-9A-Za-z].{0,9}|[0-9A-Za-z]{0,9}|[0-9A-Za-z]{11,20}") {
        prop_assert!(text.parse::<KeyId>().is_err());
    }
}

#[test]
fn secrets_are_found_and_taken_out_wherever_they_stand() {
    let token = token();
    let (key, id) = (token.reveal(), &token.reveal()[5..15]);
    let operator = format!("octo_{}", "x".repeat(43));
    for (text, expected) in [
        (key.to_owned(), "…".to_owned()),
        (format!("my key {key}, and {key}!"), "my key …, and …!".to_owned()),
        (format!("é{operator}é{key}"), "é…é…".to_owned()),
        (format!("x{key}tail"), "x…".to_owned()),
        (format!("octv_octv_{key}"), "…".to_owned()),
    ] {
        assert!(holds_secret(&text), "{text}");
        assert_eq!(redacted(&text), Some(expected), "{text}");
    }
    for text in ["", "octv_", "octo_short", id, &format!("octv_{id}_…abcd"), "no secret"] {
        assert_eq!(redacted(text), None, "{text}");
    }
}
