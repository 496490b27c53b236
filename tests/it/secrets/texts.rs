//! The log for people: the same events in another form.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Stdio},
    thread,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{
    LOG_LEVEL, PEPPER, Target,
    canary::{Leaks, World},
};
use crate::command_line::program;

/// Killed when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn secrets_are_not_in_a_log_of_text_either() {
    let temporary = TempDir::new().unwrap();
    let path = |name: &str| temporary.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("pepper"), PEPPER).unwrap();
    let [listen, admin_listen] = ["a", "b"].map(|name| format!("unix:{}", path(name)));
    let mut command = program();
    command.args(["serve", "--log-format", "text", "--log-level", LOG_LEVEL]);
    command.args(["--listen", &listen, "--admin-listen", &admin_listen]);
    command.args(["--data-dir", &path("data"), "--pepper-file", &path("pepper")]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let mut running = Running(child);
    let log = thread::spawn(move || {
        let mut log = String::new();
        stderr.read_to_string(&mut log).unwrap();
        log
    });
    let mut screen = BufReader::new(stdout).lines().map(Result::unwrap);
    let first: Vec<_> = screen.by_ref().take_while(|line| !line.contains("try next")).collect();

    let target = Target { listen, admin_listen };
    let operator = fs::read_to_string(path("data/operator.token")).unwrap().trim().to_owned();
    let world = World::of(&target, operator).await;
    world.use_wrongly(&target, str::to_owned).await;
    world.use_rightly(&target).await;
    kill_process(Pid::from_child(&running.0), Signal::TERM).unwrap();
    // Not on this thread: clients have to answer for their connections to be closed.
    let ended = tokio::task::spawn_blocking(move || {
        let rest: Vec<_> = screen.collect();
        (rest, running.0.wait().unwrap(), log.join().unwrap())
    });
    let (rest, status, log) = ended.await.unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("TRACE"), "nothing was logged that could hold a secret");
    let mut leaks = Leaks::default();
    leaks.look_at_log(&world.canaries, &log);
    for line in first.iter().chain(&rest) {
        leaks.look(line, world.canaries.found_in(line.as_bytes()));
    }
    leaks.assert_none();
}
