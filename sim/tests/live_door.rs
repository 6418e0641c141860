//! The door of a service that is the user's own, on this machine's loopback network: what passes is written down, whatever it
//! speaks it passes unchanged, and what is done to the service is seen by its callers.
#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use shaketable_sim::backend::LiveService;
use shaketable_sim::engine::live::{Ground, LiveSetup, LiveWorld, OwnHost};
use shaketable_sim::history::{Edge, Event, Moment, Operation};
use shaketable_sim::scenario::model::Runs;
use shaketable_sim::world::{Fault, HostSpec, Program, World};
use shaketable_stack::Env;
use shaketable_stack::env::Namespace;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What must happen happens within this.
const SOON: Duration = Duration::from_secs(20);

/// What must not happen would have happened within this.
const A_WHILE: Duration = Duration::from_millis(300);

/// Somebody's service: it answers `GET /ok` with 200, `GET /bad` with 500, and gives back whatever else it gets.
#[derive(Debug)]
struct Service {
    address: String,
    is_up: Arc<AtomicBool>,
}

impl Service {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let is_up = Arc::new(AtomicBool::new(true));
        let up = is_up.clone();
        std::thread::Builder::new()
            .spawn(move || {
                for stream in listener.incoming().flatten() {
                    let up = up.clone();
                    std::thread::Builder::new().spawn(move || serve(stream, &up)).expect("a thread");
                }
            })
            .expect("a thread");
        Self { address, is_up }
    }
}

fn serve(mut stream: TcpStream, up: &AtomicBool) {
    let mut buffer = [0; 4096];
    while up.load(Ordering::Relaxed) {
        let Ok(length @ 1..) = stream.read(&mut buffer) else { return };
        let answer: &[u8] = match &buffer[..length] {
            text if text.starts_with(b"GET /ok") => b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            text if text.starts_with(b"GET /bad") => b"HTTP/1.1 500 Bad\r\ncontent-length: 3\r\n\r\nbad",
            // It never answers that.
            text if text.starts_with(b"GET /never") => continue,
            other => other,
        };
        if stream.write_all(answer).is_err() {
            return;
        }
    }
}

impl LiveService for Service {
    fn description(&self) -> String {
        "somebody's".to_owned()
    }

    fn address(&self) -> String {
        self.address.clone()
    }

    fn is_of_this_machine(&self) -> bool {
        true
    }

    fn kill(&self) -> Result<(), String> {
        self.is_up.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn terminate(&self) -> Result<(), String> {
        self.kill()
    }

    fn start_again(&self) -> Result<(), String> {
        // It takes its time to come up; who is let through meanwhile would be closed.
        let (_open, nothing) = mpsc::channel::<()>();
        assert!(nothing.recv_timeout(A_WHILE).is_err());
        self.is_up.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn pause(&self, _paused: bool) -> Result<(), String> {
        Ok(())
    }

    fn ended(&self) -> Result<Option<String>, String> {
        Ok((!self.is_up.load(Ordering::Relaxed)).then(|| "an end".to_owned()))
    }

    fn ended_by_itself(&self) -> Option<String> {
        None
    }

    fn keep_log(&self) -> Option<String> {
        None
    }
}

type Told = Result<String, std::io::ErrorKind>;

/// A world in which `web` sends what it is given to the service, and tells what comes back.
struct Stage {
    world: LiveWorld,
    own: OwnHost,
    address: String,
}

impl Stage {
    fn set_up() -> Self {
        let service = Service::start();
        let address = service.address.clone();
        let own = OwnHost::new("user-1", "user", &Runs::default(), Arc::new(service)).expect("an address");
        let setup = LiveSetup { seed: 1, namespace: Namespace::new("test"), backends: Vec::new() };
        let mut world = LiveWorld::on(Ground::lay(1).expect("a network"), setup, vec![own.clone()]).expect("a world");
        let idle: Program = Arc::new(|_: Env| Box::pin(std::future::pending()));
        for name in ["user-1", "web"] {
            world.add_host(HostSpec { name: name.to_owned(), program: idle.clone() }).expect("a host");
        }
        Self { world, own, address }
    }

    /// Sends `text` on a connection of its own; what comes back is told.
    fn send(&mut self, text: &'static str) -> mpsc::Receiver<Told> {
        let (told, tells) = mpsc::channel();
        let address = self.address.clone();
        let job = Box::new(move |env: Env| {
            Box::pin(async move {
                let exchange = async {
                    let mut stream = env.network().connect(&address).await?;
                    stream.write_all(text.as_bytes()).await?;
                    let mut answer = vec![0; 4096];
                    let length = stream.read(&mut answer).await?;
                    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
                };
                let result: std::io::Result<String> = exchange.await;
                let _ = told.send(result.map_err(|error| error.kind()));
            }) as std::pin::Pin<Box<dyn Future<Output = ()> + Send>>
        });
        self.world.submit("web", job).expect("it runs");
        tells
    }

    fn ask(&mut self, text: &'static str) -> Told {
        self.send(text).recv_timeout(SOON).expect("it is told")
    }

    fn pass(&mut self, time: Duration) {
        let until = self.world.now() + time;
        self.world.advance(until).expect("time passes");
    }

    /// What the service was seen to handle: the endpoint, the cause, and whether it ended well, if it ended.
    fn handled(&self) -> Vec<(String, Option<u64>, Option<bool>)> {
        self.world.recorder().read(|history| {
            let ended = |event: &Event| match &*event.edge {
                Edge::Return(result) => Some((event.operation, result.is_ok())),
                _ => None,
            };
            let ends: Vec<_> = history.events.iter().filter_map(ended).collect();
            let handled = history.events.iter().filter_map(|event| match &*event.edge {
                Edge::Invoke(Operation::Handle { endpoint, .. }) => {
                    assert_eq!(&*event.host, "user-1");
                    let end = ends.iter().find(|(operation, _)| *operation == event.operation).map(|(_, good)| *good);
                    Some((endpoint.clone(), event.cause.map(|cause| cause.0.get()), end))
                }
                _ => None,
            });
            handled.collect()
        })
    }

    /// Waits until `handled` is so.
    fn until_handled(&mut self, wanted: &[(&str, Option<u64>, Option<bool>)]) {
        let deadline = self.world.now() + SOON;
        let wanted: Vec<_> = wanted.iter().map(|(name, cause, end)| ((*name).to_owned(), *cause, *end)).collect();
        while self.handled() != wanted {
            assert!(self.world.now() < deadline, "{:?}", self.handled());
            self.pass(Duration::from_millis(10));
        }
    }
}

const OK: &str = "GET /ok HTTP/1.1\r\nhost: x\r\nMicro-Span-Id: 7\r\n\r\n";
const BAD: &str = "GET /bad HTTP/1.1\r\nhost: x\r\nMicro-Endpoint: User.Get\r\n\r\n";
const NEVER: &str = "GET /never HTTP/1.1\r\nhost: x\r\n\r\n";

#[test]
fn requests_are_written_down_with_what_led_to_them_and_how_they_went() {
    let mut stage = Stage::set_up();
    assert!(stage.ask(OK).expect("an answer").ends_with("ok"));
    assert!(stage.ask(BAD).expect("an answer").ends_with("bad"));
    stage.until_handled(&[("GET /ok", Some(7), Some(true)), ("User.Get", None, Some(false))]);
    assert!(!stage.own.is_opaque());
}

#[test]
fn what_is_no_http_passes_as_it_is_and_that_nobody_understood_it_is_known() {
    let mut stage = Stage::set_up();
    assert_eq!(stage.ask("\u{1}\u{2}\u{3}hello"), Ok("\u{1}\u{2}\u{3}hello".to_owned()));
    assert!(stage.own.is_opaque() && stage.handled().is_empty());
}

#[test]
fn a_service_that_stands_still_handles_nothing_until_it_goes_on() {
    let mut stage = Stage::set_up();
    stage.world.inflict(&Fault::Pause { host: "user-1".to_owned() }).expect("a pause");
    let answer = stage.send(OK);
    assert!(answer.recv_timeout(A_WHILE).is_err() && stage.handled().is_empty());
    stage.world.inflict(&Fault::Resume { host: "user-1".to_owned() }).expect("it goes on");
    assert!(answer.recv_timeout(SOON).expect("it is told").expect("an answer").ends_with("ok"));
    stage.until_handled(&[("GET /ok", Some(7), Some(true))]);
}

#[test]
fn who_is_killed_has_not_ended_what_it_did_and_its_callers_see_their_connections_close() {
    let mut stage = Stage::set_up();
    let answer = stage.send(NEVER);
    stage.until_handled(&[("GET /never", None, None)]);
    stage.world.inflict(&Fault::Crash { host: "user-1".to_owned(), fin: true }).expect("a crash");
    let told = answer.recv_timeout(SOON).expect("it is told");
    assert!(told.as_ref().map_or(true, String::is_empty), "{told:?}");
    stage.world.inflict(&Fault::Restart { host: "user-1".to_owned() }).expect("a start");
    assert!(stage.ask(OK).expect("an answer").ends_with("ok"));
    stage.until_handled(&[("GET /never", None, None), ("GET /ok", Some(7), Some(true))]);
}

#[test]
fn who_dies_without_a_sign_is_silent_until_it_comes_up_and_resets_then() {
    let mut stage = Stage::set_up();
    let answer = stage.send(NEVER);
    stage.until_handled(&[("GET /never", None, None)]);
    stage.world.inflict(&Fault::Crash { host: "user-1".to_owned(), fin: false }).expect("a crash");
    let new = stage.send(OK);
    assert!(answer.recv_timeout(A_WHILE).is_err() && new.recv_timeout(A_WHILE).is_err());
    stage.world.inflict(&Fault::Restart { host: "user-1".to_owned() }).expect("a start");
    assert_eq!(answer.recv_timeout(SOON).expect("it is told"), Err(std::io::ErrorKind::ConnectionReset));
    assert!(new.recv_timeout(SOON).expect("it is told").expect("an answer").ends_with("ok"));
}

#[test]
fn a_way_to_a_server_can_be_cut_and_mended() {
    let server = Service::start();
    let ground = Ground::lay(1).expect("a network");
    let way = ground.way("user-1", "etcd", &server.address).expect("a way");
    let setup = LiveSetup { seed: 1, namespace: Namespace::new("test"), backends: Vec::new() };
    let mut world = LiveWorld::on(ground, setup, Vec::new()).expect("a world");
    let idle: Program = Arc::new(|_: Env| Box::pin(std::future::pending()));
    for name in ["user-1", "etcd"] {
        world.add_host(HostSpec { name: name.to_owned(), program: idle.clone() }).expect("a host");
    }
    let mut stream = TcpStream::connect(&way).expect("it listens");
    let mut exchange = |within: Duration| {
        stream.set_read_timeout(Some(within)).expect("a time");
        stream.write_all(b"x").expect("it is taken");
        stream.read(&mut [0; 8])
    };
    assert_eq!(exchange(SOON).expect("an answer"), 1);
    let (from, to) = (vec!["user-1".to_owned()], vec!["etcd".to_owned()]);
    world.inflict(&Fault::Cut { from: from.clone(), to: to.clone() }).expect("a cut");
    assert!(exchange(A_WHILE).is_err());
    world.inflict(&Fault::Heal { from, to }).expect("a mend");
    assert!(exchange(SOON).expect("what was sent, and more") >= 1);
    assert!(world.now() > Moment(0));
}
