//! The order of system calls, and what comes of one that fails or is the last:
//! the sidecar runs below strace.

use std::{collections::HashMap, fs, path::Path, process::Command, time::Instant};

use octavia_authz::pb::v1::{ApiKey, UpdateApiKeyRequest};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::{Code, Status};

use super::{Keys, Pid, Signal, kill_process, list};
use crate::sidecar::{PATIENCE, PROGRAM, Sidecar, step};

/// A sidecar below strace. No process is left when it is dropped.
pub struct Traced {
    sidecar: Option<Sidecar>,
    program: Pid,
}

/// A system call in a trace; `begin` and `end` are lines.
struct Call {
    name: String,
    args: String,
    begin: usize,
    end: usize,
    result: String,
}

impl Traced {
    /// Starts one, or says how it ended.
    pub fn start(dir: &Path, strace: &[&str]) -> Result<Self, String> {
        Self::start_with(dir, strace, &[])
    }

    /// The same with more arguments for the program.
    pub fn start_with(dir: &Path, strace: &[&str], args: &[&str]) -> Result<Self, String> {
        let mut command = Command::new("strace");
        command.args(["-f", "-qq"]).args(strace).arg(PROGRAM);
        let sidecar = Sidecar::try_spawn(command, dir, args)
            .map_err(|(status, log)| format!("{status}: {log}"))?;
        let strace = sidecar.pid();
        let children = fs::read_to_string(format!("/proc/{strace}/task/{strace}/children"));
        let program = children.unwrap().trim().parse().unwrap();
        Ok(Self { sidecar: Some(sidecar), program: Pid::from_raw(program).unwrap() })
    }

    pub fn sidecar(&self) -> &Sidecar {
        self.sidecar.as_ref().unwrap()
    }

    /// SIGTERM to the program, without waiting.
    pub fn terminate(&self) {
        kill_process(self.program, Signal::TERM).unwrap();
    }

    /// SIGTERM to the program, and its exit code.
    async fn stop(mut self) -> Option<i32> {
        self.terminate();
        self.sidecar.take().unwrap().wait().await.code()
    }

    /// The exit code of a program that ends by itself.
    pub async fn wait(mut self) -> Option<i32> {
        self.sidecar.take().unwrap().wait().await.code()
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        if self.sidecar.is_some() {
            // Strace alone would let it go on.
            let _ = kill_process(self.program, Signal::KILL);
        }
    }
}

/// The calls in what `strace -f -o` wrote.
fn calls(trace: &str) -> Vec<Call> {
    let (mut calls, mut begun) = (Vec::new(), HashMap::new());
    for (number, line) in trace.lines().enumerate() {
        let (thread, line) = line.split_once(' ').unwrap();
        let line = line.trim_start();
        let result = line.rsplit_once(" = ").map(|(_, result)| result.trim().to_owned());
        if line.starts_with("<... ") {
            let mut call: Call = begun.remove(thread).expect("a call that was begun");
            (call.end, call.result) = (number, result.unwrap());
            calls.push(call);
        } else if let Some((name, args)) = line.split_once('(') {
            let (name, args) = (name.to_owned(), args.to_owned());
            let call = Call { name, args, begin: number, end: number, result: String::new() };
            match result {
                _ if line.ends_with("<unfinished ...>") => drop(begun.insert(thread, call)),
                Some(result) => calls.push(Call { result, ..call }),
                None => panic!("no call: {line}"),
            }
        }
    }
    calls
}

impl Call {
    fn is_write(&self, to: &str, text: &str) -> bool {
        let file = self.args.split_once('>').map_or("", |(file, _)| file);
        self.name.contains("write") | self.name.contains("send")
            && file.contains(to)
            && self.args.contains(text)
    }

    fn is_sync(&self, of: &str) -> bool {
        ["fdatasync", "fsync"].contains(&&*self.name)
            && self.args.contains(of)
            && self.result == "0"
    }
}

/// Sets the description of a key.
pub async fn describe(client: &mut Keys, id: &str, text: &str) -> Result<(), Status> {
    let request = UpdateApiKeyRequest {
        id: id.to_owned(),
        update_mask: Some(prost_types::FieldMask { paths: vec!["description".to_owned()] }),
        api_key: Some(ApiKey { description: text.to_owned(), ..Default::default() }),
        ..Default::default()
    };
    client.update_api_key(request).await.map(drop)
}

/// The description that `sidecar` has of its only key.
async fn description(sidecar: &Sidecar) -> String {
    let keys = list(&mut sidecar.keys().await).await;
    assert_eq!(keys.len(), 1);
    keys[0].description.clone()
}

/// A directory with one key, and the key's id.
pub async fn dir_with_key() -> (TempDir, String) {
    let dir = TempDir::new().unwrap();
    let sidecar = Sidecar::start_on(dir.path(), &[]);
    let (key, _) = sidecar.create("writer").await;
    assert_eq!(sidecar.stop().await.code(), Some(0));
    (dir, key.id)
}

/// The only segment of the journal in `dir`.
pub fn segment(dir: &Path) -> String {
    dir.canonicalize().unwrap().join("journal/00000000000000000001.journal").display().to_string()
}

#[tokio::test]
#[ignore = "needs strace"]
async fn a_change_is_synced_before_it_is_acknowledged() {
    const ALONE: usize = 20;
    const TOGETHER: usize = 8;
    let dir = TempDir::new().unwrap();
    let trace = dir.path().join("trace");
    let strace = [
        "-y",
        "-s",
        "1000000",
        "-e",
        "trace=write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,fdatasync,fsync",
        "-o",
        trace.to_str().unwrap(),
    ];
    let traced = Traced::start(&dir.path().join("data"), &strace).unwrap();
    let (key, _) = traced.sidecar().create("writer").await;
    let mut client = traced.sidecar().keys().await;
    let mut texts = Vec::new();
    for change in 0..ALONE {
        texts.push(format!("alone-{change:03};"));
        describe(&mut client, &key.id, &texts[change]).await.unwrap();
    }
    let mut tasks = JoinSet::new();
    for writer in 0..TOGETHER {
        let (key, mut client) =
            (traced.sidecar().create("writer").await.0, traced.sidecar().keys().await);
        let mine: Vec<_> =
            (0..ALONE).map(|change| format!("together-{writer}-{change:03};")).collect();
        texts.extend(mine.clone());
        tasks.spawn(async move {
            for text in mine {
                describe(&mut client, &key.id, &text).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(traced.stop().await, Some(0));

    let calls = calls(&fs::read_to_string(trace).unwrap());
    for text in &texts {
        let first = |to| {
            let mut writes = calls.iter().filter(|call| call.is_write(to, text));
            writes.next().unwrap_or_else(|| panic!("{text} is written to {to}"))
        };
        let (written, answered) = (first(".journal"), first("socket:["));
        let synced = calls.iter().any(|call| {
            call.is_sync(".journal") && written.end < call.begin && call.end < answered.begin
        });
        assert!(synced, "{text} is synced between line {} and {}", written.end, answered.begin);
    }
    let syncs = calls.iter().filter(|call| call.is_sync(".journal")).count();
    println!("{} changes, {syncs} syncs of the journal", texts.len() + 1 + TOGETHER);
}

#[tokio::test]
#[ignore = "needs strace"]
async fn a_change_that_was_written_but_not_synced_is_synced_before_it_is_served() {
    let (dir, id) = dir_with_key().await;
    let segment = segment(dir.path());
    let traced =
        Traced::start(dir.path(), &["-P", &segment, "-e", "inject=fdatasync:signal=KILL:when=3"])
            .unwrap();
    let mut client = traced.sidecar().keys().await;
    describe(&mut client, &id, "first").await.unwrap();
    describe(&mut client, &id, "second").await.unwrap();
    describe(&mut client, &id, "third").await.unwrap_err();
    traced.wait().await;

    let trace = dir.path().join("trace");
    let strace =
        ["-y", "-s", "1000", "-e", "trace=write,fsync,fdatasync", "-o", trace.to_str().unwrap()];
    let traced = Traced::start(dir.path(), &strace).unwrap();
    assert_eq!(description(traced.sidecar()).await, "third");
    assert_eq!(traced.stop().await, Some(0));
    let calls = calls(&fs::read_to_string(&trace).unwrap());
    let serving = calls.iter().find(|call| call.args.contains("\\\"serving\\\"")).unwrap();
    for name in [".journal>", "/journal>"] {
        assert!(calls.iter().any(|call| call.is_sync(name) && call.end < serving.begin), "{name}");
    }
}

#[tokio::test]
#[ignore = "needs strace"]
async fn a_journal_that_cannot_be_written_refuses_the_change_and_goes_on() {
    let (dir, id) = dir_with_key().await;
    let inject = "inject=pwrite64:error=ENOSPC:when=3..5";
    let traced = Traced::start(dir.path(), &["-P", &segment(dir.path()), "-e", inject]).unwrap();
    let mut client = traced.sidecar().keys().await;
    let mut made = String::new();
    for change in 1..=8 {
        let text = format!("change {change}");
        match describe(&mut client, &id, &text).await {
            Ok(()) => made = text,
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
                assert!((3..=5).contains(&change));
            }
        }
        assert_eq!(description(traced.sidecar()).await, made);
    }
    assert_eq!(made, "change 8");
    assert_eq!(traced.stop().await, Some(0));
    let sidecar = Sidecar::start_on(dir.path(), &[]);
    assert_eq!(description(&sidecar).await, made);
    assert!(!sidecar.log().contains("replayed"), "{}", sidecar.log());
}

#[tokio::test]
#[ignore = "needs strace"]
async fn a_sync_that_fails_stops_the_sidecar_and_acknowledges_nothing() {
    let failures: [&[&str]; 2] = [
        &["-e", "inject=fdatasync:error=EIO:when=3"],
        // Neither written nor taken back.
        &["-e", "inject=pwrite64:error=EIO:when=3", "-e", "inject=ftruncate:error=EIO:when=1+"],
    ];
    for failure in failures {
        let (dir, id) = dir_with_key().await;
        let segment = segment(dir.path());
        let strace = [&["-P", &segment], failure].concat();
        let traced = Traced::start(dir.path(), &strace).unwrap();
        let mut client = traced.sidecar().keys().await;
        describe(&mut client, &id, "first").await.unwrap();
        describe(&mut client, &id, "second").await.unwrap();
        let status = describe(&mut client, &id, "third").await.unwrap_err();
        assert_eq!(status.code(), Code::Unknown, "{status}");
        assert!(status.message().contains("whether the change was made is not known"), "{status}");
        let message = "error: the store has stopped, so the sidecar stops";
        let started = Instant::now();
        while !traced.sidecar().log().contains(message) {
            assert!(started.elapsed() < PATIENCE, "{}", traced.sidecar().log());
            step().await;
        }
        assert_eq!(traced.wait().await, Some(1));
        let sidecar = Sidecar::start_on(dir.path(), &[]);
        assert!(["second", "third"].contains(&&*description(&sidecar).await));
    }
}

/// Copies a directory.
fn copy(from: &Path, to: &Path) {
    let mut cp = Command::new("cp");
    assert!(cp.arg("-r").args([from, to]).status().unwrap().success());
}

/// Arguments for strace: a thread's `n`th call that changes a file is the last.
fn killed_at(n: usize) -> Vec<String> {
    let calls = "openat,mkdir,rename,write,pwrite64,ftruncate,fsync,fdatasync,unlink";
    let (trace, inject) =
        (format!("trace={calls}"), format!("inject={calls}:signal=KILL:when={n}"));
    ["-o", "/dev/null", "-e", &trace, "-e", &inject].map(str::to_owned).into()
}

#[tokio::test]
#[ignore = "needs strace"]
async fn a_first_start_that_is_killed_at_any_system_call_is_begun_again() {
    let mut kills = 0;
    loop {
        let dir = TempDir::new().unwrap();
        let data = dir.path().join("data");
        let strace = killed_at(kills + 1);
        let strace: Vec<_> = strace.iter().map(String::as_str).collect();
        let Err(ended) = Traced::start(&data, &strace) else { break };
        assert!(ended.starts_with("signal: 9"), "{ended}");
        kills += 1;
        let sidecar = Sidecar::start_on(&data, &[]);
        sidecar.create("writer").await;
        sidecar.kill();
        assert_eq!(list(&mut Sidecar::start_on(&data, &[]).keys().await).await.len(), 1);
    }
    println!("killed at each of {kills} calls");
    assert!(kills > 30);
}

#[tokio::test]
#[ignore = "needs strace"]
async fn a_rebuild_that_is_killed_at_any_system_call_is_begun_again() {
    let (dir, id) = dir_with_key().await;
    let sidecar = Sidecar::start_on(dir.path(), &[]);
    let mut client = sidecar.keys().await;
    for change in 0..5 {
        describe(&mut client, &id, &format!("change {change}")).await.unwrap();
    }
    assert_eq!(sidecar.stop().await.code(), Some(0));
    fs::write(dir.path().join("state/conf"), "damaged").unwrap();
    let mut kills = 0;
    loop {
        let copied = TempDir::new().unwrap();
        let data = copied.path().join("data");
        copy(dir.path(), &data);
        let strace = killed_at(kills + 1);
        let strace: Vec<_> = strace.iter().map(String::as_str).collect();
        let Err(ended) = Traced::start(&data, &strace) else { break };
        assert!(ended.starts_with("signal: 9"), "{ended}");
        kills += 1;
        let sidecar = Sidecar::start_on(&data, &[]);
        assert_eq!(description(&sidecar).await, "change 4", "killed at call {kills}");
    }
    println!("killed at each of {kills} calls");
    assert!(kills > 30);
}

#[tokio::test]
#[ignore = "needs strace"]
async fn a_repair_that_is_killed_at_any_system_call_can_be_done_again() {
    let (dir, id) = dir_with_key().await;
    let sidecar = Sidecar::start_on(dir.path(), &[]);
    describe(&mut sidecar.keys().await, &id, "last").await.unwrap();
    assert_eq!(sidecar.stop().await.code(), Some(0));
    let mut journal = fs::read(segment(dir.path())).unwrap();
    // In the first change, of two.
    journal[150] ^= 1;
    fs::write(segment(dir.path()), journal).unwrap();

    for with_state in [true, false] {
        let mut kills = 0;
        loop {
            let copied = TempDir::new().unwrap();
            let data = copied.path().join("data");
            copy(dir.path(), &data);
            if !with_state {
                fs::remove_dir_all(data.join("state")).unwrap();
            }
            let repair = |mut command: Command| {
                command.args(["repair", "--apply", "--data-dir"]).arg(&data).output().unwrap()
            };
            let mut strace = Command::new("strace");
            strace.args(["-f", "-qq"]).args(killed_at(kills + 1)).arg(PROGRAM);
            let killed = repair(strace).status.code().is_none();
            let again = repair(Command::new(PROGRAM));
            assert!(again.status.success(), "killed at call {}: {again:?}", kills + 1);
            let sidecar = Sidecar::start_on(&data, &[]);
            assert_eq!(description(&sidecar).await, "last", "killed at call {}", kills + 1);
            if !killed {
                break;
            }
            kills += 1;
        }
        println!("killed at each of {kills} calls");
        assert!(kills > 30);
    }
}
