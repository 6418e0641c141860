//! What clears away after this process when it is killed, be it by kill -9: a shell that waits for the end of a pipe whose
//! other end this process alone holds.

use std::env;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::mark::{GUARD_VARIABLE, Mark, VARIABLE, of_guards};

/// What the guard does. Each line names what is to be ended then: processes, as a group and by their mark, or a container; it
/// is empty when there is nothing. The arguments are the directory that is to be removed, the engine's socket, and for how many
/// seconds processes may end by themselves.
///
/// Who is killed leaves children that somebody else has to wait for, which may take a moment; a directory that a living
/// process writes to cannot be removed. An engine may still be making the container.
const SCRIPT: &str = r#"
kind= name= mark=
while read -r a b c; do kind=$a name=$b mark=$c; done
case $kind in
group | marked)
    [ "$3" = 0 ] || sleep "$3"
    [ $kind = marked ] || kill -s KILL -- "-$name"
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        left=
        for file in $(grep -lsF -- "$mark" /proc/[0-9]*/environ); do
            file=${file#/proc/}
            kill -s KILL -- "${file%/environ}"
            left=yes
        done
        if [ $kind = group ] && kill -s 0 -- "-$name"; then left=yes; fi
        [ -n "$left" ] || break
        sleep 0.1
    done
    ;;
container)
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        if command -v curl; then
            curl -sf --max-time 20 --unix-socket "$2" -X DELETE "http://engine/containers/$name?force=1&v=1" && break
        else
            docker -H "unix://$2" rm -f -v "$name" | grep -q . && break
        fi
        sleep 0.2
    done
    ;;
esac
[ -z "$1" ] || rm -rf -- "$1"
"#;

/// What a guard ends.
#[derive(Clone, Copy, Debug)]
pub enum Guarded<'a> {
    /// Nothing but the directory.
    Nothing,
    /// The group of processes with this number, and all that have the mark. Whoever ends it must say so before the system may
    /// give the number to somebody else: before waiting for it.
    Group(u32, &'a Mark),
    /// All that have the mark, whatever their group.
    Marked(&'a Mark),
    /// The container with this name. It may be one that does not exist yet.
    Container(&'a str),
}

/// What a guard has to know from the beginning.
#[derive(Clone, Copy, Debug, Default)]
pub struct Post<'a> {
    /// The directory that is to be removed.
    pub directory: Option<&'a Path>,
    /// The engine's socket, for whoever has containers.
    pub socket: Option<&'a Path>,
    /// How long processes may take to end by themselves, in whole seconds.
    pub grace: Duration,
}

/// Guards a directory, and processes or a container. They are this process's own business as long as it lives; once this is
/// dropped, the directory is gone, and so is the rest if it was not said to have ended.
#[derive(Debug)]
pub struct Guard {
    shell: Child,
}

impl Guard {
    /// Guards the directory, and nothing else yet.
    ///
    /// # Errors
    /// When there is no shell (`sh`) on the `PATH`.
    pub fn new(post: Post<'_>) -> io::Result<Self> {
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "guard"])
            .args([post.directory, post.socket].map(|path| path.unwrap_or(Path::new(""))))
            .arg(post.grace.as_secs().to_string())
            .env_remove(VARIABLE)
            .env(GUARD_VARIABLE, of_guards(&env::var(VARIABLE).unwrap_or_default()))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // An interrupt from the terminal is not meant for it.
            .process_group(0)
            .spawn()?;
        Ok(Self { shell })
    }

    /// From now on it guards this.
    ///
    /// # Errors
    /// When the guard is no longer there.
    pub fn guard(&mut self, guarded: Guarded<'_>) -> io::Result<()> {
        let line = match guarded {
            Guarded::Nothing => "\n".to_owned(),
            Guarded::Group(number, mark) => format!("group {number} {mark}\n"),
            Guarded::Marked(mark) => format!("marked - {mark}\n"),
            Guarded::Container(name) => format!("container {name}\n"),
        };
        self.shell.stdin.as_mut().map_or(Ok(()), |stdin| stdin.write_all(line.as_bytes()))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // It has a bounded time to do what it does.
        let _ = self.shell.wait();
    }
}
