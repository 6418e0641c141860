//! A host of the live world: a thread with a runtime of its own, which one tells what to do. While it is paused, the thread
//! waits; when it ends, its tasks are dropped. It knows no network and no faults.

use std::net::IpAddr;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use shaketable_stack::Env;
use shaketable_stack::env::{Clock, Network};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::super::host::{Incarnation, Shared, env};
use crate::world::{Job, Program, WorldError};

/// How long a host may take to obey; one that takes longer never lets go of its thread.
const OBEYS_WITHIN: Duration = Duration::from_secs(10);

/// One life of a host.
#[derive(Debug)]
pub(super) struct LiveHost {
    name: String,
    commands: UnboundedSender<Command>,
    /// Says nothing, and ends with the thread.
    end: mpsc::Receiver<()>,
}

/// What a life begins with.
pub(super) struct Start {
    pub(super) name: String,
    pub(super) address: IpAddr,
    pub(super) number: u32,
    pub(super) shared: Shared,
    pub(super) network: Arc<dyn Network>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) program: Program,
}

/// Keeps a host from executing until it is dropped.
#[derive(Debug)]
pub(super) struct Pause {
    _go_on: mpsc::Sender<()>,
}

enum Command {
    Job(Job),
    Pause { stands: mpsc::Sender<()>, go_on: mpsc::Receiver<()> },
}

impl LiveHost {
    /// Starts a life.
    ///
    /// # Errors
    /// When this machine gives no thread.
    pub(super) fn start(start: Start) -> Result<Self, WorldError> {
        let (commands, told) = unbounded_channel();
        let (alive, end) = mpsc::channel();
        let name = start.name.clone();
        let broke = |error: &dyn std::fmt::Display| WorldError::Engine(format!("host {name} does not start: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| broke(&error))?;
        let thread = std::thread::Builder::new().name(start.name.clone()).spawn(move || {
            let _alive = alive;
            runtime.block_on(live(start, told));
            runtime.shutdown_background();
        });
        thread.map_err(|error| broke(&error))?;
        Ok(Self { name, commands, end })
    }

    /// Gives it something to do beside its program.
    ///
    /// # Errors
    /// The job, when it has ended.
    pub(super) fn submit(&self, job: Job) -> Result<(), Job> {
        self.commands.send(Command::Job(job)).map_err(|unsent| match unsent.0 {
            Command::Job(job) => job,
            Command::Pause { .. } => unreachable!("a job was sent"),
        })
    }

    /// Keeps it from executing, and returns when it stands still.
    ///
    /// # Errors
    /// When it does not.
    pub(super) fn pause(&self) -> Result<Pause, WorldError> {
        let ((stands, still), (_go_on, go_on)) = (mpsc::channel(), mpsc::channel());
        let sent = self.commands.send(Command::Pause { stands, go_on });
        let obeyed = sent.is_ok() && still.recv_timeout(OBEYS_WITHIN).is_ok();
        obeyed.then_some(Pause { _go_on }).ok_or_else(|| self.disobeys("stand still"))
    }

    /// Ends it, paused or not, and returns when its tasks are gone.
    ///
    /// # Errors
    /// When it does not end.
    pub(super) fn end(self, pause: Option<Pause>) -> Result<(), WorldError> {
        let Self { name, commands, end } = self;
        // In this order: who is paused finds nobody left to tell it anything when it goes on.
        drop(commands);
        drop(pause);
        match end.recv_timeout(OBEYS_WITHIN) {
            Err(mpsc::RecvTimeoutError::Disconnected) => Ok(()),
            _ => Err(disobeys(&name, "end")),
        }
    }

    fn disobeys(&self, what: &str) -> WorldError {
        disobeys(&self.name, what)
    }
}

fn disobeys(name: &str, what: &str) -> WorldError {
    WorldError::Engine(format!("host {name} did not {what} within {OBEYS_WITHIN:?}; a task of it blocks its thread"))
}

async fn live(start: Start, mut told: UnboundedReceiver<Command>) {
    let Start { name, address, number, shared, network, clock, program } = start;
    let env: Env = env(&shared, Incarnation { name: &name, address, number, network, clock });
    let _program = env.spawn("program", program(env.clone()));
    while let Some(command) = told.recv().await {
        match command {
            Command::Job(job) => env.spawn("job", job(env.clone())).detach(),
            Command::Pause { stands, go_on } => {
                // The thread waits, and with it every task of the host. It goes on when the other end is dropped, at the
                // latest with the world.
                let _ = stands.send(());
                let _ = go_on.recv();
            }
        }
    }
}
