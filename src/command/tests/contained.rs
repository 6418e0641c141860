//! `verify --backend container` as people start it where containers cannot be had: what they are told, in time. That it works
//! where they can be had is a row of the target `residue`.
#![expect(clippy::disallowed_methods, reason = "a program lives in real time")]

use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::{Duration, Instant};

use shaketable_reaper::directory::Directory;

/// Longer than anybody waits for an engine that says nothing.
const WITHIN: Duration = Duration::from_secs(60);

/// The exit code and what was told, with the engine's socket at `host`.
fn verified(host: &str) -> (Option<i32>, String) {
    let began = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_shaketable"));
    command.args(["verify", "registry", "--plugin", "etcd", "--backend", "container", "--only", "REG-001"]);
    let output = command.env("DOCKER_HOST", format!("unix://{host}")).output().expect("it starts");
    assert!(began.elapsed() < WITHIN, "it took {:?}", began.elapsed());
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn an_engine_that_is_not_there_is_told_with_the_mend() {
    let (code, told) = verified("/nowhere/docker.sock");
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("there is no engine for containers") && told.contains("--backend process"), "{told}");
}

#[test]
fn an_engine_that_takes_connections_and_says_nothing_is_told_with_the_mend() {
    let directory = Directory::new("silent").expect("a directory");
    let socket = directory.path().join("docker.sock");
    let _silent = UnixListener::bind(&socket).expect("a socket");
    let (code, told) = verified(&socket.display().to_string());
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("does not answer (no answer within 10s)") && told.contains("start it"), "{told}");
}
