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
