//! Limits that are none: exit code 2, and a message that names the flag.

use tempfile::TempDir;

use crate::{
    command_line::{program, run},
    sidecar::Sidecar,
};

#[test]
fn a_limit_that_is_none_ends_with_2_before_anything_is_made() {
    let temporary = TempDir::new().unwrap();
    let dir = temporary.path().join("data");
    let number = "invalid digit found in string";
    for (flag, value, said) in [
        ("--max-connections", "0", "0 is not in 1..=1000000"),
        ("--max-connections", "1000001", "is not in 1..=1000000"),
        ("--max-connections", "many", number),
        ("--max-in-flight", "0", "0 is not in 1..=1000000"),
        ("--max-in-flight", "1.5", number),
        ("--max-streams", "0", "0 is not in 1..=10000"),
        ("--max-streams", "10001", "is not in 1..=10000"),
        ("--max-header-bytes", "1023", "is not in 1024..=1048576"),
        ("--max-header-bytes", "1048577", "is not in 1024..=1048576"),
        ("--max-header-bytes", "16k", number),
        ("--max-message-bytes", "1023", "is not in 1024..=67108864"),
        ("--max-message-bytes", "67108865", "is not in 1024..=67108864"),
        ("--max-failed-sign-ins", "0", "non-zero"),
        ("--max-failed-sign-ins", "4294967296", "number too large"),
        ("--handshake-timeout", "0s", "a time-out of zero leaves no time to answer"),
        ("--handshake-timeout", "5", "write a number and a unit"),
        ("--request-timeout", "0ms", "a time-out of zero leaves no time to answer"),
        ("--request-timeout", "soon", "write a number and a unit"),
        ("--lameduck", "2", "write a number and a unit: `500ms`, `2s` or `0s`"),
        ("--lameduck", "61m", "that is too long: at most `1h`"),
        ("--ops-listen", "nonsense", "`nonsense` is neither `host:port` nor `unix:/path`"),
        ("--ops-listen", "none,127.0.0.1:0", "--ops-listen is `none` and an address at once"),
    ] {
        let Err((status, log)) = Sidecar::try_start_on(&dir, &[flag, value]) else {
            panic!("started with {flag} {value}")
        };
        assert_eq!(status.code(), Some(2), "{flag} {value}: {log}");
        assert!(log.contains(said) && log.contains(flag), "{flag} {value}: {log}");
        assert!(!dir.exists(), "{flag} {value} made the data directory");
    }
}

#[test]
fn a_wrong_limit_in_the_environment_names_its_flag() {
    for (variable, flag) in [
        ("OCTAVIA_AUTHZ_MAX_CONNECTIONS", "--max-connections"),
        ("OCTAVIA_AUTHZ_MAX_IN_FLIGHT", "--max-in-flight"),
        ("OCTAVIA_AUTHZ_MAX_STREAMS", "--max-streams"),
        ("OCTAVIA_AUTHZ_MAX_HEADER_BYTES", "--max-header-bytes"),
        ("OCTAVIA_AUTHZ_MAX_MESSAGE_BYTES", "--max-message-bytes"),
        ("OCTAVIA_AUTHZ_MAX_FAILED_SIGN_INS", "--max-failed-sign-ins"),
        ("OCTAVIA_AUTHZ_HANDSHAKE_TIMEOUT", "--handshake-timeout"),
        ("OCTAVIA_AUTHZ_REQUEST_TIMEOUT", "--request-timeout"),
        ("OCTAVIA_AUTHZ_LAMEDUCK", "--lameduck"),
        ("OCTAVIA_AUTHZ_OPS_LISTEN", "--ops-listen"),
    ] {
        let mut command = program();
        command.arg("serve").env(variable, "wrong");
        let said = run(command).refused(2);
        assert!(said.contains(flag), "{variable}: {said}");
    }
}

#[test]
fn an_address_of_the_ops_listener_in_use_ends_with_1_before_the_store_is_opened() {
    let temporary = TempDir::new().unwrap();
    let dir = temporary.path().join("data");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let Err((status, log)) = Sidecar::try_start_on(&dir, &["--ops-listen", &address]) else {
        panic!("listens where another does")
    };
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains(&format!("cannot listen on `{address}`: another process does")), "{log}");
    assert!(!dir.exists());
}
