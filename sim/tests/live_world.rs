//! The live world on this machine's loopback network: hosts that talk, die, stand still and are cut off, in real time. Only
//! what cannot take long is waited for, and what must not happen is looked for as long as it takes to be noticed.
#![cfg(target_os = "linux")]

use std::sync::{Arc, mpsc};
use std::time::Duration;

use shaketable_sim::backend::{LiveBackend, LiveBackends};
use shaketable_sim::engine;
use shaketable_sim::engine::live::{self, LiveSetup, LiveWorld};
use shaketable_sim::run::{Job, RunFailure, run, run_live};
use shaketable_sim::world::{Fault, HostSpec, Program, World, WorldError};
use shaketable_stack::Env;
use shaketable_stack::env::Namespace;
use shaketable_stack::plugin::Plugins;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What must happen happens within this.
const SOON: Duration = Duration::from_secs(20);

/// What must not happen would have happened within this.
const A_WHILE: Duration = Duration::from_millis(300);

/// Listens at port 7 and gives back what it is sent.
fn echo() -> Program {
    Arc::new(|env: Env| {
        Box::pin(async move {
            let mut listener = env.network().listen(":7").await.expect("the port is free");
            while let Ok(stream) = listener.accept().await {
                let serve = async move {
                    let (mut read, mut write) = tokio::io::split(stream);
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                };
                env.spawn("echo", serve).detach();
            }
        })
    })
}

/// What a caller tells of each attempt: what came back, or the kind of error.
type Told = Result<Vec<u8>, std::io::ErrorKind>;

/// Sends one byte after the other over one connection and tells what comes back; connects again when it is torn.
fn caller(told: mpsc::Sender<Told>) -> Program {
    Arc::new(move |env: Env| {
        let told = told.clone();
        Box::pin(async move {
            loop {
                let Ok(mut stream) = env.network().connect("server:7").await else {
                    env.sleep(Duration::from_millis(10)).await;
                    continue;
                };
                for byte in (0..=u8::MAX).cycle() {
                    let mut back = [0; 1];
                    let asked = async {
                        stream.write_all(&[byte]).await?;
                        stream.read_exact(&mut back).await
                    };
                    let answer = asked.await.map(|_| back.to_vec()).map_err(|error| error.kind());
                    let is_torn = answer.is_err();
                    if told.send(answer).is_err() {
                        return;
                    }
                    if is_torn {
                        break;
                    }
                    env.sleep(Duration::from_millis(5)).await;
                }
            }
        })
    })
}

/// A server, and a caller that talks to it.
struct Stage {
    world: LiveWorld,
    told: mpsc::Receiver<Told>,
}

impl Stage {
    fn set_up() -> Self {
        let setup = LiveSetup { seed: 1, namespace: Namespace::new("live"), backends: Vec::new() };
        let mut world = LiveWorld::new(setup).expect("a world");
        let (tell, told) = mpsc::channel();
        for (name, program) in [("server", echo()), ("caller", caller(tell))] {
            world.add_host(HostSpec { name: name.to_owned(), program }).expect("a host");
        }
        let stage = Self { world, told };
        stage.talks();
        stage
    }

    /// The next answer comes soon, and is right.
    fn talks(&self) {
        assert_eq!(self.next().map(|bytes| bytes.len()), Ok(1));
    }

    fn next(&self) -> Told {
        self.told.recv_timeout(SOON).expect("the caller tells something")
    }

    /// What was under way has come; then nothing comes any more.
    fn falls_silent(&self) {
        while self.told.recv_timeout(A_WHILE).is_ok() {}
    }

    fn inflict(&mut self, fault: Fault) {
        self.world.inflict(&fault).expect("it can be done");
    }
}

fn names(name: &str) -> Vec<String> {
    vec![name.to_owned()]
}

/// The first error that is told.
fn torn(stage: &Stage) -> std::io::ErrorKind {
    std::iter::repeat_with(|| stage.next()).find_map(Result::err).expect("it goes on until then")
}

#[test]
fn what_a_cut_keeps_back_arrives_when_it_is_healed() {
    let mut stage = Stage::set_up();
    stage.inflict(Fault::Cut { from: names("caller"), to: names("server") });
    stage.falls_silent();
    stage.inflict(Fault::Heal { from: names("caller"), to: names("server") });
    stage.talks();
    stage.inflict(Fault::Hold { a: names("server"), b: names("caller") });
    stage.falls_silent();
    stage.world.heal().expect("it heals");
    stage.talks();
}

#[test]
fn a_slow_link_takes_its_time_in_both_directions() {
    let mut stage = Stage::set_up();
    let latency = Duration::from_millis(200);
    let (a, b) = (names("caller"), names("server"));
    stage.inflict(Fault::Latency { a, b, latency: Some(latency) });
    while stage.told.try_recv().is_ok() {}
    // The first may have been under way.
    stage.talks();
    let before = stage.world.now();
    stage.talks();
    assert!(stage.world.now().since(before) >= latency * 2 - Duration::from_millis(20));
}

#[test]
fn a_reset_is_told_to_both_ends_and_new_connections_can_be_made() {
    let mut stage = Stage::set_up();
    stage.inflict(Fault::Reset { a: names("server"), b: names("caller") });
    assert_eq!(torn(&stage), std::io::ErrorKind::ConnectionReset);
    stage.talks();
}

#[test]
fn who_is_paused_does_nothing_and_goes_on() {
    for host in ["server", "caller"] {
        let mut stage = Stage::set_up();
        stage.inflict(Fault::Pause { host: host.to_owned() });
        stage.falls_silent();
        stage.inflict(Fault::Resume { host: host.to_owned() });
        stage.talks();
    }
}

#[test]
fn who_dies_with_a_sign_closes_connections_at_once() {
    let mut stage = Stage::set_up();
    stage.inflict(Fault::Crash { host: "server".to_owned(), fin: true });
    assert!(!stage.world.is_running("server"));
    torn(&stage);
    stage.inflict(Fault::Restart { host: "server".to_owned() });
    stage.talks();
}

#[test]
fn who_dies_without_a_sign_is_silent_until_it_comes_up_again() {
    let mut stage = Stage::set_up();
    stage.inflict(Fault::Crash { host: "server".to_owned(), fin: false });
    stage.falls_silent();
    assert!(stage.told.recv_timeout(A_WHILE).is_err(), "its peer was told of its death");
    stage.inflict(Fault::Restart { host: "server".to_owned() });
    assert_eq!(torn(&stage), std::io::ErrorKind::ConnectionReset);
    stage.talks();
}

#[test]
fn a_date_is_moved_and_the_time_that_passes_is_not() {
    let mut stage = Stage::set_up();
    let dates = |stage: &mut Stage| {
        let look = |env: Env| (env.clock().wall(), env.now());
        let world: &mut dyn World = &mut stage.world;
        let moved = world.on("server", SOON, move |env| Box::pin(async move { look(env) })).expect("it answers");
        let right = world.on("caller", SOON, move |env| Box::pin(async move { look(env) })).expect("it answers");
        (right.0.duration_since(moved.0).unwrap_or_default(), right.1.saturating_since(moved.1))
    };
    stage.inflict(Fault::Skew { host: "server".to_owned(), by_ns: -3_600_000_000_000 });
    let (date, time) = dates(&mut stage);
    assert!(date >= Duration::from_secs(3_600) && time < SOON, "{date:?} {time:?}");
    stage.inflict(Fault::Skew { host: "server".to_owned(), by_ns: 0 });
    assert!(dates(&mut stage).0 < SOON);
}

#[test]
fn what_it_cannot_do_is_refused() {
    use shaketable_sim::scenario::model::LossGranularity;
    let mut stage = Stage::set_up();
    let (a, b) = (names("server"), names("caller"));
    let loss = Fault::Loss { a, b, probability: 0.5, granularity: LossGranularity::Packet };
    assert!(matches!(stage.world.inflict(&loss), Err(WorldError::Incapable { engine: "live", .. })));
    let nobody = Fault::Pause { host: "nobody".to_owned() };
    assert_eq!(stage.world.inflict(&nobody), Err(WorldError::UnknownHost("nobody".to_owned())));
}

#[test]
fn it_is_no_engine_that_a_sweep_a_replay_or_a_test_of_determinism_could_find() {
    assert!(engine::engines().iter().all(|engine| engine.name != live::NAME && !engine.is_live));
    assert!(engine::engine(live::NAME).is_none() && live::info().is_live);
    let job = Job {
        file: "any.yaml".to_owned(),
        text: "name: any\nservices: { api: { replicas: 1 } }\nexpect: { nothing_hangs: { within: 1s } }\n".to_owned(),
        overrides: String::new(),
        seed: 0,
        engine: live::NAME.to_owned(),
        keep: false,
    };
    let refused = run(&job, &Plugins::reference()).unwrap_err();
    assert_eq!(refused, RunFailure::BadInput("no engine is called 'live'".to_owned()));
}

#[test]
fn a_run_that_would_take_longer_than_it_may_and_a_server_that_is_not_there_are_told_before_anything_runs() {
    /// Has nothing.
    #[derive(Debug)]
    struct Nothing;
    impl LiveBackends for Nothing {
        fn start(&self, kind: &str, _members: u32) -> Result<Arc<dyn LiveBackend>, String> {
            Err(format!("there is no {kind}"))
        }
    }
    let text = "name: any\nservices: { api: { replicas: 1 } }\nstack: { registry: etcd }\nexpect: { nothing_hangs: { within: 1s } }\n";
    let job = Job {
        file: "any.yaml".to_owned(),
        text: text.to_owned(),
        overrides: String::new(),
        seed: 0,
        engine: live::NAME.to_owned(),
        keep: false,
    };
    let refused = |limit| run_live(&job, &Plugins::reference(), &Nothing, limit).unwrap_err();
    match refused(SOON) {
        RunFailure::BadInput(text) => assert!(text.contains("takes 1m") && text.contains("--run-timeout 2m"), "{text}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(refused(SOON * 10), RunFailure::Harness("there is no etcd".to_owned()));
}

#[test]
fn a_panic_of_a_host_is_told() {
    let mut stage = Stage::set_up();
    let broken: Program = Arc::new(|_| Box::pin(async { panic!("out of luck") }));
    stage.world.add_host(HostSpec { name: "broken".to_owned(), program: broken }).expect("a host");
    let until = stage.world.now() + SOON;
    match stage.world.advance(until) {
        Err(WorldError::Panicked { host, text }) => assert_eq!((&*host, &*text), ("broken", "panic: out of luck")),
        other => panic!("{other:?}"),
    }
}
