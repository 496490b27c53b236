//! `serve`: its variables, its first screen, and its policy file.

use std::{
    fs, io,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, Command, Stdio},
};

use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    process::{Pid, Signal, kill_process},
};
use serde_json::Value;
use tempfile::TempDir;

use super::{program, run};
use crate::sidecar::{Sidecar, connect, wait_until};

/// A policy file with a service of its own.
const SHOP: &str = "
[services.shop]
title = 'Shop'
[services.shop.actions.orders]
read = 'read'
pay = 'pay'
[services.shop.roles.clerk]
title = 'Clerk'
allow = ['orders.read']
";

/// Asks a child to stop and gives its exit code. Killed when that goes wrong.
struct Running(Child);

impl Running {
    fn stop(mut self) -> Option<i32> {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        self.0.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn every_flag_has_a_variable() {
    let temporary = TempDir::new().unwrap();
    let path = |name: &str| temporary.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("token"), "a-token-of-at-least-32-characters\n").unwrap();
    fs::write(path("policy.toml"), SHOP).unwrap();
    let mut command = program();
    // No command: `serve`.
    command
        .env("OCTAVIA_AUTHZ_DATA_DIR", path("data"))
        .env("OCTAVIA_AUTHZ_LISTEN", format!("127.0.0.1:0,unix:{}", path("a.sock")))
        .env("OCTAVIA_AUTHZ_ADMIN_LISTEN", "127.0.0.1:0")
        .env("OCTAVIA_AUTHZ_AUTHZEN_LISTEN", format!("127.0.0.1:0,unix:{}", path("b.sock")))
        .env("OCTAVIA_AUTHZ_OPERATOR_TOKEN_FILE", path("token"))
        .env("OCTAVIA_AUTHZ_POLICY", path("policy.toml"))
        .env("OCTAVIA_AUTHZ_WORKERS", "3")
        .env("OCTAVIA_AUTHZ_CACHE_CAPACITY", "10")
        .env("OCTAVIA_AUTHZ_DRAIN_TIMEOUT", "1s")
        .env("OCTAVIA_AUTHZ_LOG_FORMAT", "json")
        .env("OCTAVIA_AUTHZ_LOG_LEVEL", "info");
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let running = Running(child);
    let serving: Value = lines
        .find_map(|line| {
            let line = line.unwrap();
            let event: Value =
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            (event["message"] == "serving").then_some(event)
        })
        .unwrap();
    let said = |name: &str| serving[name].as_str().unwrap().to_owned();
    assert_eq!(serving["workers"], 3);
    assert_eq!((said("data_dir"), said("operator_token_file")), (path("data"), path("token")));
    assert!(said("listen").ends_with(&format!(", unix:{}", path("a.sock"))), "{serving}");
    assert!(said("authzen_listen").ends_with(&format!(", unix:{}", path("b.sock"))), "{serving}");
    let mut status = program();
    status.args(["status", "--token-file", &path("token")]);
    run({
        status.env("OCTAVIA_AUTHZ_ADMIN_SERVER", format!("http://{}", said("admin_listen")));
        status
    })
    .with(0);
    connect(&said("listen")).await;
    assert!(!temporary.path().join("data/operator.token").exists());
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn the_admin_api_can_be_turned_off() {
    let temporary = TempDir::new().unwrap();
    let mut command = program();
    command.args(["--listen", "127.0.0.1:0", "--admin-listen", "none", "--log-format", "text"]);
    command.arg("--data-dir").arg(temporary.path().join("data"));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let running = Running(child);
    assert!(lines.any(|line| line.split_whitespace().eq(["admin", "none"])));
    assert_eq!(running.stop(), Some(0));
}

#[test]
fn the_first_screen_says_where_everything_is_and_a_command_that_works() {
    let temporary = TempDir::new().unwrap();
    let dir = temporary.path().join("my data's $HOME");
    let mut command = program();
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen"]);
    command.arg(format!("unix:{}", temporary.path().join("a b.sock").display()));
    command.args(["--authzen-listen", "127.0.0.1:0"]);
    command.args(["--log-format", "text", "--data-dir"]).arg(&dir);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let running = Running(child);
    let mut screen = Vec::new();
    for line in lines {
        let last = line.contains("try next");
        screen.push(line);
        if last {
            break;
        }
    }
    let at = |text: &str| {
        let line = screen.iter().position(|line| line.contains(text));
        line.unwrap_or_else(|| panic!("no `{text}` in {screen:#?}"))
    };
    // Where it stores, where it listens, where the token lies, the policy's digest, what is next.
    let token = dir.join("operator.token").display().to_string();
    let order = [
        at(dir.to_str().unwrap()),
        at("authorization"),
        at("admin"),
        at("authzen         127.0.0.1:"),
        at(&token),
        at("policy"),
        at("try next"),
    ];
    assert!(order.is_sorted() && screen.len() < 24, "{screen:#?}");
    let next = screen.last().unwrap().trim().strip_prefix("try next").unwrap().trim();
    let mut shell = Command::new("sh");
    shell.args(["-c", next]);
    let out = run(shell).with(0);
    assert!(out.contains("my-first-key"), "{out}");
    assert_eq!(running.stop(), Some(0));
    let mut log = String::new();
    stderr.read_to_string(&mut log).unwrap();
    assert!(
        log.contains("stopped") && !log.contains('\u{1b}'),
        "colours without a terminal: {log}"
    );
}

/// A pipe's end for writing, which takes no more, and the other one.
fn full_pipe() -> (io::PipeWriter, io::PipeReader) {
    let (reader, mut writer) = io::pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    while writer.write(&[0; 4096]).is_ok() {}
    fcntl_setfl(&writer, flags).unwrap();
    (writer, reader)
}

#[test]
fn whoever_does_not_read_the_first_screen_holds_up_neither_service_nor_stop() {
    let temporary = TempDir::new().unwrap();
    let socket = format!("unix:{}", temporary.path().join("a.sock").display());
    let (writer, _reader) = full_pipe();
    let mut command = program();
    command.args(["serve", "--listen", &socket, "--admin-listen", "none", "--log-format", "text"]);
    command.arg("--data-dir").arg(temporary.path().join("data")).stdout(writer);
    let mut running = Running(command.stderr(Stdio::null()).spawn().unwrap());
    wait_until("it to serve", || {
        let mut health = program();
        health.args(["health", "--server", &socket]);
        run(health).said() == "SERVING\n"
    });
    let pid = Pid::from_child(&running.0);
    kill_process(pid, Signal::TERM).unwrap();
    wait_until("the end", || running.0.try_wait().unwrap().is_some());
    assert_eq!(running.0.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_policy_file_adds_a_service_and_its_keys() {
    let temporary = TempDir::new().unwrap();
    let policy = temporary.path().join("policy.toml");
    fs::write(&policy, SHOP).unwrap();
    let sidecar = Sidecar::start_with(&["--policy", policy.to_str().unwrap()]);
    let create =
        ["keys", "create", "--name", "x", "--role", "clerk", "--service", "shop", "-o", "json"];
    let created = run(super::admin(&sidecar, &create)).json(0);
    let check = |action: &str, service: &str| {
        let mut command = super::asks(&sidecar, &["check", action, "--service", service]);
        command.env("OCTAVIA_API_KEY", created["key"].as_str().unwrap());
        run(command)
    };
    check("orders.read", "shop").with(0);
    assert!(check("orders.pay", "shop").with(3).contains("ACTION_DENIED"));
    assert!(check("articles.read", "shop").with(3).contains("ACTION_UNKNOWN"));
    assert!(check("articles.read", "ai-cms").with(3).contains("SERVICE_MISMATCH"));
    let roles = run(super::admin(&sidecar, &["roles"])).with(0);
    assert!(roles.contains("Shop (shop)") && roles.contains("AI CMS (ai-cms)"), "{roles}");
    sidecar.finish().await;
}
