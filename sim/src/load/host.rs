//! The program of a host: stands its stack up, serves and loads, and leaves, joins or changes when it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use shaketable_stack::env::Task;
use shaketable_stack::plugin::Plugins;
use shaketable_stack::{Env, Result};
use tokio::sync::Notify;

use super::{calls, events, probe, watch};
use crate::history::Recorder;
use crate::plan::PlannedLoad;
use crate::scenario::model::{Load, Scenario};
use crate::stand::{Choices, Identity, Standing};
use crate::world::Program;

/// How long a host waits before it tries again to start, as a supervisor would.
pub(super) const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// What a host is there for.
#[derive(Clone)]
pub struct HostPlan {
    /// The scenario.
    pub scenario: Arc<Scenario>,
    /// The plugins.
    pub plugins: Arc<Plugins>,
    /// Which of them.
    pub choices: Arc<Choices>,
    /// Writes the history.
    pub recorder: Recorder,
    /// The service that it runs; none for a host that only calls.
    pub identity: Option<Identity>,
    /// Its loads.
    pub loads: Vec<PlannedLoad>,
    /// The seed and when loads begin and end.
    pub timing: Timing,
}

/// The seed of the run and when loads begin and end, from the start of the world.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// The seed.
    pub seed: u64,
    /// Loads begin.
    pub loads_at: Duration,
    /// Loads end.
    pub end_at: Duration,
}

/// What a host may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Start again after a leave.
    Join,
    /// Stop gracefully.
    Leave,
    /// Deregister and register at once.
    Flap,
    /// Stop and start at another port.
    Move,
    /// Register with another value of the label `churn`.
    Metadata(String),
    /// Register with another version.
    Version(String),
}

/// Tells a host what to do, and looks at its stack.
#[derive(Clone, Default)]
pub struct HostControl {
    shared: Arc<Control>,
}

#[derive(Default)]
struct Control {
    commands: Mutex<VecDeque<Command>>,
    arrived: Notify,
    standing: Mutex<Weak<Standing>>,
}

impl HostControl {
    /// Tells the host.
    pub fn tell(&self, command: Command) {
        lock(&self.shared.commands).push_back(command);
        self.shared.arrived.notify_one();
    }

    /// The stack that stands now.
    pub fn standing(&self) -> Option<Arc<Standing>> {
        lock(&self.shared.standing).upgrade()
    }

    /// Forgets commands that a host that has died will never see.
    pub fn clear(&self) {
        lock(&self.shared.commands).clear();
        *lock(&self.shared.standing) = Weak::new();
    }

    pub(super) async fn next(&self) -> Command {
        loop {
            let arrived = self.shared.arrived.notified();
            if let Some(command) = lock(&self.shared.commands).pop_front() {
                return command;
            }
            arrived.await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The program of the host that `plan` describes.
pub fn program(plan: HostPlan, control: HostControl) -> Program {
    Arc::new(move |env: Env| {
        let (plan, control) = (plan.clone(), control.clone());
        Box::pin(async move { run(env, plan, control).await })
    })
}

async fn run(env: Env, plan: HostPlan, control: HostControl) {
    let mut identity = plan.identity.clone();
    loop {
        let Ok(life) = Life::start(&env, &plan, identity.as_ref(), &control).await else {
            env.sleep(RESTART_PAUSE).await;
            continue;
        };
        let stay_away = loop {
            match control.next().await {
                Command::Join => {}
                Command::Leave => break true,
                Command::Move => break false,
                Command::Flap => life.flap().await,
                Command::Metadata(value) => {
                    if let Some(identity) = &mut identity {
                        identity.metadata.insert("churn".to_owned(), value);
                        life.change(identity).await;
                    }
                }
                Command::Version(version) => {
                    if let Some(identity) = &mut identity {
                        identity.version = version;
                        life.change(identity).await;
                    }
                }
            }
        };
        life.end().await;
        while stay_away && control.next().await != Command::Join {}
    }
}

/// A stack from start to stop.
struct Life {
    standing: Arc<Standing>,
    tasks: Vec<Task>,
}

impl Life {
    async fn start(env: &Env, plan: &HostPlan, identity: Option<&Identity>, control: &HostControl) -> Result<Self> {
        let standing = Arc::new(Standing::new(env, &plan.recorder, &plan.plugins, &plan.choices, identity).await?);
        let mut life = Self { standing: standing.clone(), tasks: Vec::new() };
        if let Err(error) = life.begin(plan).await {
            life.end().await;
            return Err(error);
        }
        *lock(&control.shared.standing) = Arc::downgrade(&standing);
        Ok(life)
    }

    async fn begin(&mut self, plan: &HostPlan) -> Result<()> {
        let standing = self.standing.clone();
        let loads = plan.loads.iter().map(|load| (load, &plan.scenario.load[load.entry]));
        if let Some(service) = &standing.service {
            let server = service.server();
            server.handle(probe::handler(&standing.env, Arc::downgrade(&server)))?;
            for (_, load) in loads.clone() {
                if let Some(subscribe) = &load.subscribe {
                    server.subscribe(events::subscription(&standing.env, subscribe))?;
                }
            }
            service.start().await?;
        }
        for (planned, load) in loads {
            self.load(plan, planned, load).await?;
        }
        Ok(())
    }

    async fn load(&mut self, plan: &HostPlan, planned: &PlannedLoad, load: &Load) -> Result<()> {
        let standing = &self.standing;
        if let Some(calls) = &load.calls {
            let work = plan.scenario.services.get(&calls.to).map(|service| service.work).unwrap_or_default();
            self.tasks.extend(calls::start(standing, &plan.timing, planned, calls, work));
        }
        if let Some(publish) = &load.publish {
            self.tasks.push(events::publish(standing, &plan.timing, planned, publish));
        }
        if let (Some(subscribe), None) = (&load.subscribe, &standing.service) {
            events::subscribe(standing, subscribe).await?;
        }
        if let Some(watched) = &load.watch {
            self.tasks.push(watch::start(standing, watched));
        }
        Ok(())
    }

    /// Errors are in the history, and the heartbeat mends what failed.
    async fn flap(&self) {
        if let Some(service) = &self.standing.service {
            let _ = service.server().deregister().await;
            let _ = service.server().register().await;
        }
    }

    async fn change(&self, identity: &Identity) {
        let Some(service) = &self.standing.service else { return };
        let server = service.server();
        let mut options = server.options();
        options.version.clone_from(&identity.version);
        options.metadata.extend(identity.metadata.clone());
        if server.init(options).is_ok() {
            let _ = server.register().await;
        }
    }

    async fn end(mut self) {
        self.tasks.clear();
        if let Some(service) = &self.standing.service {
            let _ = service.stop().await;
        }
        self.standing.close().await;
    }
}
