//! What is left behind on purpose is found, each kind of it, and nothing else is.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use shaketable_fixtures::etcd::Location;
use shaketable_reaper::directory::Directory;
use shaketable_reaper::engine::ask;
use shaketable_reaper::left::{LABEL, Left, Scope, Watch};
use shaketable_reaper::mark::VARIABLE;

use super::common::{Outcome, own_etcds, trial};
use super::way::listed;

/// How long is waited for what will not go away.
const BRIEFLY: Duration = Duration::from_millis(300);

/// How long something may take to appear.
const SOON: Duration = Duration::from_secs(20);

pub(crate) fn trials() -> Vec<Trial> {
    let [(_, container), _] = own_etcds();
    let engine = || container.clone().map(drop);
    let image = container.clone();
    vec![
        trial("a_process_in_a_session_of_its_own_is_found", Ok(()), |()| a_process()),
        trial("a_directory_is_found", Ok(()), |()| a_directory()),
        trial("a_directory_in_memory_is_found", Ok(()), |()| a_directory_in_memory()),
        trial("a_log_is_found_as_such", Ok(()), |()| a_log()),
        trial("a_container_and_its_volume_are_found", image, |location| a_container(&location)),
        trial("a_network_is_found", engine(), |()| a_network()),
        trial("a_volume_is_found", engine(), |()| a_volume()),
    ]
}

/// Runs a line of a shell under `watch`, and waits for its end.
fn run(watch: &Watch, folder: &Path, line: &str) -> Outcome {
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", line]).env(VARIABLE, watch.mark().variable()).env("TMPDIR", folder);
    let status = shell.status()?;
    if status.success() { Ok(()) } else { Err(format!("`{line}` ended with {status}").into()) }
}

/// Exactly what `is_it` says is left.
fn left(watch: &mut Watch, is_it: impl Fn(&Left) -> bool) -> Result<Left, Failed> {
    match watch.gone(BRIEFLY)? {
        Err(left) if left.len() == 1 && is_it(&left[0]) => Ok(left[0].clone()),
        Err(left) => Err(format!("something else is left: {}", listed(&left)).into()),
        Ok(_) => Err("it was not found".into()),
    }
}

fn nothing(watch: &mut Watch) -> Outcome {
    let left = watch.gone(SOON)?;
    left.map(drop).map_err(|left| format!("{} is still found", listed(&left)).into())
}

fn a_process() -> Outcome {
    let folder = Directory::new("leak")?;
    let mut watch = Watch::set(Scope::Marked, folder.path())?;
    run(&watch, folder.path(), "setsid sleep 600 < /dev/null > /dev/null 2>&1 & :")?;
    let found = left(&mut watch, |left| matches!(left, Left::Process(process) if process.line.ends_with("sleep 600")));
    watch.mark().kill();
    let Left::Process(process) = found? else { return Err("a process is a process".into()) };
    let told = Left::Process(process).to_string();
    if !told.starts_with("process ") || !told.ends_with("sleep 600)") {
        return Err(format!("a person would not understand '{told}'").into());
    }
    nothing(&mut watch)
}

fn a_directory() -> Outcome {
    let folder = Directory::new("leak")?;
    let mut watch = Watch::set(Scope::Marked, folder.path())?;
    run(&watch, folder.path(), "mkdir \"$TMPDIR/whatever\"")?;
    let path = folder.path().join("whatever");
    left(&mut watch, |left| *left == Left::File(path.clone()))?;
    fs::remove_dir(&path)?;
    nothing(&mut watch)
}

/// It is not told by its place or its name: others have such, too. Somebody works in it who is marked.
fn a_directory_in_memory() -> Outcome {
    let folder = Directory::new("leak")?;
    let memory = |whose: &str| Path::new("/dev/shm").join(format!("shaketable-residue-{whose}-{}", std::process::id()));
    let (ours, others) = (memory("ours"), memory("others"));
    let mut watch = Watch::set(Scope::Marked, folder.path())?;
    for path in [&ours, &others] {
        fs::create_dir(path)?;
    }
    let found = (|| {
        run(&watch, folder.path(), &format!("cd {} && setsid sleep 600 > /dev/null 2>&1 & :", ours.display()))?;
        let works = |left: &[Left]| left.iter().any(|left| *left == Left::File(ours.clone()));
        let deadline = Instant::now() + SOON;
        while !works(&watch.look()?) {
            if Instant::now() >= deadline {
                return Err("nobody works in it".into());
            }
        }
        watch.mark().kill();
        left(&mut watch, |left| *left == Left::File(ours.clone()))
    })();
    watch.mark().kill();
    for path in [&ours, &others] {
        fs::remove_dir(path)?;
    }
    found?;
    nothing(&mut watch)
}

fn a_log() -> Outcome {
    let folder = Directory::new("leak")?;
    let mut watch = Watch::set(Scope::Marked, folder.path())?;
    run(&watch, folder.path(), "echo told > \"$TMPDIR/shaketable-log-etcd-1.txt\"")?;
    let path = folder.path().join("shaketable-log-etcd-1.txt");
    match watch.gone(BRIEFLY)? {
        Ok(logs) if logs == [Left::Log(path)] => Ok(()),
        other => Err(format!("a log was to be found: {other:?}").into()),
    }
}

/// What the engine answers to an order.
fn order(method: &str, path: &str, body: &Value) -> Result<Value, Failed> {
    let (status, body) = ask(method, path, &body.to_string()).ok_or("there is no engine")??;
    if status >= 300 {
        return Err(format!("the engine answers {status} to {method} {path}: {body}").into());
    }
    Ok(serde_json::from_str(&body).unwrap_or_default())
}

/// A container that is made and not started; its volume has neither name nor label, and outlives it.
fn a_container(location: &Location) -> Outcome {
    let Location::Container(image) = location else { return Err("there is an image".into()) };
    let folder = Directory::new("leak")?;
    let mut watch = Watch::set(Scope::Marked, folder.path())?;
    let name = format!("shaketable-residue-{}", std::process::id());
    let body = json!({
        "Image": image.to_string(), "Cmd": ["etcd"], "Volumes": { "/data": {} },
        "Labels": { LABEL: watch.mark().variable() },
    });
    order("POST", &format!("/containers/create?name={name}"), &body)?;
    let there = watch.gone(BRIEFLY)?;
    order("DELETE", &format!("/containers/{name}"), &Value::Null)?;
    let volume = left(&mut watch, |left| matches!(left, Left::Volume(_)))?;
    let Left::Volume(volume) = volume else { return Err("a volume is a volume".into()) };
    order("DELETE", &format!("/volumes/{volume}"), &Value::Null)?;
    let both = [Left::Container(name), Left::Volume(volume)];
    match there {
        Err(left) if left.len() == 2 && both.iter().all(|one| left.contains(one)) => nothing(&mut watch),
        other => Err(format!("a container and its volume were to be found: {other:?}").into()),
    }
}

/// It exists in the engine's books alone.
fn a_network() -> Outcome {
    let folder = Directory::new("leak")?;
    let mut watch = Watch::set(Scope::Marked, folder.path())?;
    let name = format!("shaketable-residue-{}", std::process::id());
    let labels = json!({ LABEL: watch.mark().variable() });
    order("POST", "/networks/create", &json!({ "Name": name, "ConfigOnly": true, "Labels": labels }))?;
    let found = left(&mut watch, |left| *left == Left::Network(name.clone()));
    order("DELETE", &format!("/networks/{name}"), &Value::Null)?;
    found?;
    nothing(&mut watch)
}

/// One with our label is found by whoever looks for it, and each by whoever looks at the whole machine.
fn a_volume() -> Outcome {
    let (folder, elsewhere) = (Directory::new("leak")?, Directory::new("leak")?);
    let mut watch = Watch::set(Scope::Marked, folder.path())?;
    let mut machine = Watch::set(Scope::Machine, elsewhere.path())?;
    let name = |what: &str| format!("shaketable-residue-{what}-{}", std::process::id());
    let (ours, others) = (name("ours"), name("others"));
    let made = order("POST", "/volumes/create", &json!({ "Name": ours, "Labels": { LABEL: watch.mark().variable() } }))
        .and(order("POST", "/volumes/create", &json!({ "Name": others })));
    let (found, all) = (left(&mut watch, |left| *left == Left::Volume(ours.clone())), machine.look());
    let removed: Result<Vec<Value>, Failed> =
        [&ours, &others].iter().map(|name| order("DELETE", &format!("/volumes/{name}"), &Value::Null)).collect();
    made?;
    found?;
    removed?;
    let all: io::Result<Vec<Left>> = all;
    let all = all?;
    if ![ours, others].into_iter().all(|name| all.contains(&Left::Volume(name))) {
        return Err(format!("both were to be found on this machine: {}", listed(&all)).into());
    }
    nothing(&mut watch)
}
