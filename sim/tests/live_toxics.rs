//! Toxics of the live world, on this machine's loopback network: each has its effect on connections between hosts, to a server,
//! to a service that is the user's own and on that one's way to a server; and without it the effect is not there.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use shaketable_sim::backend::{EntryListener, LiveBackend, LiveService};
use shaketable_sim::engine::live::{Ground, LiveSetup, LiveWorld, OwnHost};
use shaketable_sim::history::{Moment, Truth, WorldClock};
use shaketable_sim::scenario::model::Runs;
use shaketable_sim::toxic::Toxic;
use shaketable_sim::world::{Capability, Fault, HostSpec, Program, World};
use shaketable_stack::Env;
use shaketable_stack::env::Namespace;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What must happen happens within this.
const SOON: Duration = Duration::from_secs(30);

/// How long what takes long takes at least; what does not is over much sooner.
const LONG: Duration = Duration::from_millis(1_500);

/// What a caller has seen of one connection.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    /// Why there was no connection.
    refused: Option<ErrorKind>,
    /// How many bytes came back.
    read: usize,
    /// Until then.
    took: Duration,
    /// How it was torn.
    torn: Option<ErrorKind>,
    /// How long it took to end after that.
    ended_after: Duration,
}

/// Where a connection leads, and between whom it is.
struct Target {
    address: String,
    from: &'static str,
    to: &'static str,
}

/// Gives back what it is sent, and ends when its peer does.
fn echo_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let serve = move || {
        for mut stream in listener.incoming().flatten() {
            let echo = move || {
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..length]).is_err() {
                        return;
                    }
                }
            };
            std::thread::Builder::new().spawn(echo).expect("a thread");
        }
    };
    std::thread::Builder::new().spawn(serve).expect("a thread");
    address
}

/// A server, and somebody's service, that nothing is done to but on the way to it.
#[derive(Debug)]
struct Echo(String);

impl LiveBackend for Echo {
    fn kind(&self) -> &'static str {
        "etcd"
    }
    fn description(&self) -> String {
        "an echo".to_owned()
    }
    fn addresses(&self) -> Vec<String> {
        vec![self.0.clone()]
    }
    fn capabilities(&self) -> BTreeSet<Capability> {
        BTreeSet::new()
    }
    fn observe(&self, _clock: WorldClock, _entries: EntryListener) -> Result<(), String> {
        Ok(())
    }
    fn take_truths(&self) -> Result<Vec<(Moment, Truth)>, String> {
        Ok(Vec::new())
    }
    fn lose(&self, _nodes: &[String]) -> Result<usize, String> {
        Ok(0)
    }
    fn stop(&self, _host: &str) -> Result<(), String> {
        Ok(())
    }
    fn start_again(&self, _host: &str) -> Result<(), String> {
        Ok(())
    }
}

impl LiveService for Echo {
    fn description(&self) -> String {
        "an echo".to_owned()
    }
    fn address(&self) -> String {
        self.0.clone()
    }
    fn is_of_this_machine(&self) -> bool {
        true
    }
    fn kill(&self) -> Result<(), String> {
        Ok(())
    }
    fn terminate(&self) -> Result<(), String> {
        Ok(())
    }
    fn start_again(&self) -> Result<(), String> {
        Ok(())
    }
    fn pause(&self, _paused: bool) -> Result<(), String> {
        Ok(())
    }
    fn ended(&self) -> Result<Option<String>, String> {
        Ok(None)
    }
    fn ended_by_itself(&self) -> Option<String> {
        None
    }
    fn keep_log(&self) -> Option<String> {
        None
    }
}

/// Listens at port 7 and gives back what it is sent.
fn echo() -> Program {
    Arc::new(|env: Env| {
        Box::pin(async move {
            let mut listener = env.network().listen(":7").await.expect("the port is free");
            while let Ok(stream) = listener.accept().await {
                let serve = async move {
                    let (mut read, mut write) = tokio::io::split(stream);
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                    let _ = write.shutdown().await;
                };
                env.spawn("echo", serve).detach();
            }
        })
    })
}

/// A world with a caller, and everything that can be called.
fn world() -> (LiveWorld, [Target; 4]) {
    let server = Arc::new(Echo(echo_server()));
    let service = Arc::new(Echo(echo_server()));
    let ground = Ground::lay(7).expect("a network");
    let way = ground.way("user-1", "etcd", &server.0).expect("a way");
    let own = OwnHost::new("user-1", "user", &Runs::default(), service.clone()).expect("an address");
    let setup = LiveSetup { seed: 7, namespace: Namespace::new("toxics"), backends: vec![server.clone()] };
    let mut world = LiveWorld::on(ground, setup, vec![own]).expect("a world");
    let idle: Program = Arc::new(|_: Env| Box::pin(std::future::pending()));
    for (name, program) in [("server", echo()), ("user-1", idle.clone()), ("caller", idle)] {
        world.add_host(HostSpec { name: name.to_owned(), program }).expect("a host");
    }
    let targets = [
        Target { address: "server:7".to_owned(), from: "caller", to: "server" },
        Target { address: server.0.clone(), from: "caller", to: "etcd" },
        Target { address: service.0.clone(), from: "caller", to: "user-1" },
        // Whoever dials it is the service's own program, as far as the world can tell.
        Target { address: way, from: "user-1", to: "etcd" },
    ];
    let mut stage = (world, targets);
    for index in 0..stage.1.len() {
        // A listener may come up a moment later than its host.
        while call(&mut stage.0, &stage.1[index], 10).refused.is_some() {}
    }
    stage
}

/// Sends so many bytes and waits for all of them, then for the end.
fn call(world: &mut LiveWorld, target: &Target, bytes: usize) -> Seen {
    let address = target.address.clone();
    let world: &mut dyn World = world;
    let calling = world.on("caller", SOON, move |env| Box::pin(async move { seen(env, &address, bytes).await }));
    calling.expect("it ends")
}

async fn seen(env: Env, address: &str, bytes: usize) -> Seen {
    let began = env.now();
    let mut seen = Seen::default();
    let mut stream = match env.network().connect(address).await {
        Ok(stream) => stream,
        Err(error) => return Seen { refused: Some(error.kind()), ..seen },
    };
    // What it is told when it reads counts.
    let _ = stream.write_all(&vec![b'x'; bytes]).await;
    let mut buffer = vec![0; 4096];
    while seen.read < bytes {
        match stream.read(&mut buffer).await {
            Ok(0) => break,
            Ok(length) => seen.read += length,
            Err(error) => {
                seen.torn = Some(error.kind());
                break;
            }
        }
    }
    let whole = env.now();
    seen.took = whole.saturating_since(began);
    let _ = stream.shutdown().await;
    while let Ok(1..) = stream.read(&mut buffer).await {}
    seen.ended_after = env.now().saturating_since(whole);
    seen
}

fn sides(target: &Target) -> (Vec<String>, Vec<String>) {
    (vec![target.from.to_owned()], vec![target.to.to_owned()])
}

fn put(world: &mut LiveWorld, target: &Target, toxic: &str) -> Toxic {
    let toxic: Toxic = toxic.parse().expect("a toxic");
    let (a, b) = sides(target);
    world.inflict(&Fault::Toxic { a, b, toxic: toxic.clone() }).expect("it can be done");
    toxic
}

/// What a toxic does to a connection that carries so many bytes.
type Effect = (&'static str, usize, fn(&Seen) -> bool);

const EFFECTS: [Effect; 9] = [
    ("latency:latency=1500", 10, |seen| seen.took >= LONG && seen.read == 10),
    ("latency:latency=1500,upstream", 10, |seen| seen.took >= LONG && seen.read == 10),
    ("bandwidth:rate=10", 20_000, |seen| seen.took >= LONG && seen.read == 20_000),
    ("slow_close:delay=1500", 10, |seen| seen.ended_after >= LONG && seen.read == 10),
    ("timeout:timeout=200", 10, |seen| seen.read == 0 && seen.torn.is_none()),
    ("timeout:timeout=200,upstream", 10, |seen| seen.read == 0 && seen.torn.is_none()),
    ("reset_peer", 10, |seen| seen.torn == Some(ErrorKind::ConnectionReset)),
    ("slicer:average_size=10,delay=20ms", 1_000, |seen| seen.took >= LONG && seen.read == 1_000),
    ("limit_data:bytes=5", 10, |seen| seen.read == 5 && seen.torn.is_none()),
];

/// Every effect on the target with this number, side by side: they wait more than they compute.
fn each_has_its_effect(target: usize) {
    let check = |(toxic, bytes, has_it): &Effect| {
        let (mut world, targets) = world();
        let target = &targets[target];
        let before = call(&mut world, target, *bytes);
        assert!(!has_it(&before) && before.read == *bytes, "without {toxic}: {before:?}");
        let put = put(&mut world, target, toxic);
        let with = call(&mut world, target, *bytes);
        assert!(has_it(&with), "with {toxic}: {with:?}");
        let (a, b) = sides(target);
        world.inflict(&Fault::Antidote { a, b, toxic: put }).expect("it can be done");
        let after = call(&mut world, target, *bytes);
        assert!(!has_it(&after) && after.read == *bytes, "after {toxic}: {after:?}");
    };
    std::thread::scope(|scope| {
        for effect in &EFFECTS {
            scope.spawn(|| check(effect));
        }
    });
}

#[test]
fn each_toxic_has_its_effect_between_hosts() {
    each_has_its_effect(0);
}

#[test]
fn each_toxic_has_its_effect_on_the_way_to_a_server() {
    each_has_its_effect(1);
}

#[test]
fn each_toxic_has_its_effect_on_calls_to_a_service_of_the_users_own() {
    each_has_its_effect(2);
}

#[test]
fn each_toxic_has_its_effect_on_the_way_of_such_a_service_to_a_server() {
    each_has_its_effect(3);
}

#[test]
fn what_is_down_closes_what_is_open_and_accepts_nobody_until_it_is_up() {
    let (mut world, targets) = world();
    for target in &targets {
        let (a, b) = sides(target);
        // Nothing comes back, and the connection stays open, until it is closed.
        put(&mut world, target, "timeout:name=silent");
        let (told, tells) = std::sync::mpsc::channel();
        let address = target.address.clone();
        let job = Box::new(move |env: Env| {
            let calling: std::pin::Pin<Box<dyn Future<Output = ()> + Send>> =
                Box::pin(async move { told.send(seen(env, &address, 10).await).unwrap_or_default() });
            calling
        });
        world.submit("caller", job).expect("it runs");
        assert!(tells.recv_timeout(Duration::from_millis(300)).is_err(), "{}", target.to);
        world.inflict(&Fault::LinkDown { a: a.clone(), b: b.clone() }).expect("it can be done");
        let open = tells.recv_timeout(SOON).expect("it is closed");
        assert_eq!((open.read, open.torn), (0, None), "{}", target.to);
        world.heal().expect("it heals");
        assert_eq!(call(&mut world, target, 10).read, 10);
        world.inflict(&Fault::LinkDown { a: a.clone(), b: b.clone() }).expect("it can be done");
        let new = call(&mut world, target, 10);
        // A program that is not ours has connected to the world's own end of its way before anybody can refuse it.
        let expected = if target.from == "caller" { Some(ErrorKind::ConnectionRefused) } else { None };
        assert_eq!((new.refused, new.read), (expected, 0), "{}", target.to);
        world.inflict(&Fault::LinkUp { a, b }).expect("it can be done");
        assert_eq!(call(&mut world, target, 10).read, 10);
    }
}

#[test]
fn the_seed_decides_which_connections_a_toxic_acts_on() {
    let hit = || {
        let (mut world, targets) = world();
        put(&mut world, &targets[0], "timeout:timeout=100,0.5");
        (0..24).map(|_| call(&mut world, &targets[0], 10).read == 0).collect::<Vec<_>>()
    };
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(hit);
        (one.join().expect("it ends"), hit())
    });
    assert!(one.contains(&true) && one.contains(&false), "{one:?}");
    assert_eq!(one, other);
}

#[test]
fn toxics_of_two_entries_act_together_and_each_ends_by_itself() {
    let (mut world, targets) = world();
    let target = &targets[0];
    let first = put(&mut world, target, "latency:latency=800,name=one");
    put(&mut world, target, "latency:latency=800,name=other");
    // The same once more is there once.
    put(&mut world, target, "latency:latency=800,name=other");
    let both = call(&mut world, target, 10).took;
    assert!(both >= Duration::from_millis(1_600), "{both:?}");
    let (a, b) = sides(target);
    world.inflict(&Fault::Antidote { a, b, toxic: first }).expect("it can be done");
    let one = call(&mut world, target, 10).took;
    assert!((Duration::from_millis(800)..Duration::from_millis(1_600)).contains(&one), "{one:?}");
}
