//! An adapter's process: started with a deadline for its handshake; what it says last is kept, for messages.
#![expect(clippy::disallowed_methods, reason = "a process lives in real time")]

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::time::Duration;

use super::group::Group;
use super::{Handshake, SubjectCommand};

/// How long its end may take to be seen once the connection to it is lost.
const END_IS_SEEN_WITHIN: Duration = Duration::from_millis(500);

/// Of what an adapter says on its standard error stream so much is kept, for messages.
const LAST_WORDS_BYTES: usize = 4096;

/// How long these may take to arrive once it has ended. What it has started may hold the stream open for longer.
const LAST_WORDS_WITHIN: Duration = Duration::from_millis(500);

/// How the lines begin with which a runtime says why it ends the process. Long dumps of stacks follow them.
const CAUSES: [&str; 4] = ["fatal error:", "panic:", "thread '", "Traceback "];

/// A running adapter.
#[derive(Debug)]
pub(super) struct Process {
    group: Group,
    handshake: Handshake,
    last_words: Arc<Ear>,
}

/// Hears what an adapter says on its standard error stream.
#[derive(Debug, Default)]
struct Ear {
    words: Mutex<LastWords>,
    /// Told when the stream has ended.
    ended: Condvar,
}

/// What an adapter has said on its standard error stream.
#[derive(Debug, Default)]
struct LastWords {
    /// The end of it.
    end: Vec<u8>,
    /// The last line that tells why a process ends.
    cause: Option<String>,
    /// The line that is being said.
    line: Vec<u8>,
    /// Nothing more will be said.
    ended: bool,
}

impl LastWords {
    fn hear(&mut self, said: &[u8]) {
        self.end.extend_from_slice(said);
        let excess = self.end.len().saturating_sub(LAST_WORDS_BYTES);
        self.end.drain(..excess);
        for byte in said {
            if *byte != b'\n' {
                if self.line.len() < LAST_WORDS_BYTES {
                    self.line.push(*byte);
                }
                continue;
            }
            let line = String::from_utf8_lossy(&self.line).trim().to_owned();
            self.line.clear();
            if CAUSES.iter().any(|cause| line.starts_with(cause)) {
                self.cause = Some(line);
            }
        }
    }
}

impl Process {
    /// Starts `command` and waits for its handshake.
    ///
    /// # Errors
    /// One sentence: what went wrong, and what the adapter said last.
    pub(super) fn start(command: &SubjectCommand) -> Result<Self, String> {
        let failed = |what: &str| format!("failed to start the adapter `{}`: {what}", command.line);
        let start_within = command.limits.start_within;
        let mut group = Group::start(&command.line).map_err(|error| failed(&error.to_string()))?;
        let (stdout, stderr) = group.streams();
        let last_words = Arc::<Ear>::default();
        if let Some(stderr) = stderr {
            listen(stderr, last_words.clone());
        }
        let (said, first_line) = mpsc::channel();
        if let Some(stdout) = stdout {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stdout).take(1 << 20);
                let mut line = String::new();
                let read = reader.read_line(&mut line).map(|_| line);
                // Nobody waits any more when the deadline has passed.
                let _ = said.send(read);
                // What else it says must not fill the pipe.
                let _ = std::io::copy(&mut reader.into_inner(), &mut std::io::sink());
            });
        }
        let handshake = match first_line.recv_timeout(start_within) {
            Ok(Ok(line)) if line.trim().is_empty() => Err("it ended without a handshake".to_owned()),
            Ok(Ok(line)) => Handshake::read(line.trim()),
            Ok(Err(error)) => Err(format!("its handshake cannot be read: {error}")),
            Err(_) => Err(format!("it said nothing within {start_within:?}")),
        };
        match handshake {
            Ok(handshake) => Ok(Self { group, handshake, last_words }),
            Err(why) => {
                drop(group);
                Err(failed(&format!("{why}{}", in_words(&last_words))))
            }
        }
    }

    /// What it said of itself.
    pub(super) fn handshake(&self) -> &Handshake {
        &self.handshake
    }

    /// Why it is gone, if it is. Whoever has lost the connection to it knows sooner than its parent that it ends: give it
    /// a moment.
    pub(super) fn obituary(&mut self, is_connection_lost: bool) -> Option<String> {
        let within = if is_connection_lost { END_IS_SEEN_WITHIN } else { Duration::ZERO };
        let status = self.group.ended(within)?;
        Some(format!("the adapter has ended ({status}){}", in_words(&self.last_words)))
    }
}

/// Keeps the end of what is said.
fn listen(mut from: impl Read + Send + 'static, ear: Arc<Ear>) {
    std::thread::spawn(move || {
        let mut buffer = [0; 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            ear.words.lock().unwrap_or_else(PoisonError::into_inner).hear(&buffer[..length]);
        }
        ear.words.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        ear.ended.notify_all();
    });
}

/// What an adapter that has ended said last. The pipe may still hold some of it.
fn in_words(ear: &Ear) -> String {
    let words = ear.words.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = ear.ended.wait_timeout_while(words, LAST_WORDS_WITHIN, |words| !words.ended);
    let (words, _) = waited.unwrap_or_else(PoisonError::into_inner);
    let cause = words.cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
    let text = String::from_utf8_lossy(&words.end);
    if text.trim().is_empty() { cause } else { format!("{cause}; its last words:\n{}", text.trim()) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::{Process, SubjectCommand};

    /// An adapter that ends for nothing but SIGKILL, as does what it has started, in its group and in a session of its own; the
    /// ids of all are in `file`.
    fn stubborn(file: &Path, says: &str) -> String {
        let (file, out) = (file.display(), file.with_extension("out"));
        let out = out.display();
        format!(
            "sh -c 'trap \"\" INT TERM HUP; sleep 300 & a=$!; setsid sh -c \"echo \\$\\$ > {out}; exec sleep 300\" & \
             until [ -s {out} ]; do sleep 0.01; done; echo $$ $a $(cat {out}) > {file}; {says}; while :; do sleep 300; done'"
        )
    }

    /// Waits until `file` names processes and none of them lives any more.
    fn all_end(file: &Path) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let ids = std::fs::read_to_string(file).unwrap_or_default();
            let living: Vec<&str> = ids.split_whitespace().filter(|id| lives(id)).collect();
            if ids.split_whitespace().count() == 3 && living.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "of '{}' these live on: {living:?}", ids.trim());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn lives(id: &str) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // A zombie waits for its new parent only.
        !status.is_empty() && !status.contains(") Z ")
    }

    fn not_started(command: &SubjectCommand) -> String {
        Process::start(command).map(drop).unwrap_err()
    }

    #[test]
    fn an_adapter_that_does_not_start_is_told_with_its_last_words() {
        for (line, told) in [
            ("/no/such/program", "ended without a handshake"),
            ("sh -c 'echo cannot find etcd >&2; exit 3'", "cannot find etcd"),
            ("echo hello", "no handshake"),
        ] {
            let text = not_started(&SubjectCommand::new(line));
            assert!(text.contains(told), "{text}");
        }
    }

    #[test]
    fn an_adapter_that_says_nothing_is_told_and_ended() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ids");
        let mut command = SubjectCommand::new(stubborn(&file, "echo waiting for etcd >&2"));
        command.limits.start_within = Duration::from_secs(2);
        let text = not_started(&command);
        assert!(text.contains("it said nothing within 2s") && text.contains("waiting for etcd"), "{text}");
        all_end(&file);
    }

    #[test]
    fn why_a_runtime_gave_up_is_told_though_a_long_dump_follows() {
        let line = "sh -c 'echo fatal error: concurrent map writes >&2; \
                    for n in $(seq 900); do echo goroutine $n >&2; done; sleep 0.2; exit 2'";
        let text = not_started(&SubjectCommand::new(line));
        assert!(text.contains("concurrent map writes") && text.contains("goroutine 900"), "{text}");
    }
}
