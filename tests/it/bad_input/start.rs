//! Configuration that is wrong: exit code 2 before anything is made; and a world
//! that does not fit: exit code 1. Each says what to do.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, ExitStatus},
};

use tempfile::TempDir;

use crate::sidecar::{PROGRAM, Sidecar};

/// What a start that fails says; its exit code must be `code`.
fn refused(code: i32, dir: &Path, args: &[&str]) -> String {
    ended(code, Sidecar::try_start_on(dir, args), args)
}

fn ended(code: i32, start: Result<Sidecar, (ExitStatus, String)>, what: &[&str]) -> String {
    let Err((status, said)) = start else { panic!("started with {what:?}") };
    assert_eq!(status.code(), Some(code), "{what:?}: {said}");
    assert!(!said.contains("a defect") && !said.contains("panicked"), "{what:?}: {said}");
    said
}

#[test]
fn a_wrong_flag_ends_with_2_before_anything_is_made() {
    let temporary = TempDir::new().unwrap();
    let dir = temporary.path().join("data");
    let long_path = format!("unix:/{}", "x".repeat(107));
    let cases: [(&[&str], &str); 26] = [
        (&["--listen", "nonsense"], "`nonsense` is neither `host:port` nor `unix:/path`"),
        (&["--listen", ""], "neither `host:port`"),
        (&["--listen", ":50051"], "neither `host:port`"),
        (&["--listen", "::1:50051"], "neither `host:port`"),
        (&["--listen", "http://127.0.0.1:50051"], "neither `host:port`"),
        (&["--listen", "127.0.0.1:65536"], "no valid port"),
        (&["--listen", "127.0.0.1:"], "no valid port"),
        (&["--listen", "not a host:1"], "neither an IP address nor a name that resolves"),
        (&["--listen", "unix:relative.sock"], "absolute path"),
        (&["--listen", "unix:"], "absolute path"),
        (&["--listen", &long_path], "at most 107 bytes"),
        (&["--listen", "unix:/a.sock?mode=rw"], "`mode=rw` in the address of a socket is neither"),
        (&["--listen", "unix:/a.sock?owner=me"], "`owner=me` in the address of a socket"),
        (&["--admin-listen", "nonsense"], "`nonsense` is neither"),
        (&["--admin-listen", "none"], "`none` and an address at once"),
        (&["--authzen-listen", "nonsense"], "`nonsense` is neither"),
        (&["--authzen-listen", "none,127.0.0.1:0"], "--authzen-listen is `none` and an address"),
        (&["--workers", "0"], "--workers"),
        (&["--workers", "many"], "--workers"),
        (&["--cache-capacity", "0"], "--cache-capacity"),
        (&["--drain-timeout", "0s"], "time-out of zero"),
        (&["--drain-timeout", "10"], "a number and a unit"),
        (&["--log-level", "info,=="], "is no log level"),
        (&["--log-level", "loud"], "`loud` is no log level"),
        (&["--no-such-flag"], "--no-such-flag"),
        (&["a-word-too-many"], "a-word-too-many"),
    ];
    for (args, said) in cases {
        let log = refused(2, &dir, args);
        assert!(log.contains(said), "{args:?}: {log}");
        assert!(!dir.exists(), "{args:?} made the data directory");
    }
}

#[test]
fn a_wrong_policy_file_ends_with_2_before_anything_is_made() {
    let temporary = TempDir::new().unwrap();
    let dir = temporary.path().join("data");
    let path = temporary.path().join("policy.toml");
    let file = path.to_str().unwrap();
    let said = refused(2, &dir, &["--policy", file]);
    assert!(said.contains("cannot read policy file"), "{said}");
    let said = refused(2, &dir, &["--policy", temporary.path().to_str().unwrap()]);
    assert!(said.contains("cannot read policy file"), "{said}");

    let cases: [(&[u8], &str); 6] = [
        (b"speed = 1\n", "unknown field `speed`"),
        (b"[services.shop]\ntitle = 'Shop'\ncolour = 'red'\n", "unknown field `colour`"),
        (b"[services.shop.roles.clerk]\nalow = []\n", "unknown field `alow`"),
        (b"[services\n", "policy.toml:1"),
        (b"built_in = 'yes'\n", "policy.toml:1"),
        (b"# \xff\n", "UTF-8"),
    ];
    for (text, expected) in cases {
        fs::write(&path, text).unwrap();
        let said = refused(2, &dir, &["--policy", file]);
        assert!(said.contains(expected), "{said}");
        assert!(!dir.exists(), "{said}");
    }
}

#[test]
fn a_wrong_operator_token_file_ends_with_2_before_anything_is_made() {
    let temporary = TempDir::new().unwrap();
    let dir = temporary.path().join("data");
    let path = temporary.path().join("token");
    let file = path.to_str().unwrap();
    let said = refused(2, &dir, &["--operator-token-file", file]);
    assert!(said.contains("cannot read the operator token"), "{said}");
    for text in
        ["", "\n", "short\n", &"x".repeat(513), &format!("{} {}", "x".repeat(20), "x".repeat(20))]
    {
        fs::write(&path, text).unwrap();
        let said = refused(2, &dir, &["--operator-token-file", file]);
        assert!(said.contains("one line of 32 to 512 visible ASCII characters"), "{said}");
        assert!(text.len() < 3 || !said.contains(text), "the token is in the message");
    }
    assert!(!dir.exists());
}

#[test]
fn a_wrong_environment_variable_ends_with_2_like_its_flag() {
    let temporary = TempDir::new().unwrap();
    let dir = temporary.path().join("data");
    for (variable, value) in [
        ("OCTAVIA_AUTHZ_WORKERS", "0"),
        ("OCTAVIA_AUTHZ_CACHE_CAPACITY", "much"),
        ("OCTAVIA_AUTHZ_DRAIN_TIMEOUT", "soon"),
        ("OCTAVIA_AUTHZ_LOG_LEVEL", "loud"),
        ("OCTAVIA_AUTHZ_POLICY", "/no/such/policy.toml"),
        ("OCTAVIA_AUTHZ_OPERATOR_TOKEN_FILE", "/no/such/token"),
    ] {
        let mut command = Command::new(PROGRAM);
        command.env(variable, value);
        ended(2, Sidecar::try_spawn(command, &dir, &[]), &[variable, value]);
        assert!(!dir.exists(), "{variable}");
    }
}

#[test]
fn an_address_in_use_ends_with_1_and_names_it() {
    let temporary = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--listen", "--admin-listen", "--authzen-listen"] {
        let said = refused(1, &temporary.path().join("data"), &[flag, &address]);
        let expected = format!("cannot listen on `{address}`: another process does");
        assert!(said.contains(&expected), "{said}");
    }
    let elsewhere = ["--listen", "192.0.2.1:1", "--allow-plaintext"];
    let said = refused(1, &temporary.path().join("data"), &elsewhere);
    assert!(said.contains("no interface of this machine has that address"), "{said}");
    let said =
        refused(1, &temporary.path().join("data"), &["--listen", "unix:/no/such/dir/a.sock"]);
    assert!(said.contains("the socket's directory does not exist"), "{said}");
}

#[tokio::test]
async fn a_directory_is_one_sidecars_and_must_be_a_directory() {
    let temporary = TempDir::new().unwrap();
    let dir = temporary.path().join("data");
    let first = Sidecar::start_on(&dir, &[]);
    let (_, text) = first.create("writer").await;
    let said = refused(1, &dir, &[]);
    let expected = format!("process {}", first.pid());
    assert!(said.contains(&expected), "does not name {expected}: {said}");
    assert!(first.authorize(&text, "articles.create").await.allowed);
    first.finish().await;
    let second = Sidecar::start_on(&dir, &[]);
    assert!(second.authorize(&text, "articles.create").await.allowed);
    second.finish().await;

    let file = temporary.path().join("a file");
    fs::write(&file, "kept").unwrap();
    for dir in [&file, &file.join("below")] {
        let said = refused(1, dir, &[]);
        assert!(said.contains("a file"), "{said}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
}
