//! An adapter's process: started with a deadline for its handshake, and always ended, with everything that it has started.
#![expect(clippy::disallowed_methods, reason = "a process lives in real time")]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::Handshake;

/// How long an adapter may take until it says its handshake.
pub const START_WITHIN: Duration = Duration::from_secs(20);

/// How long it may take to end by itself when its standard input closes.
const END_WITHIN: Duration = Duration::from_secs(1);

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
    child: Child,
    /// An adapter ends when this closes.
    stdin: Option<ChildStdin>,
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
    /// Starts `line` and waits for its handshake.
    ///
    /// # Errors
    /// One sentence: what went wrong, and what the adapter said last.
    pub(super) fn start(line: &str) -> Result<Self, String> {
        let failed = |what: &str| format!("failed to start the adapter `{line}`: {what}");
        let mut child = Command::new("sh")
            .args(["-c", &format!("exec {line}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that what it starts ends with it.
            .process_group(0)
            .spawn()
            .map_err(|error| failed(&error.to_string()))?;
        let stdin = child.stdin.take();
        let last_words = Arc::<Ear>::default();
        if let Some(stderr) = child.stderr.take() {
            listen(stderr, last_words.clone());
        }
        let (said, first_line) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
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
        let handshake = match first_line.recv_timeout(START_WITHIN) {
            Ok(Ok(line)) if line.trim().is_empty() => Err("it ended without a handshake".to_owned()),
            Ok(Ok(line)) => Handshake::read(line.trim()),
            Ok(Err(error)) => Err(format!("its handshake cannot be read: {error}")),
            Err(_) => Err(format!("it said nothing within {START_WITHIN:?}")),
        };
        match handshake {
            Ok(handshake) => Ok(Self { child, stdin, handshake, last_words }),
            Err(why) => {
                drop(stdin);
                end(&mut child);
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
        let status = ended(&mut self.child, within)?;
        Some(format!("the adapter has ended ({status}){}", in_words(&self.last_words)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.stdin.take());
        end(&mut self.child);
    }
}

/// How `child` has ended, or ends `within`.
fn ended(child: &mut Child, within: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + within;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits for a moment, and then kills the whole group.
fn end(child: &mut Child) {
    ended(child, END_WITHIN);
    // What it has started may live on without it.
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
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
    use std::time::{Duration, Instant};

    use super::Process;

    #[test]
    fn an_adapter_that_does_not_start_is_told_with_its_last_words() {
        for (line, told) in [
            ("/no/such/program", "ended without a handshake"),
            ("sh -c 'echo cannot find etcd >&2; exit 3'", "cannot find etcd"),
            ("echo hello", "no handshake"),
        ] {
            let text = Process::start(line).map(drop).unwrap_err();
            assert!(text.contains(told), "{text}");
        }
    }

    #[test]
    fn why_a_runtime_gave_up_is_told_though_a_long_dump_follows() {
        let line = "sh -c 'echo fatal error: concurrent map writes >&2; \
                    for n in $(seq 900); do echo goroutine $n >&2; done; sleep 0.2; exit 2'";
        let text = Process::start(line).map(drop).unwrap_err();
        assert!(text.contains("concurrent map writes") && text.contains("goroutine 900"), "{text}");
    }

    #[test]
    fn what_an_adapter_has_started_ends_with_it() {
        let folder = std::env::temp_dir().join(format!("shaketable-adapter-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("pid");
        let line = format!(
            "sh -c 'sleep 300 & echo $! > {}; echo \"{{\\\"shaketable_subject\\\":1,\\\"address\\\":\\\"127.0.0.1:1\\\",\
             \\\"message_bytes_max\\\":67108864,\\\"interfaces\\\":[\\\"registry\\\"]}}\"; wait'",
            file.display()
        );
        let process = Process::start(&line).unwrap();
        let pid: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        drop(process);
        let is_alive = || {
            let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // A zombie waits for its new parent only.
            !status.is_empty() && !status.contains(") Z ")
        };
        // A process that was killed takes a moment to go.
        let deadline = Instant::now() + Duration::from_secs(10);
        while is_alive() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(!is_alive(), "{pid} lives on");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
