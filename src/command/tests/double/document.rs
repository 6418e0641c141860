//! The page about doubles: its commands are run, and what it shows is what they print.

use std::process::{Command, Stdio};

use libtest_mimic::{Failed, Trial};
use shaketable_reaper::directory::Directory;

use super::clients::etcdctl;
use super::common::{Outcome, trial};
use super::double::{DEADLINE, PROGRAM};

const PAGE: &str = include_str!("../../../../docs/double-of-etcd.md");

pub(crate) fn trials() -> Vec<Trial> {
    let curl =
        shaketable_fixtures::process::find_on_path("curl").map(drop).ok_or_else(|| "no curl on the PATH".to_owned());
    let python = shaketable_fixtures::process::find_on_path("python3").map(drop).ok_or_else(|| "no python3".to_owned());
    vec![
        trial("the_commands_of_its_page_print_what_the_page_shows", etcdctl().and(curl), |()| commands()),
        trial("the_python_of_its_page_starts_one", python, |()| python_starts_one()),
    ]
}

/// The directories in which a person's shell finds the program.
fn path() -> Result<String, Failed> {
    let folder = std::path::Path::new(PROGRAM).parent().ok_or("the program is in a folder")?;
    Ok(format!("{}:{}", folder.display(), std::env::var("PATH")?))
}

fn python_starts_one() -> Outcome {
    let (_, rest) = PAGE.split_once("```python\n").ok_or("the page has a block of Python")?;
    let (block, _) = rest.split_once("```").ok_or("the block has an end")?;
    let check = "assert sorted(addresses) == ['admin', 'etcd'] and all(':' in it for it in addresses.values())\n\
                 double.terminate()\nassert double.wait(30) == 0\n";
    let code = format!("import subprocess\n{block}\n{check}");
    let output = Command::new("python3").args(["-c", &code]).env("PATH", path()?).stdin(Stdio::null()).output()?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned().into()) }
}

/// A command of the page, and the lines that are shown after it.
struct Shown {
    command: String,
    lines: Vec<String>,
}

/// The blocks with prompts, in order: one session.
fn session() -> Vec<Shown> {
    let mut session: Vec<Shown> = Vec::new();
    let mut within = false;
    for line in PAGE.lines() {
        match (within, line.strip_prefix("$ ")) {
            (_, _) if line.starts_with("```") => within = line == "```console",
            (true, Some(command)) => session.push(Shown { command: command.to_owned(), lines: Vec::new() }),
            (true, None) => {
                if let Some(shown) = session.last_mut() {
                    shown.lines.push(line.to_owned());
                }
            }
            (false, _) => {}
        }
    }
    session
}

/// Whether a line is as it is shown, where `…` stands for anything.
fn is_as(line: &str, shown: &str) -> bool {
    let mut parts = shown.split('…');
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else { return false };
    let mut open = false;
    for part in parts {
        let Some(found) = rest.find(part) else { return false };
        (rest, open) = (&rest[found + part.len()..], part.is_empty());
    }
    open || rest.is_empty()
}

fn commands() -> Outcome {
    let session = session();
    assert!(session.len() >= 10, "the page has {} commands", session.len());
    let directory = Directory::new("page")?;
    let free = || Ok::<_, Failed>(format!("127.0.0.1:{}", shaketable_fixtures::process::free_port()?));
    let (etcd, admin) = (free()?, free()?);
    // One shell, as a person has one. What a command prints is told apart by lines of our own.
    let mut script = "set -u\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n".to_owned();
    for (number, shown) in session.iter().enumerate() {
        let command = shown.command.replace("127.0.0.1:2379", &etcd).replace("127.0.0.1:2380", &admin);
        script.push_str(&format!("{{ {}\n}} >{number} 2>&1\n", command.trim_end()));
        if command.ends_with('&') {
            script.push_str(&format!("for _ in $(seq 500); do [ -s {number} ] && break; sleep 0.01; done\n"));
        }
    }
    // A command may have been refused, as its lines show.
    script.push_str("exit 0\n");
    let mut command = Command::new("timeout");
    command.arg(DEADLINE.as_secs().to_string()).args(["bash", "-c", &script]).current_dir(directory.path());
    command.env("PATH", path()?).env("ETCDCTL_ENDPOINTS", &etcd).stdin(Stdio::null());
    let status = command.status()?;
    for (number, shown) in session.iter().enumerate() {
        let printed = std::fs::read_to_string(directory.path().join(number.to_string())).unwrap_or_default();
        let printed = printed.replace(&etcd, "127.0.0.1:2379").replace(&admin, "127.0.0.1:2380");
        // The log of the client itself is not what the page is about.
        let lines: Vec<&str> = printed.lines().filter(|line| !line.starts_with("{\"level\"")).collect();
        let same =
            lines.len() == shown.lines.len() && lines.iter().zip(&shown.lines).all(|(line, shown)| is_as(line, shown));
        if !same {
            let wanted = shown.lines.join("\n");
            return Err(format!("$ {}\nshown:\n{wanted}\nprinted:\n{printed}", shown.command).into());
        }
    }
    if status.success() { Ok(()) } else { Err(format!("the session ended with {status}").into()) }
}
