//! go-micro's registry in a process of its own: it is told on a line what to do and how often, and answers with nanoseconds.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use shaketable_bench_room::Spent;

/// Names the adapter, whose `bench` this is.
const ADAPTER_VARIABLE: &str = "SHAKETABLE_GO_ADAPTER";

/// The process. Dropping it ends it.
pub(crate) struct Peer {
    child: Child,
    lines: RefCell<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Peer {
    /// Starts it, if there is one.
    pub(crate) fn start(etcd: &str) -> Option<Self> {
        let Some(adapter) = std::env::var_os(ADAPTER_VARIABLE) else {
            println!("registry: go-micro is left out: {ADAPTER_VARIABLE} names no adapter (fixtures/adapters/gomicro)");
            return None;
        };
        let mut command = Command::new(adapter);
        command.args(["bench", "etcd", etcd]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the adapter starts");
        let (input, output) = child.stdin.take().zip(child.stdout.take()).expect("both are pipes");
        Some(Self { child, lines: RefCell::new((input, BufReader::new(output))) })
    }

    /// What `order` takes so many times.
    pub(crate) fn takes(&self, order: &str, times: u64) -> Spent {
        let (input, output) = &mut *self.lines.borrow_mut();
        writeln!(input, "{order} {times}").expect("the adapter reads");
        let mut answer = String::new();
        output.read_line(&mut answer).expect("the adapter answers");
        let nanoseconds = answer.trim().parse().unwrap_or_else(|_| panic!("'{order} {times}' failed: '{answer}'"));
        // What it takes of the processor is not known here, and not compared.
        Spent { wall: Duration::from_nanos(nanoseconds), cpu: Duration::ZERO }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
