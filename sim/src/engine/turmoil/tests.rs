//! What this engine promises, seen on hosts that echo.

use std::sync::Arc;
use std::time::Duration;

use shaketable_stack::Env;
use shaketable_stack::env::Namespace;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{TurmoilSetup, TurmoilWorld};
use crate::history::Moment;
use crate::scenario::model::Network;
use crate::trace::Tracer;
use crate::world::{Fault, HostSpec, World, WorldError};

fn world(seed: u64) -> (TurmoilWorld, Tracer) {
    let tracer = Tracer::new(false);
    let setup =
        TurmoilSetup { seed, network: Network::default(), tracer: tracer.clone(), namespace: Namespace::new("test") };
    (TurmoilWorld::new(setup), tracer)
}

fn echo(name: &str) -> HostSpec {
    HostSpec {
        name: name.to_owned(),
        program: Arc::new(|env: Env| {
            Box::pin(async move {
                let mut listener = env.network().listen(":80").await.unwrap();
                loop {
                    let Ok(mut stream) = listener.accept().await else { return };
                    env.spawn("echo", async move {
                        let mut buffer = [0; 1024];
                        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                            if stream.write_all(&buffer[..read]).await.is_err() {
                                return;
                            }
                        }
                    })
                    .detach();
                }
            })
        }),
    }
}

fn idle(name: &str) -> HostSpec {
    HostSpec { name: name.to_owned(), program: Arc::new(|_| Box::pin(async {})) }
}

fn ask(world: &mut dyn World, from: &str, to: &'static str) -> Result<String, WorldError> {
    world.on(from, Duration::from_secs(2), move |env| {
        Box::pin(async move {
            let ask = async {
                let mut stream = env.network().connect(&format!("{to}:80")).await?;
                stream.write_all(b"hello").await?;
                let mut buffer = [0; 5];
                stream.read_exact(&mut buffer).await?;
                Ok::<_, std::io::Error>(String::from_utf8_lossy(&buffer).into_owned())
            };
            match env.timeout(Duration::from_secs(1), ask).await {
                Ok(Ok(text)) => text,
                Ok(Err(error)) => format!("{:?}", error.kind()),
                Err(_) => "no answer".to_owned(),
            }
        })
    })
}

#[test]
fn faults_do_what_they_say_and_healing_undoes_them() {
    let (mut world, _) = world(1);
    let world: &mut dyn World = &mut world;
    world.add_host(echo("server")).unwrap();
    world.add_host(idle("client")).unwrap();
    assert_eq!(ask(world, "client", "server").unwrap(), "hello");
    assert_eq!(ask(world, "client", "nobody").unwrap(), "NotFound");

    let (client, server) = (vec!["client".to_owned()], vec!["server".to_owned()]);
    world.inflict(&Fault::Cut { from: server.clone(), to: client.clone() }).unwrap();
    assert_eq!(ask(world, "client", "server").unwrap(), "no answer");
    world.inflict(&Fault::Heal { from: server.clone(), to: client.clone() }).unwrap();
    assert_eq!(ask(world, "client", "server").unwrap(), "hello");

    world.inflict(&Fault::Hold { a: client.clone(), b: server.clone() }).unwrap();
    assert_eq!(ask(world, "client", "server").unwrap(), "no answer");
    world.inflict(&Fault::Release { a: client.clone(), b: server.clone() }).unwrap();
    assert_eq!(ask(world, "client", "server").unwrap(), "hello");

    world.inflict(&Fault::Crash { host: "server".to_owned(), fin: false }).unwrap();
    assert!(!world.is_running("server"));
    assert_eq!(ask(world, "client", "server").unwrap(), "no answer");
    assert!(matches!(ask(world, "server", "client"), Err(WorldError::NotRunning(_))));
    world.heal().unwrap();
    world.advance(world.now() + Duration::from_millis(100)).unwrap();
    assert_eq!(ask(world, "client", "server").unwrap(), "hello");

    world.inflict(&Fault::Latency { a: client, b: server, latency: Some(Duration::from_secs(3)) }).unwrap();
    assert_eq!(ask(world, "client", "server").unwrap(), "no answer");
    let pause = Fault::Pause { host: "server".to_owned() };
    assert!(matches!(world.inflict(&pause), Err(WorldError::Incapable { .. })));
}

#[test]
fn one_seed_gives_one_digest_and_another_seed_another() {
    let digest = |seed| {
        let (mut world, tracer) = world(seed);
        let world: &mut dyn World = &mut world;
        world.add_host(echo("server")).unwrap();
        world.add_host(idle("client")).unwrap();
        for _ in 0..5 {
            ask(world, "client", "server").unwrap();
        }
        world.advance(Moment::after(Duration::from_secs(3))).unwrap();
        assert!(tracer.count() > 30);
        tracer.digest(&world.recorder().take())
    };
    assert_eq!(digest(1), digest(1));
    assert_ne!(digest(1), digest(2));
}
