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
        let (mut answer, before) = (String::new(), cpu_time(&self.child));
        writeln!(input, "{order} {times}").expect("the adapter reads");
        output.read_line(&mut answer).expect("the adapter answers");
        let cpu = cpu_time(&self.child).saturating_sub(before);
        let nanoseconds = answer.trim().parse().unwrap_or_else(|_| panic!("'{order} {times}' failed: '{answer}'"));
        Spent { wall: Duration::from_nanos(nanoseconds), cpu }
    }
}

/// What the threads of `child` have had of the processor until now (the kernel's `Documentation/scheduler/sched-stats.rst`). It
/// includes what an order does before and after its time is taken.
fn cpu_time(child: &Child) -> Duration {
    let threads =
        std::fs::read_dir(format!("/proc/{}/task", child.id())).expect("Linux lists the threads of the adapter");
    let of_thread = |thread: std::fs::DirEntry| -> Option<u64> {
        // A thread may end meanwhile.
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    Duration::from_nanos(threads.flatten().filter_map(of_thread).sum())
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
