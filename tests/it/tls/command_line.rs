//! The command line over TLS: what it needs, and what it says when something is wrong.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::{Authority, Files, finish};
use crate::{
    command_line::{program, run},
    sidecar::Sidecar,
};

fn health(server: &str, args: &[&str]) -> Command {
    let mut command = program();
    command.args(["health", "--server", server]).args(args);
    command
}

#[tokio::test]
async fn commands_call_over_tls_and_show_their_certificate() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let files = Files::new(&servers.server(), Some(&clients.pem()));
    let alice = clients.client("alice");
    for (name, text) in [("ca", &servers.pem()), ("cert", &alice.cert), ("key", &alice.key)] {
        files.write(name, text);
    }
    let sidecar = files.start();
    let (listen, admin) =
        (format!("https://{}", sidecar.listen), format!("https://{}", sidecar.admin_listen));
    let (ca, cert, key) = (files.text("ca"), files.text("cert"), files.text("key"));
    let tls = ["--tls-ca", &ca, "--tls-cert", &cert, "--tls-key", &key];
    assert_eq!(run(health(&listen, &tls)).with(0), "SERVING\n");
    run(health(&admin, &tls)).with(0);

    // The same from the environment.
    let by_environment = |args: &[&str]| {
        let mut command = program();
        command.args(args).env("OCTAVIA_AUTHZ_CLIENT_TLS_CA", &ca);
        command.env("OCTAVIA_AUTHZ_CLIENT_TLS_CERT", &cert);
        command.env("OCTAVIA_AUTHZ_CLIENT_TLS_KEY", &key);
        command.env("OCTAVIA_AUTHZ_SERVER", &listen).env("OCTAVIA_AUTHZ_ADMIN_SERVER", &admin);
        command.env("OCTAVIA_AUTHZ_TOKEN", sidecar.operator_token());
        command
    };
    let create = ["keys", "create", "--name", "x", "--role", "writer", "-o", "json"];
    let created = run(by_environment(&create)).json(0);
    let mut check = by_environment(&["check", "articles.create"]);
    check.env("OCTAVIA_API_KEY", created["key"].as_str().unwrap());
    run(check).with(0);

    // Whose certificate it was stands in the audit log.
    let audit = run(by_environment(&["audit", "list", "-o", "json"])).json(0);
    let peer = audit["events"][0]["peer"].as_str().unwrap();
    assert!(peer.starts_with("tls 127.0.0.1:") && peer.ends_with(" CN=alice"), "{peer}");
    finish(sidecar).await;
}

#[tokio::test]
async fn what_is_wrong_is_said_with_what_to_do() {
    let (servers, clients, others) =
        (Authority::new("servers"), Authority::new("clients"), Authority::new("others"));
    let files = Files::new(&servers.server(), Some(&clients.pem()));
    let sidecar = files.start();
    let file = |name: &str, text: &str| {
        files.write(name, text);
        files.text(name)
    };
    let ca = file("ca", &servers.pem());
    let other_ca = file("other_ca", &others.pem());
    let pair = |name: &str, issued: super::Issued| {
        (file(&format!("{name}.crt"), &issued.cert), file(&format!("{name}.key"), &issued.key))
    };
    let alice = pair("alice", clients.client("alice"));
    let stranger = pair("stranger", others.client("alice"));
    let late = pair("late", clients.client_until("alice", 2020));
    let empty = file("empty", "");
    let url = format!("https://{}", sidecar.listen);
    let cases: [(i32, &[&str], &str); 10] = [
        (1, &[], "not from a CA that is trusted; pass the CA's certificate with --tls-ca"),
        (1, &["--tls-ca", &other_ca], "not from a CA that is trusted"),
        (1, &["--tls-ca", &ca], "only clients with a certificate; pass yours with --tls-cert"),
        (
            1,
            &["--tls-ca", &ca, "--tls-cert", &stranger.0, "--tls-key", &stranger.1],
            "not from a CA that it trusts",
        ),
        (1, &["--tls-ca", &ca, "--tls-cert", &late.0, "--tls-key", &late.1], "has expired"),
        (2, &["--tls-ca", &ca, "--tls-cert", &alice.0], "--tls-cert needs --tls-key"),
        (2, &["--tls-ca", &ca, "--tls-key", &alice.1], "--tls-key needs --tls-cert"),
        (
            2,
            &["--tls-ca", &ca, "--tls-cert", &alice.0, "--tls-key", &late.1],
            "is not that of the certificate",
        ),
        (2, &["--tls-ca", &empty], "holds no certificate"),
        (2, &["--tls-ca", "/no/such/file"], "cannot read `/no/such/file` of --tls-ca"),
    ];
    for (code, args, expected) in cases {
        let said = run(health(&url, args)).refused(code);
        assert!(said.contains(expected), "{args:?}: {said}");
    }
    let said = run(health(&format!("http://{}", sidecar.listen), &[])).refused(1);
    assert!(said.contains("with TLS, write `https://…`"), "{said}");
    finish(sidecar).await;

    let plain = Sidecar::start();
    let said = run(health(&format!("https://{}", plain.listen), &["--tls-ca", &ca])).refused(1);
    assert!(said.contains("it does not speak TLS; try `http://…`"), "{said}");
    finish(plain).await;
}

#[tokio::test]
async fn an_expired_certificate_and_one_for_another_name_are_told_apart() {
    let ca = Authority::new("servers");
    for (server, name, expected) in [
        (ca.server_until(2020), None, Some("its certificate has expired")),
        (ca.server_for("authz.example"), None, Some("its certificate is for another name")),
        (ca.server_for("authz.example"), Some("authz.example"), None),
        (ca.server(), Some("not a name"), Some("TLS cannot be set up")),
    ] {
        let files = Files::new(&server, None);
        files.write("ca", &ca.pem());
        let sidecar = files.start();
        let ca = files.text("ca");
        let mut args = vec!["--tls-ca", &ca];
        args.extend(name.into_iter().flat_map(|name| ["--tls-server-name", name]));
        let ended = run(health(&format!("https://{}", sidecar.listen), &args));
        match expected {
            None => assert_eq!(ended.with(0), "SERVING\n"),
            Some(expected) => {
                let said = ended.said();
                assert!(said.contains(expected), "{said}");
            }
        }
        finish(sidecar).await;
    }
}

#[test]
fn the_first_screen_says_what_the_next_command_may_need() {
    let (files, data) =
        (Files::new(&Authority::new("servers").server(), None), TempDir::new().unwrap());
    let mut command = program();
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    command.args(["--log-format", "text", "--data-dir"]).arg(data.path()).args(files.args());
    let mut serving = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(serving.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut lines = lines.skip_while(|line| !line.contains("try next"));
    let next = lines.next();
    // It is written as a whole, and ends here if there is no more.
    serving.kill().unwrap();
    serving.wait().unwrap();
    let needs = lines.next();
    assert!(next.is_some_and(|next| next.contains("--server https://127.0.0.1:")));
    assert!(needs.is_some_and(|needs| needs.contains("(--tls-ca FILE")));
}
