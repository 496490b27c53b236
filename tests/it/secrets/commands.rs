//! Every command, with secrets where they belong and where they do not.

use std::{fs, path::Path};

use super::canary::World;
use crate::{
    command_line::{Ended, admin, program, run},
    sidecar::Sidecar,
};

/// Which command it was, without its secrets, and what it said.
type Said = Vec<(String, String)>;

/// Runs every command as it should be.
pub fn right(sidecar: &Sidecar, world: &World, dir: &Path) -> Said {
    let mut said = Said::new();
    let mut take = |name: String, ended: Ended| said.push((name, ended.said()));
    let id = world.id.as_str();
    let key = world.keys[1].as_str();
    let file = |name: &str, text: &str| {
        let path = dir.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let key_file = file("a.key", key);
    let foreign_file = file("foreign.key", &world.foreign[1]);
    // Shown this once: into a file.
    let out = dir.join("new.key").to_str().unwrap().to_owned();
    let right: &[&[&str]] = &[
        &["keys", "get", id],
        &["keys", "list"],
        &["keys", "rights", id],
        &["keys", "simulate", id, "articles.update"],
        &["keys", "update", id, "--description", "d", "--dry-run"],
        &["keys", "update", id, "--description", "d"],
        &["keys", "disable", id],
        &["keys", "enable", id],
        &["keys", "create", "--name", "x", "--role", "writer", "--key-out", &out],
        &["keys", "revoke", "0000000000", id, "--dry-run"],
        &["audit", "list"],
        &["audit", "verify"],
        &["roles"],
        &["status"],
    ];
    for args in right {
        for format in ["table", "json"] {
            let args = [args, &["-o", format][..]].concat();
            if args.contains(&"--key-out") && format == "json" {
                fs::remove_file(&out).unwrap();
            }
            take(args.join(" "), run(admin(sidecar, &args)));
        }
    }
    for format in ["table", "json"] {
        for file in [&key_file, &foreign_file] {
            let mut check = program();
            check.args(["check", "no.such", "--key-file", file, "-o", format]);
            check.args(["--server", &format!("http://{}", sidecar.listen)]);
            take(format!("check --key-file -o {format}"), run(check));
        }
        // Another kind of secret than is asked for.
        let mut check = program();
        check.args(["check", "media.read", "-o", format]).env("OCTAVIA_API_KEY", &world.operator);
        check.args(["--server", &format!("http://{}", sidecar.listen)]);
        take(format!("check, with the operator token, -o {format}"), run(check));
    }
    let audit = ["audit", "verify", "--data-dir", sidecar.dir().to_str().unwrap()];
    let mut verify = program();
    verify.args(audit);
    take("audit verify --data-dir".into(), run(verify));
    said
}

/// Runs every command with a secret where something else belongs.
pub fn wrong(sidecar: &Sidecar, world: &World) -> Said {
    let mut said = Said::new();
    for secret in [&world.keys[1], &world.operator] {
        wrong_with(sidecar, world, secret, &mut |name, ended| said.push((name, ended.said())));
    }
    said
}

fn wrong_with(sidecar: &Sidecar, world: &World, secret: &str, take: &mut dyn FnMut(String, Ended)) {
    let id = world.id.as_str();
    let create = ["keys", "create", "--name", "x", "--role", "writer"];
    let label = format!("{secret}=a");
    let value = format!("a={secret}");
    let head = format!("1:{secret}");
    let cases: &[&[&str]] = &[
        &["keys", "get", secret],
        &["keys", "rights", secret],
        &["keys", "simulate", secret, "media.read"],
        &["keys", "simulate", id, secret],
        &["keys", "simulate", id, "media.read", "--service", secret],
        &["keys", "update", secret, "--name", "x"],
        &["keys", "update", id, "--name", secret],
        &["keys", "update", id, "--role", secret],
        &["keys", "update", id, "--grant", secret],
        &["keys", "update", id, "--subject", secret],
        &["keys", "update", id, "--description", secret],
        &["keys", "update", id, "--label", &value],
        &["keys", "update", id, "--name", "x", "--if-etag", secret],
        &["keys", "rotate", secret],
        &["keys", "rotate", id, "--if-etag", secret],
        &["keys", "enable", secret],
        &["keys", "disable", secret],
        &["keys", "revoke", secret, "--yes"],
        &["keys", "revoke", secret, secret, "--yes"],
        &["keys", "list", "--page-token", secret],
        &["keys", "list", "--team", secret],
        &["keys", "list", "--name-contains", secret],
        &["keys", "list", "--label", &label],
        &["audit", "list", "--key", secret],
        &["audit", "list", "--actor", secret],
        &["audit", "list", "--team", secret],
        &["audit", "list", "--request-id", secret],
        &["audit", "list", "--page-token", secret],
        &["audit", "verify", "--head", &head],
        &["roles", "--role", secret],
        &["roles", "--service", secret],
        // What the program itself refuses.
        &["keys", "list", "--order-by", secret],
        &["keys", "list", "--status", secret],
        &["keys", "list", "--unused-for", secret],
        &["keys", "update", id, "--expires", secret],
        &["keys", "rotate", id, "--overlap", secret],
        &["audit", "list", "--kind", secret],
        &["audit", "list", "--from", secret],
        &["status", "--timeout", secret],
    ];
    for args in cases {
        let name = args.join(" ").replace(secret, "SECRET").replace(id, "ID");
        take(name, run(admin(sidecar, args)));
    }
    for (flag, text) in [
        ("--role", secret),
        ("--service", secret),
        ("--grant", secret),
        ("--description", secret),
        ("--label", &value),
        ("--expires", secret),
    ] {
        let args = [&create[..], &[flag, text]].concat();
        take(format!("keys create {flag} SECRET"), run(admin(sidecar, &args)));
    }
    // As a credential that is not accepted; as a server; as a file.
    let mut status = program();
    status.args(["status", "--token", &format!("{secret}x")]);
    status.args(["--server", &format!("http://{}", sidecar.admin_listen)]);
    take("status --token SECRETx".into(), run(status));
    let mut health = program();
    health.args(["health", "--server", secret]);
    take("health --server SECRET".into(), run(health));
    let mut serve = program();
    serve.args(["serve", "--log-level", secret, "--data-dir", "/no/such"]);
    take("serve --log-level SECRET".into(), run(serve));
    let mut unknown = program();
    unknown.arg(secret);
    take("SECRET as a command".into(), run(unknown));
    let mut check = program();
    check.args(["check", secret, "--server", &format!("http://{}", sidecar.listen)]);
    check.env("OCTAVIA_API_KEY", &world.keys[0]);
    take("check SECRET".into(), run(check));
}
