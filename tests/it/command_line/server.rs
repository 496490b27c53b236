//! `roles`, `status`, `health` and `completions`; and servers that are not there.

use std::{
    io::Read as _,
    net::TcpListener,
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{admin, asks, program, run};
use crate::{
    golden::{self, Right},
    sidecar::Sidecar,
};

#[tokio::test]
async fn the_matrix_of_roles_is_the_golden_table() {
    let sidecar = Sidecar::start();
    let matrix = run(admin(&sidecar, &["roles", "--matrix"])).with(0);
    let mut cells = 0;
    for action in golden::actions() {
        let row = matrix
            .lines()
            .map(str::split_whitespace)
            .find_map(|mut row| (row.next() == Some(action.name)).then(|| row.collect::<Vec<_>>()));
        let row = row.unwrap_or_else(|| panic!("no {} in {matrix}", action.name));
        for (role, (cell, right)) in golden::ROLES.iter().zip(row.iter().zip(&action.rights)) {
            let grantable = *role == "admin"
                && ["billing", "api_keys"].iter().any(|resource| action.name.starts_with(resource));
            let expected = match right {
                Right::Always => "allow".to_owned(),
                Right::Never if grantable => "grant".to_owned(),
                Right::Never => "-".to_owned(),
                Right::When(conditions) => conditions.join("|"),
            };
            assert_eq!(*cell, expected, "{role} {}", action.name);
            cells += 1;
        }
    }
    assert_eq!(cells, 83 * 7);
    let overview = run(admin(&sidecar, &["roles"])).with(0);
    assert!(golden::ROLES.iter().all(|role| overview.contains(role)), "{overview}");
    let writer = run(admin(&sidecar, &["roles", "--role", "writer"])).with(0);
    assert!(
        writer.contains("if published or own") && !writer.contains("articles.publish "),
        "{writer}"
    );
    let as_json = run(admin(&sidecar, &["roles", "-o", "json"])).json(0);
    assert_eq!(as_json["services"][0]["actions"].as_array().unwrap().len(), 83);
    assert!(run(admin(&sidecar, &["roles", "--role", "x"])).refused(1).contains("no role `x`"));
    assert!(
        run(admin(&sidecar, &["roles", "--service", "x"])).refused(1).contains("no service `x`")
    );
    sidecar.finish().await;
}

#[tokio::test]
async fn status_and_health_say_how_it_is() {
    let sidecar = Sidecar::start();
    sidecar.create("writer").await;
    let status = run(admin(&sidecar, &["status", "-o", "json"])).json(0);
    assert_eq!((&status["revision"], &status["key_count"]), (&json!(1), &json!(1)));
    assert_eq!(status["store"], "embedded");
    assert!(sidecar.log().contains(status["policy_digest"].as_str().unwrap()));
    assert_eq!((&status["pepper"], &status["outdated_digest_count"]), (&json!(""), &json!(0)));
    assert_eq!(status["oldest_audit_sequence"], 1);
    assert!(status["usage_since_time"].as_str().unwrap().ends_with('Z'), "{status}");
    let table = run(admin(&sidecar, &["status"])).with(0);
    assert!(table.contains("policy digest:") && table.contains("revision:"), "{table}");
    for line in ["pepper:            none", "outdated digests:  0", "audit log from:    event 1"] {
        assert!(table.contains(line), "{table}");
    }
    assert!(table.contains("use known since:   20"), "{table}");

    assert_eq!(run(asks(&sidecar, &["health"])).with(0), "SERVING\n");
    assert_eq!(
        run(asks(&sidecar, &["health", "-o", "json"])).json(0),
        json!({ "status": "SERVING" })
    );
    let service = ["health", "--service", "octavia.authz.v1.AuthorizationService"];
    run(asks(&sidecar, &service)).with(0);
    let unknown = run(asks(&sidecar, &["health", "--service", "no.such.Service"])).with(1);
    assert_eq!(unknown, "SERVICE_UNKNOWN\n");
    let mut on_admin = program();
    on_admin.args(["health", "--server", &format!("http://{}", sidecar.admin_listen)]);
    run(on_admin).with(0);
    sidecar.finish().await;
}

#[tokio::test]
async fn a_token_that_is_missing_or_wrong_says_how_to_pass_another() {
    let sidecar = Sidecar::start();
    let (_, editor) = sidecar.create("editor").await;
    let server = format!("http://{}", sidecar.admin_listen);
    let empty = tempfile::TempDir::new().unwrap();
    let bare = |args: &[&str]| {
        let mut command = program();
        command.args(args).args(["--server", &server]).current_dir(empty.path());
        command
    };
    let said = run(bare(&["status"])).refused(2);
    assert!(said.contains("no token: pass `--token-file FILE`"), "{said}");
    let said = run(bare(&["status", "--token", "nonsense"])).refused(1);
    assert!(said.contains("not accepted") && !said.contains("nonsense"), "{said}");
    let said = run(bare(&["status", "--token", &editor])).refused(1);
    assert!(said.contains("permission denied"), "{said}");
    let said = run(bare(&["keys", "list", "--token", &editor])).refused(1);
    assert!(said.contains("`api_keys.read`"), "{said}");

    let token = sidecar.operator_token();
    for (variable, value) in [
        ("OCTAVIA_AUTHZ_TOKEN", token.as_str()),
        ("OCTAVIA_AUTHZ_TOKEN_FILE", sidecar.dir().join("operator.token").to_str().unwrap()),
        ("OCTAVIA_AUTHZ_DATA_DIR", sidecar.dir().to_str().unwrap()),
    ] {
        let mut command = bare(&["status"]);
        command.env(variable, value);
        run(command).with(0);
        let mut command = program();
        command.args(["status"]).env(variable, value).env("OCTAVIA_AUTHZ_ADMIN_SERVER", &server);
        run(command).with(0);
    }
    // Both in one environment: each API has a variable of its own.
    let commands: [(i32, &[&str]); 4] =
        [(0, &["status"]), (0, &["keys", "list"]), (0, &["health"]), (3, &["check", "media.read"])];
    for (code, args) in commands {
        let mut command = program();
        command.args(args).env("OCTAVIA_AUTHZ_TOKEN", &token).env("OCTAVIA_API_KEY", "octv_");
        command.env("OCTAVIA_AUTHZ_SERVER", format!("http://{}", sidecar.listen));
        command.env("OCTAVIA_AUTHZ_ADMIN_SERVER", &server);
        run(command).with(code);
    }
    sidecar.finish().await;
}

#[test]
fn a_server_that_is_not_there_is_named_with_what_to_do() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}");
    let commands: [&[&str]; 4] = [
        &["health"],
        &["check", "articles.read"],
        &["status", "--token", "t"],
        &["keys", "create", "--name", "x", "--role", "writer", "--token", "t"],
    ];
    for args in commands {
        let mut command = program();
        command.args(args).args(["--server", &url]).env("OCTAVIA_API_KEY", "octv_");
        let said = run(command).refused(1);
        assert!(
            said.contains(&format!("cannot reach the sidecar at {url}: connection refused")),
            "{said}"
        );
        assert!(said.contains("octavia-authz serve"), "{said}");
    }
    let mut command = program();
    command.args(["health", "--server", "unix:/no/such.sock"]);
    assert!(run(command).refused(1).contains("there is no such socket"));
    let mut command = program();
    command.args(["health", "--server", "ftp://x"]);
    assert!(run(command).refused(2).contains("`http://host:port`"));

    // One that accepts and never answers; with TLS that is before there is a connection.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap();
    for (scheme, expected) in [("http", "no answer from"), ("https", "no answer within 200ms")] {
        let started = Instant::now();
        let mut command = program();
        let url = format!("{scheme}://{silent}");
        command.args(["health", "--timeout", "200ms", "--server", &url]);
        let said = run(command).refused(1);
        assert!(said.contains(expected), "{said}");
        assert!(started.elapsed() < Duration::from_secs(4), "{scheme}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn the_wrong_one_of_the_two_apis_is_pointed_out() {
    let sidecar = Sidecar::start();
    let mut command = asks(&sidecar, &["keys", "list", "--token", "t"]);
    command.env("OCTAVIA_AUTHZ_TOKEN", "t");
    let said = run(command).refused(1);
    assert!(said.contains("the admin API is by default at port 50052"), "{said}");
    sidecar.finish().await;
}

#[test]
fn every_shell_has_its_completions_and_a_closed_pipe_is_no_error() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let mut command = program();
        command.args(["completions", shell]);
        let script = run(command).with(0);
        assert!(script.contains("octavia-authz") && script.contains("completions"), "{shell}");
    }
    let mut command = program();
    command.args(["completions", "tcsh"]);
    run(command).refused(2);

    for args in [&["completions", "zsh"][..], &["--help"], &["keys", "create", "--help"]] {
        let pipes = (Stdio::piped(), Stdio::piped());
        let mut child = program().args(args).stdout(pipes.0).stderr(pipes.1).spawn().unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""), "{args:?}");
    }
}
