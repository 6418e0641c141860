//! A process of its own for each run and check. Fresh processes agree where threads of one do not (tokio's and fastrand's
//! counters), and a process that hangs can be ended. The program that is running is started again, once for each job that is
//! done at a time, and makes a copy of itself for each job.
#![expect(clippy::disallowed_methods, reason = "processes live in real time")]

use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::child::Purpose;
use super::nursery::{ANSWER, END_OF_WORDS, JOB_HEAD_BYTES, MESSAGE_HEAD_BYTES, number};
use super::result::{Job, RunFailure, RunReport};

/// How long what a job has said may take to be read once its process has ended.
const WORDS_WITHIN: Duration = Duration::from_secs(5);

/// How long a process may take to end once there are no more jobs for it.
const END_WITHIN: Duration = Duration::from_secs(1);

/// Processes for jobs of one purpose, each of which serves one job after the other. They end when this is dropped.
#[derive(Debug)]
pub struct Children {
    purpose: Purpose,
    environment: Vec<(String, String)>,
    idle: Mutex<Vec<Nursery>>,
}

impl Children {
    /// None so far; they are started when there are jobs.
    pub fn new(purpose: Purpose) -> Self {
        Self::with_environment(purpose, &[])
    }

    /// The same with more variables in their environment.
    pub fn with_environment(purpose: Purpose, environment: &[(String, String)]) -> Self {
        Self { purpose, environment: environment.to_vec(), idle: Mutex::default() }
    }

    /// Runs `job`, at most for `timeout` of real time.
    ///
    /// # Errors
    /// What the run answers, or that its process broke or took too long.
    pub fn run(&self, job: &Job, timeout: Duration) -> Result<RunReport, RunFailure> {
        let (outcome, errors) = self.ask::<Result<RunReport, RunFailure>>(job.seed, job, timeout)?;
        outcome.map_err(|failure| match failure {
            RunFailure::Harness(text) if !errors.is_empty() => RunFailure::Harness(format!("{text}\n{errors}")),
            failure => failure,
        })
    }

    /// Has `job` done with `seed` by a process of its own and waits for the answer, at most for `timeout` of real time. Beside
    /// the answer comes what the process said on its standard streams.
    ///
    /// # Errors
    /// That the process broke or took too long.
    pub fn ask<T: DeserializeOwned>(
        &self,
        seed: u64,
        job: &impl Serialize,
        timeout: Duration,
    ) -> Result<(T, String), RunFailure> {
        let broke =
            |what: &str, error: &dyn std::fmt::Display| RunFailure::Harness(format!("failed to {what}: {error}"));
        let job = serde_json::to_vec(job).map_err(|error| broke("write the job", &error))?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut nursery = match idle.map(|mut nursery| (nursery.process.try_wait(), nursery)) {
            Some((Ok(None), nursery)) => nursery,
            // Somebody may have ended it meanwhile.
            _ => Nursery::start(self).map_err(|error| broke("start the run's process", &error))?,
        };
        let done = nursery.ask(seed, job, timeout)?;
        let errors = String::from_utf8_lossy(&done.errors).trim().to_owned();
        if done.is_ready {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(nursery);
        }
        let answer = done.answer.as_deref().and_then(|answer| serde_json::from_slice(answer).ok());
        let none = || RunFailure::Harness(format!("the run's process ended with {} and no report: {errors}", done.end));
        Ok((answer.ok_or_else(none)?, errors))
    }
}

/// What came of a job.
struct Done {
    answer: Option<Vec<u8>>,
    /// How its process has ended.
    end: String,
    errors: Vec<u8>,
    /// Whether there can be another job.
    is_ready: bool,
}

/// A process of this program that has done nothing but wait for jobs.
#[derive(Debug)]
struct Nursery {
    process: Child,
    jobs: Option<ChildStdin>,
    /// Ends when the process has ended.
    messages: mpsc::Receiver<(u8, Vec<u8>)>,
    /// What was said, job by job.
    words: mpsc::Receiver<Vec<u8>>,
}

impl Nursery {
    fn start(children: &Children) -> io::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .envs(children.environment.iter().map(|(name, value)| (name, value)))
            .env(children.purpose.variable(), "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (jobs, stdout, stderr) = (process.stdin.take(), process.stdout.take(), process.stderr.take());
        let (message, messages) = mpsc::channel();
        let (said, words) = mpsc::channel();
        // Both threads end with the streams, which end with the process.
        std::thread::spawn(move || stdout.map(|stdout| read_messages(stdout, &message)));
        std::thread::spawn(move || stderr.map(|stderr| read_words(stderr, &said)));
        Ok(Self { process, jobs, messages, words })
    }

    fn ask(&mut self, seed: u64, job: Vec<u8>, timeout: Duration) -> Result<Done, RunFailure> {
        let deadline = Instant::now() + timeout;
        let mut message = Vec::with_capacity(JOB_HEAD_BYTES + job.len());
        message.extend_from_slice(&seed.to_le_bytes());
        message.extend_from_slice(&(job.len() as u64).to_le_bytes());
        message.extend_from_slice(&job);
        // Who does not come to read it must not hold up the deadline.
        let mut jobs = self.jobs.take();
        let written = std::thread::spawn(move || {
            // A process that has died does not read; its end tells.
            let _ = jobs.as_mut().map(|jobs| jobs.write_all(&message));
            jobs
        });
        let mut answer = None;
        loop {
            match self.messages.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok((ANSWER, bytes)) => answer.get_or_insert_with(Vec::new).extend(bytes),
                Ok((_, end)) => {
                    self.jobs = written.join().unwrap_or_default();
                    let words = self.words.recv_timeout(WORDS_WITHIN);
                    // Words that come later would be taken for those of the next job.
                    let is_ready = words.is_ok();
                    let (end, errors) = (String::from_utf8_lossy(&end).into_owned(), words.unwrap_or_default());
                    return Ok(Done { answer, end, errors, is_ready });
                }
                // What was copied has ended too, or has done the job itself.
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    let end = self.end_by(deadline).map(|status| status.to_string()).unwrap_or_default();
                    let errors = self.words.recv_timeout(WORDS_WITHIN).unwrap_or_default();
                    return Ok(Done { answer, end, errors, is_ready: false });
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    // The copy ends with what was copied.
                    let _ = self.process.kill();
                    return Err(RunFailure::TimedOut(timeout));
                }
            }
        }
    }
}

impl Nursery {
    /// How the process has ended; after `deadline` it is killed.
    fn end_by(&mut self, deadline: Instant) -> io::Result<ExitStatus> {
        while self.process.try_wait()?.is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        // Nothing to do where it has ended.
        let _ = self.process.kill();
        self.process.wait()
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        drop(self.jobs.take());
        let _ = self.end_by(Instant::now() + END_WITHIN);
    }
}

fn read_messages(mut from: impl Read, to: &mpsc::Sender<(u8, Vec<u8>)>) {
    let mut head = [0; MESSAGE_HEAD_BYTES];
    while from.read_exact(&mut head).is_ok() {
        let mut bytes = Vec::new();
        let length = number(&head[1..]);
        match from.by_ref().take(length).read_to_end(&mut bytes) {
            Ok(read) if read as u64 == length && to.send((head[0], bytes)).is_ok() => {}
            _ => return,
        }
    }
}

fn read_words(mut from: impl Read, to: &mpsc::Sender<Vec<u8>>) {
    let (mut words, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        // The mark may have come in two pieces.
        let mut unseen = words.len().saturating_sub(END_OF_WORDS.len());
        words.extend_from_slice(&buffer[..length]);
        while let Some(end) = words[unseen..].windows(END_OF_WORDS.len()).position(|window| window == END_OF_WORDS) {
            let rest = words.split_off(unseen + end + END_OF_WORDS.len());
            words.truncate(unseen + end);
            if to.send(std::mem::replace(&mut words, rest)).is_err() {
                return;
            }
            unseen = 0;
        }
    }
    // The last words of a process that has ended; nobody may wait for them.
    let _ = to.send(words);
}
