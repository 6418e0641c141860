//! What a process does that its parent has started for jobs: it makes a copy of itself for each, and does nothing else, so that
//! each copy begins as a fresh process does.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};

use rustix::io::fcntl_dupfd_cloexec;
use rustix::stdio::{dup2_stdin, dup2_stdout, stderr, stdin, stdout};

use super::copy::{Copied, copy};

/// Before each job: the seed and the length of what follows.
pub(super) const JOB_HEAD_BYTES: usize = 16;

/// Before each message to the parent: what it is, and the length of what follows.
pub(super) const MESSAGE_HEAD_BYTES: usize = 9;

/// Begins a piece of the answer to a job.
pub(super) const ANSWER: u8 = b'A';

/// So much of an answer is written at once: a pipe takes it whole (POSIX `PIPE_BUF`), or, when its writer is killed, not at
/// all.
const PIECE_BYTES_MAX: usize = 4096 - MESSAGE_HEAD_BYTES;

/// Begins the words that tell how a job's process has ended.
pub(super) const END: u8 = b'E';

/// Said on the standard error stream when a job has ended.
pub(super) const END_OF_WORDS: &[u8] = b"\0shaketable: a job has ended\0\n";

/// A job, in the process that has it to itself.
pub(super) struct Asked {
    pub(super) seed: u64,
    pub(super) job: Vec<u8>,
    answers: File,
}

impl Asked {
    pub(super) fn answer(mut self, bytes: &[u8]) -> io::Result<()> {
        bytes.chunks(PIECE_BYTES_MAX).try_for_each(|piece| tell(&mut self.answers, ANSWER, piece))
    }
}

/// Waits for jobs. Returns with each in a process of its own, and without one when no more will come.
pub(super) fn wait_for_jobs() -> io::Result<Option<Asked>> {
    // What a plugin prints is no answer, and what it reads is no job.
    let (mut jobs, mut answers) =
        (File::from(fcntl_dupfd_cloexec(stdin(), 3)?), File::from(fcntl_dupfd_cloexec(stdout(), 3)?));
    dup2_stdin(File::open("/dev/null")?)?;
    dup2_stdout(stderr())?;
    let mut errors = io::stderr();
    loop {
        let mut head = [0; JOB_HEAD_BYTES];
        match jobs.read_exact(&mut head) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let (seed, length) = head.split_at(8);
        let mut job = vec![0; number(length) as usize];
        jobs.read_exact(&mut job)?;
        match copy(&jobs)? {
            Copied::Me => return Ok(Some(Asked { seed: number(seed), job, answers })),
            Copied::Ended(how) => {
                errors.write_all(END_OF_WORDS)?;
                tell(&mut answers, END, how.as_bytes())?;
            }
        }
    }
}

/// The number that [`u64::to_le_bytes`] has written.
pub(super) fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn tell(answers: &mut File, kind: u8, bytes: &[u8]) -> io::Result<()> {
    let mut message = Vec::with_capacity(MESSAGE_HEAD_BYTES + bytes.len());
    message.push(kind);
    message.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    message.extend_from_slice(bytes);
    answers.write_all(&message)
}
