//! The program of a host whose service is the user's own: it registers the service where it does not do so itself, and lets it
//! leave and come back when it is told. The service is somebody else's; it is started, ended and looked at, and nothing more.

use std::sync::Arc;
use std::time::Duration;

use shaketable_stack::env::Task;
use shaketable_stack::registry::{DeregisterOptions, Node, RegisterOptions, Registry, Service as Record};
use shaketable_stack::{Env, Error, ErrorKind, Result};

use super::host::{Command, HostControl, HostPlan, RESTART_PAUSE};
use crate::decorate::{RecordedRegistry, Scribe, done};
use crate::engine::live::OwnHost;
use crate::history::Operation;
use crate::world::Program;

/// How often a service that was asked to end, or that starts, is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The program of the host of `own`.
pub fn own_program(plan: HostPlan, own: OwnHost, control: HostControl) -> Program {
    Arc::new(move |env: Env| {
        let (plan, own, control) = (plan.clone(), own.clone(), control.clone());
        Box::pin(async move { run(env, plan, own, control).await })
    })
}

async fn run(env: Env, plan: HostPlan, own: OwnHost, control: HostControl) {
    let scribe = Scribe::new(plan.recorder.clone(), env.clone());
    until_reached(&env, &own).await;
    for time in 1_u32.. {
        // Each registration has an id of its own, as those of the stack's servers have.
        let id = format!("{}-{}-{time}", own.host(), env.host().incarnation);
        let registered = match own.runs().registers_itself() {
            true => None,
            false => Some(Registered::begin(&env, &plan, &own, &scribe, &id).await),
        };
        let stays_away = loop {
            match control.next().await {
                Command::Leave => break true,
                Command::Flap => break false,
                Command::Join | Command::Move | Command::Metadata(_) | Command::Version(_) => {}
            }
        };
        if let Some(registered) = registered {
            registered.end().await;
        }
        // What it did not do in time is in the history.
        let _ = leave(&env, &own, &scribe).await;
        while stays_away && control.next().await != Command::Join {}
        while own.service().start_again().is_err() {
            env.sleep(RESTART_PAUSE).await;
        }
        until_reached(&env, &own).await;
    }
}

/// Waits until the service takes a connection, so that nobody is sent to it before; not for ever.
async fn until_reached(env: &Env, own: &OwnHost) {
    let address = own.service().address();
    let reaching = async {
        while env.network().connect(&address).await.is_err() {
            env.sleep(LOOK_EVERY).await;
        }
    };
    // If it never does, that is what its callers see.
    let _ = env.timeout(own.runs().ready_within(), reaching).await;
}

/// Lets the service end as it likes. It is asked to leave, so where it registers itself this is a deregistration: who has ended
/// in order has said that it is gone.
async fn leave(env: &Env, own: &OwnHost, scribe: &Scribe) -> Result<()> {
    let nodes = own.nodes();
    let ending = end(env, own);
    if nodes.is_empty() {
        return ending.await;
    }
    let operation = Operation::Deregister { service: own.group().to_owned(), nodes };
    scribe.around(operation, done, ending).await
}

async fn end(env: &Env, own: &OwnHost) -> Result<()> {
    let failed = |kind, text: String| Error::new(kind, "stop").detail(text);
    let broke = |text| failed(ErrorKind::Internal, text);
    let service = own.service();
    service.terminate().map_err(broke)?;
    let deadline = env.now() + own.stops_within();
    while service.ended().map_err(broke)?.is_none() {
        if env.now() >= deadline {
            service.kill().map_err(broke)?;
            let within = own.stops_within();
            return Err(failed(
                ErrorKind::Timeout,
                format!("it did not end within {within:?} of SIGTERM, and was killed"),
            ));
        }
        env.sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// A registration that is made for a service, and renewed until it is let go.
struct Registered {
    registry: Arc<dyn Registry>,
    record: Record,
    renewal: Task,
}

impl Registered {
    /// Registers, and tries again until it has, as a supervisor would.
    async fn begin(env: &Env, plan: &HostPlan, own: &OwnHost, scribe: &Scribe, id: &str) -> Self {
        loop {
            match Self::make(env, plan, own, scribe, id).await {
                Ok(registered) => return registered,
                // It is in the history.
                Err(_) => env.sleep(RESTART_PAUSE).await,
            }
        }
    }

    async fn make(env: &Env, plan: &HostPlan, own: &OwnHost, scribe: &Scribe, id: &str) -> Result<Self> {
        let chosen = &plan.choices.registry;
        let make = &plan.plugins.registries.get(&chosen.plugin)?.factory;
        let registry = make(env.clone(), chosen.settings.clone()).await?;
        let registry: Arc<dyn Registry> = Arc::new(RecordedRegistry::new(registry, scribe.clone()));
        let service = plan.scenario.services.get(own.group());
        let service = service.ok_or_else(|| Error::new(ErrorKind::NotFound, "register"))?;
        let node = Node { id: id.to_owned(), address: own.service().address(), metadata: service.metadata.clone() };
        let record = Record {
            name: own.group().to_owned(),
            version: service.version.clone(),
            nodes: vec![node],
            ..Record::default()
        };
        let options = RegisterOptions { ttl: Some(service.register_ttl) };
        registry.register(&record, options.clone()).await?;
        let (again, of_task, every, clock) = (registry.clone(), record.clone(), service.register_interval, env.clone());
        let renewal = env.spawn("registration", async move {
            loop {
                clock.sleep(every).await;
                // What fails is in the history, and the next one mends it.
                let _ = again.register(&of_task, options.clone()).await;
            }
        });
        Ok(Self { registry, record, renewal })
    }

    /// Errors are in the history.
    async fn end(self) {
        drop(self.renewal);
        let _ = self.registry.deregister(&self.record, DeregisterOptions::default()).await;
        let _ = self.registry.close().await;
    }
}
