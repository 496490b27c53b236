//! What every log is held to at the end of every test: no text of a key, no operator token.
//!
//! `secrets` looks for more, in more places. This is for what nobody thought of there.

/// How secrets of ours begin, and what of them may be shown: a key's id, and the dots of a hint.
const KINDS: [(&str, usize); 2] = [("octv_", "0123456789_".len()), ("octo_", 0)];

/// So much of a secret is no longer by accident.
const TELLING: usize = 12;

/// Fails when a line of `log` holds a secret.
#[track_caller]
pub fn assert(log: &str) {
    if let Some(line) = log.lines().find(|line| holds_secret(line)) {
        panic!("a secret is in the log: {line}");
    }
}

fn holds_secret(line: &str) -> bool {
    KINDS.iter().any(|(prefix, public)| {
        line.match_indices(prefix).any(|(at, _)| {
            let rest = line[at + prefix.len()..].bytes();
            let length =
                rest.take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
            length >= public + TELLING
        })
    })
}

#[test]
fn a_secret_is_found_and_a_hint_is_none() {
    let key = "octv_4x6VAnLpgE_mkc7Wd0aT3nXq9LrB2sEf5hJyZuV8gPw1CQaT7";
    for line in [key, &key[..30], "token=octo_4x6VAnLpgEmkc7Wd0aT3nXq9LrB2s, denied"] {
        assert!(holds_secret(line), "{line}");
    }
    for line in ["octv_4x6VAnLpgE_…CQaT7", "octv_[hidden]", "octo_", "the token octo_…"] {
        assert!(!holds_secret(line), "{line}");
    }
}
