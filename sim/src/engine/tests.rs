//! What every engine promises, and what one alone does, seen on hosts that echo.
#![expect(
    clippy::disallowed_methods,
    reason = "libraries spawn and sleep by themselves, and engines hold them all the same"
)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use shaketable_stack::Env;
use shaketable_stack::env::Namespace;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Setup, engines, world};
use crate::determinism::activate;
use crate::history::Moment;
use crate::scenario::model::{LossGranularity, Network};
use crate::trace::Tracer;
use crate::world::{Capability, Distribution, Fault, HostSpec, LinkQuality, World, WorldError};

/// Shakes a world on every engine that can do `needed`.
fn on_engines(needed: &[Capability], shake: impl Fn(&mut dyn World)) {
    let able = engines().into_iter().filter(|engine| needed.iter().all(|need| engine.capabilities.contains(need)));
    let mut shaken = 0;
    for engine in able {
        with_world(engine.name, 1, |world, _| shake(world));
        shaken += 1;
    }
    assert!(shaken > 0, "no engine can do {needed:?}");
}

fn with_world<T>(engine: &str, seed: u64, shake: impl FnOnce(&mut dyn World, &Tracer) -> T) -> T {
    let _guard = activate(seed);
    let tracer = Tracer::new(false);
    let (network, namespace) = (Network::default(), Namespace::new("test"));
    let mut world = world(engine, Setup { seed, network, tracer: tracer.clone(), namespace }).unwrap();
    shake(&mut *world, &tracer)
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

/// Counts, once in 100 ms of the host's own time, in a task that it spawns around its `Env`, as a library would.
fn counter(name: &str, count: &Arc<AtomicU64>) -> HostSpec {
    let count = count.clone();
    HostSpec {
        name: name.to_owned(),
        program: Arc::new(move |_| {
            let count = count.clone();
            Box::pin(async move {
                drop(tokio::spawn(async move {
                    loop {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }));
            })
        }),
    }
}

fn names(name: &str) -> Vec<String> {
    vec![name.to_owned()]
}

fn ask(world: &mut dyn World, from: &str, to: &'static str) -> Result<String, WorldError> {
    ask_for(world, from, to, Duration::from_secs(1))
}

fn ask_for(world: &mut dyn World, from: &str, to: &'static str, within: Duration) -> Result<String, WorldError> {
    world.on(from, within * 2, move |env| {
        Box::pin(async move {
            let ask = async {
                let mut stream = env.network().connect(&format!("{to}:80")).await?;
                stream.write_all(b"hello").await?;
                let mut buffer = [0; 5];
                stream.read_exact(&mut buffer).await?;
                Ok::<_, std::io::Error>(String::from_utf8_lossy(&buffer).into_owned())
            };
            match env.timeout(within, ask).await {
                Ok(Ok(text)) => text,
                Ok(Err(error)) => format!("{:?}", error.kind()),
                Err(_) => "no answer".to_owned(),
            }
        })
    })
}

fn pass(world: &mut dyn World, time: Duration) {
    world.advance(world.now() + time).unwrap();
}

#[test]
fn faults_do_what_they_say_and_healing_undoes_them() {
    on_engines(&[], |world| {
        world.add_host(echo("server")).unwrap();
        world.add_host(idle("client")).unwrap();
        assert_eq!(ask(world, "client", "server").unwrap(), "hello");
        assert_eq!(ask(world, "client", "nobody").unwrap(), "NotFound");

        let (client, server) = (names("client"), names("server"));
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
        pass(world, Duration::from_millis(100));
        assert_eq!(ask(world, "client", "server").unwrap(), "hello");

        world.inflict(&Fault::Latency { a: client, b: server, latency: Some(Duration::from_secs(3)) }).unwrap();
        assert_eq!(ask(world, "client", "server").unwrap(), "no answer");
    });
}

#[test]
fn what_an_engine_cannot_do_it_refuses() {
    let pause = Fault::Pause { host: "server".to_owned() };
    with_world("turmoil", 1, |world, _| {
        world.add_host(idle("server")).unwrap();
        assert!(matches!(world.inflict(&pause), Err(WorldError::Incapable { .. })));
    });
}

#[test]
fn one_seed_gives_one_digest_and_another_seed_another() {
    for engine in engines() {
        let digest = |seed| {
            with_world(engine.name, seed, |world, tracer| {
                world.add_host(echo("server")).unwrap();
                world.add_host(idle("client")).unwrap();
                for _ in 0..5 {
                    ask(world, "client", "server").unwrap();
                }
                world.advance(Moment::after(Duration::from_secs(3))).unwrap();
                assert!(tracer.count() > 30);
                tracer.digest(&world.recorder().take())
            })
        };
        assert_eq!(digest(1), digest(1), "{}", engine.name);
        assert_ne!(digest(1), digest(2), "{}", engine.name);
    }
}

#[test]
fn a_dead_program_is_refused_and_a_dead_machine_is_silent() {
    on_engines(&[Capability::PacketLoss], |world| {
        world.add_host(echo("server")).unwrap();
        world.add_host(idle("client")).unwrap();
        assert_eq!(ask(world, "client", "client").unwrap(), "ConnectionRefused");
        world.inflict(&Fault::Crash { host: "server".to_owned(), fin: true }).unwrap();
        assert_eq!(ask(world, "client", "server").unwrap(), "ConnectionRefused");
        world.inflict(&Fault::Restart { host: "server".to_owned() }).unwrap();
        assert_eq!(ask(world, "client", "server").unwrap(), "hello");
        world.inflict(&Fault::Crash { host: "server".to_owned(), fin: false }).unwrap();
        assert_eq!(ask_for(world, "client", "server", Duration::from_secs(60)).unwrap(), "no answer");
        assert_eq!(ask_for(world, "client", "server", Duration::from_secs(200)).unwrap(), "TimedOut");
    });
}

/// A connection that was open when its peer lost power is reset when it speaks to the peer's successor.
#[test]
fn a_half_open_connection_is_reset_by_the_peers_next_life() {
    on_engines(&[Capability::PacketLoss], |world| {
        world.add_host(echo("server")).unwrap();
        world.add_host(idle("client")).unwrap();
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let tell = told.clone();
        world
            .submit(
                "client",
                Box::new(move |env| {
                    Box::pin(async move {
                        let mut stream = env.network().connect("server:80").await.unwrap();
                        env.sleep(Duration::from_secs(5)).await;
                        let written = stream.write_all(b"hello").await.map_err(|error| error.kind());
                        let read = stream.read(&mut [0; 5]).await.map_err(|error| error.kind());
                        tell.lock().unwrap().push(format!("{written:?} {read:?} at {:?}", env.now().since_origin()));
                    })
                }),
            )
            .unwrap();
        pass(world, Duration::from_secs(1));
        world.inflict(&Fault::Crash { host: "server".to_owned(), fin: false }).unwrap();
        world.inflict(&Fault::Restart { host: "server".to_owned() }).unwrap();
        pass(world, Duration::from_secs(10));
        let told = told.lock().unwrap().join("; ");
        assert!(told.starts_with("Ok(()) Err(ConnectionReset) at 5.0"), "{told}");
    });
}

/// A reset is told to both ends, whatever they wait for; what had arrived before is still read, and the peer can be dialled.
#[test]
fn connections_of_a_pair_are_reset_and_others_are_not() {
    on_engines(&[Capability::Reset], |world| {
        for name in ["server", "client", "other"] {
            world.add_host(if name == "server" { echo(name) } else { idle(name) }).unwrap();
        }
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        for name in ["client", "other"] {
            let tell = told.clone();
            let talk = move |env: Env| async move {
                let mut stream = env.network().connect("server:80").await.unwrap();
                stream.write_all(b"hello").await.unwrap();
                env.sleep(Duration::from_secs(2)).await;
                let mut buffer = [0; 5];
                let first = stream.read_exact(&mut buffer).await.map_err(|error| error.kind());
                let second = env.timeout(Duration::from_secs(1), stream.read(&mut buffer)).await;
                let second = second.map(|read| read.map_err(|error| error.kind()));
                tell.lock().unwrap().push(format!("{name}: {first:?} {second:?}"));
            };
            world.submit(name, Box::new(move |env| Box::pin(talk(env)))).unwrap();
        }
        pass(world, Duration::from_secs(1));
        world.inflict(&Fault::Reset { a: names("client"), b: names("server") }).unwrap();
        pass(world, Duration::from_secs(5));
        let mut told = told.lock().unwrap().clone();
        told.sort();
        assert_eq!(told, ["client: Ok(5) Ok(Err(ConnectionReset))", "other: Ok(5) Err(Elapsed)"]);
        assert_eq!(ask(world, "client", "server").unwrap(), "hello");
    });
}

#[test]
fn what_libraries_spawn_stops_with_a_paused_or_dead_host_and_starts_clean() {
    on_engines(&[Capability::Pause], |world| {
        let count = Arc::<AtomicU64>::default();
        world.add_host(counter("host", &count)).unwrap();
        let counted = || count.swap(0, Ordering::Relaxed);
        pass(world, Duration::from_secs(1));
        assert!((9..=10).contains(&counted()));
        world.inflict(&Fault::Pause { host: "host".to_owned() }).unwrap();
        pass(world, Duration::from_secs(5));
        assert_eq!(counted(), 0);
        world.inflict(&Fault::Resume { host: "host".to_owned() }).unwrap();
        pass(world, Duration::from_secs(1));
        assert!((9..=11).contains(&counted()), "one sleep is overdue, the others are not made up for");
        world.inflict(&Fault::Crash { host: "host".to_owned(), fin: true }).unwrap();
        assert_eq!(Arc::strong_count(&count), 2, "the dead task's own count is gone");
        pass(world, Duration::from_secs(5));
        assert_eq!(counted(), 0);
        world.inflict(&Fault::Restart { host: "host".to_owned() }).unwrap();
        pass(world, Duration::from_secs(1));
        assert!((9..=10).contains(&counted()), "one task counts, not two");
    });
}

#[test]
fn a_paused_host_answers_late_and_loses_nothing() {
    on_engines(&[Capability::Pause], |world| {
        world.add_host(echo("server")).unwrap();
        world.add_host(idle("client")).unwrap();
        pass(world, Duration::from_millis(10));
        world.inflict(&Fault::Pause { host: "server".to_owned() }).unwrap();
        assert_eq!(ask(world, "client", "server").unwrap(), "no answer");
        let told: Arc<Mutex<Option<Duration>>> = Arc::default();
        let tell = told.clone();
        let job = move |env: Env| async move {
            let mut stream = env.network().connect("server:80").await.unwrap();
            stream.write_all(b"hello").await.unwrap();
            stream.read_exact(&mut [0; 5]).await.unwrap();
            *tell.lock().unwrap() = Some(env.now().since_origin());
        };
        world.submit("client", Box::new(move |env| Box::pin(job(env)))).unwrap();
        pass(world, Duration::from_secs(30));
        assert_eq!(*told.lock().unwrap(), None);
        world.inflict(&Fault::Resume { host: "server".to_owned() }).unwrap();
        let resumed = world.now().since_start();
        pass(world, Duration::from_secs(1));
        let told = told.lock().unwrap().expect("an answer");
        assert!(told > resumed && told < resumed + Duration::from_millis(50), "{told:?}");
    });
}

#[test]
fn lost_packets_are_sent_again_and_other_qualities_break_no_stream() {
    on_engines(&[Capability::LinkQuality, Capability::PacketLoss], |world| {
        world.add_host(echo("server")).unwrap();
        world.add_host(idle("client")).unwrap();
        let (client, server) = (names("client"), names("server"));
        let loss = Fault::Loss {
            a: client.clone(),
            b: server.clone(),
            probability: 0.2,
            granularity: LossGranularity::Packet,
        };
        world.inflict(&loss).unwrap();
        let quality = LinkQuality {
            latency: Some(Distribution::LongTail { median: Duration::from_micros(300), p99: Duration::from_millis(9) }),
            duplicate: 0.2,
            reorder: 0.2,
            corrupt: 0.05,
            bandwidth: Some(100_000),
            ..LinkQuality::default()
        };
        let link = Fault::Link { from: client.clone(), to: server.clone(), quality: Some(quality) };
        world.inflict(&link).unwrap();
        for _ in 0..20 {
            assert_eq!(ask_for(world, "client", "server", Duration::from_secs(90)).unwrap(), "hello");
        }
    });
}

#[test]
fn bandwidth_is_what_it_takes() {
    on_engines(&[Capability::LinkQuality], |world| {
        world.add_host(echo("server")).unwrap();
        world.add_host(idle("client")).unwrap();
        let quality = LinkQuality { bandwidth: Some(1_000_000), ..LinkQuality::default() };
        world.inflict(&Fault::Link { from: names("client"), to: names("server"), quality: Some(quality) }).unwrap();
        let took = world
            .on("client", Duration::from_secs(60), |env| {
                Box::pin(async move {
                    let stream = env.network().connect("server:80").await.unwrap();
                    let began = env.now();
                    let (mut reader, mut writer) = tokio::io::split(stream);
                    let sent = env.spawn("send", async move { writer.write_all(&vec![7; 2_000_000]).await.unwrap() });
                    let mut buffer = vec![0; 2_000_000];
                    reader.read_exact(&mut buffer).await.unwrap();
                    sent.join().await;
                    env.now() - began
                })
            })
            .unwrap();
        // 2 MB and their headers at 1 MB/s; the queue may overflow while the sender looks for its pace.
        assert!((2.0..3.0).contains(&took.as_secs_f64()), "{took:?}");
    });
}

#[test]
fn a_skewed_host_has_another_date_and_the_same_pace() {
    on_engines(&[Capability::Skew], |world| {
        world.add_host(idle("host")).unwrap();
        let look = |world: &mut dyn World| {
            world
                .on("host", Duration::from_secs(1), |env| {
                    Box::pin(
                        async move { (env.clock().wall(), SystemTime::now(), env.now(), std::time::Instant::now()) },
                    )
                })
                .unwrap()
        };
        let before = look(world);
        assert_eq!(before.0, before.1);
        world.inflict(&Fault::Skew { host: "host".to_owned(), by_ns: -3_600_000_000_000 }).unwrap();
        let after = look(world);
        assert_eq!(after.0, after.1);
        assert!(after.0 < before.0 - Duration::from_secs(3_599));
        assert!(after.2 - before.2 < Duration::from_millis(10) && after.3 - before.3 < Duration::from_millis(10));
        world.heal().unwrap();
        assert!(look(world).0 > before.0);
    });
}

#[test]
fn datagrams_reach_one_host_or_a_group_and_are_lost_with_their_packet() {
    on_engines(&[Capability::PacketLoss], |world| {
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        for name in ["a", "b", "c"] {
            world.add_host(idle(name)).unwrap();
            let heard = heard.clone();
            let listen = move |env: Env| async move {
                let socket = env.network().datagram(":5353").await.unwrap();
                if env.host().name != "c" {
                    socket.join_multicast("224.0.0.251".parse().unwrap()).unwrap();
                }
                let mut buffer = [0; 64];
                while let Ok((length, _)) = socket.receive_from(&mut buffer).await {
                    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                    heard.lock().unwrap().push(format!("{}: {text}", env.host().name));
                }
            };
            world.submit(name, Box::new(move |env| Box::pin(listen(env)))).unwrap();
        }
        pass(world, Duration::from_millis(1));
        let say = |world: &mut dyn World, to: &'static str| {
            world
                .on("c", Duration::from_secs(1), move |env| {
                    Box::pin(async move {
                        let socket = env.network().datagram(":0").await.unwrap();
                        let target = match to.parse() {
                            Ok(address) => address,
                            Err(_) => env.network().lookup(to).await.unwrap()[0],
                        };
                        socket.send_to(b"hi", (target, 5353).into()).await.unwrap();
                    })
                })
                .unwrap();
            pass(world, Duration::from_millis(100));
            let mut heard = std::mem::take(&mut *heard.lock().unwrap());
            heard.sort_unstable();
            heard
        };
        assert_eq!(say(world, "b"), ["b: hi"]);
        assert_eq!(say(world, "224.0.0.251"), ["a: hi", "b: hi"]);
        let quality = LinkQuality { loss: 1.0, ..LinkQuality::default() };
        world.inflict(&Fault::Link { from: names("c"), to: names("a"), quality: Some(quality) }).unwrap();
        assert_eq!(say(world, "224.0.0.251"), ["b: hi"]);
        let quality = LinkQuality { duplicate: 1.0, ..LinkQuality::default() };
        world.inflict(&Fault::Link { from: names("c"), to: names("b"), quality: Some(quality) }).unwrap();
        assert_eq!(say(world, "b"), ["b: hi", "b: hi"]);
    });
}

#[test]
fn tasks_of_two_hosts_that_share_memory_wake_each_other() {
    on_engines(&[], |world| {
        #[derive(Default)]
        struct Bell(tokio::sync::Notify);
        world.add_host(idle("a")).unwrap();
        world.add_host(idle("b")).unwrap();
        let at: Arc<Mutex<Option<Duration>>> = Arc::default();
        let rung = at.clone();
        let wait = move |env: Env| async move {
            env.namespace().shared::<Bell>().0.notified().await;
            *rung.lock().unwrap() = Some(env.now().since_origin());
        };
        world.submit("a", Box::new(move |env| Box::pin(wait(env)))).unwrap();
        pass(world, Duration::from_secs(1));
        let ring = |env: Env| async move { env.namespace().shared::<Bell>().0.notify_one() };
        world.submit("b", Box::new(move |env| Box::pin(ring(env)))).unwrap();
        pass(world, Duration::from_secs(1));
        let rung = at.lock().unwrap().expect("it rang");
        assert!(rung >= Duration::from_secs(1) && rung < Duration::from_millis(1_020), "{rung:?}");
    });
}

#[test]
fn who_drives_a_world_wakes_its_tasks() {
    on_engines(&[], |world| {
        world.add_host(idle("a")).unwrap();
        let (bell, rung) = (Arc::new(tokio::sync::Notify::new()), Arc::new(AtomicU64::new(0)));
        let (ring, ringing) = (bell.clone(), rung.clone());
        let wait = move |_| async move {
            ring.notified().await;
            ringing.fetch_add(1, Ordering::Relaxed);
        };
        world.submit("a", Box::new(move |env: Env| Box::pin(wait(env)))).unwrap();
        pass(world, Duration::from_secs(1));
        bell.notify_one();
        pass(world, Duration::from_millis(10));
        assert_eq!(rung.load(Ordering::Relaxed), 1);
    });
}

/// What one link draws does not depend on what happens at another.
#[test]
fn a_fault_on_one_link_moves_no_packet_on_another() {
    let times = |loss: f64| {
        with_world("event", 7, |world, _| {
            for name in ["server", "a", "b"] {
                world.add_host(if name == "server" { echo(name) } else { idle(name) }).unwrap();
            }
            let quality = LinkQuality { loss, ..LinkQuality::default() };
            world.inflict(&Fault::Link { from: names("a"), to: names("server"), quality: Some(quality) }).unwrap();
            let times: Arc<Mutex<Vec<Duration>>> = Arc::default();
            for name in ["a", "b"] {
                let times = times.clone();
                let ask = move |env: Env| async move {
                    for _ in 0..20 {
                        let mut stream = env.network().connect("server:80").await.unwrap();
                        stream.write_all(b"hello").await.unwrap();
                        stream.read_exact(&mut [0; 5]).await.unwrap();
                        if env.host().name == "b" {
                            times.lock().unwrap().push(env.now().since_origin());
                        }
                    }
                };
                world.submit(name, Box::new(move |env| Box::pin(ask(env)))).unwrap();
            }
            pass(world, Duration::from_secs(100));
            let times = times.lock().unwrap();
            assert_eq!(times.len(), 20);
            times.clone()
        })
    };
    assert_eq!(times(0.0), times(0.3));
}
