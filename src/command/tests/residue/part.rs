//! What this program is when it is started with one of these words: a test target on real servers, or a service.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use shaketable_fixtures::backend::started;
use shaketable_fixtures::cluster::RealCluster;
use shaketable_fixtures::etcd::{RealEtcd, Settings, Storage, in_a_container, on_the_path};
use shaketable_fixtures::zookeeper::ZookeeperBackend;

use super::common::{Outcome, trial};

/// `PROGRAM be-tests SERVERS END`: a test target.
pub(crate) const TESTS: &str = "be-tests";

/// `PROGRAM be-a-service PORT STATUS`: it answers every request so, and has a process in a session of its own.
pub(crate) const SERVICE: &str = "be-a-service";

/// How long a test goes on that is to be ended; nothing outlives this for ever.
const LASTS: Duration = Duration::from_secs(600);

pub(crate) fn played_if_asked() -> Option<ExitCode> {
    let words: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        [_, TESTS, servers, end] => Some(tests(servers, end)),
        [_, SERVICE, port, status] => Some(serve(port, status).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)),
        _ => None,
    }
}

/// Tests with servers of their own.
fn tests(servers: &str, end: &str) -> ExitCode {
    let test = |name: &str, test: fn(&str) -> Outcome| {
        let end = end.to_owned();
        trial(name, Ok(()), move |()| test(&end))
    };
    let mut trials: Vec<Trial> = Vec::new();
    if servers == "etcd" {
        trials.push(test("in_memory", |end| {
            let location = on_the_path().ok_or("no etcd")?;
            let settings = Settings { storage: Storage::Memory, ..Settings::default() };
            let server =
                started(async { RealEtcd::start_with(&location, &settings).await.map_err(|error| error.to_string()) })?;
            ends(end, server)
        }));
        trials.push(test("three_members", |end| {
            let location = on_the_path().ok_or("no etcd")?;
            let settings = Settings::default();
            let server =
                started(async { RealCluster::start(&location, &settings).await.map_err(|error| error.to_string()) })?;
            ends(end, server)
        }));
        trials.push(test("in_a_container", |end| {
            let location = in_a_container().ok_or("no engine")?;
            let server = started(async { RealEtcd::start(&location).await.map_err(|error| error.to_string()) })?;
            ends(end, server)
        }));
    } else {
        trials.push(test("zookeeper", |end| ends(end, started(ZookeeperBackend::start())?)));
    }
    let arguments = Arguments { test_threads: Some(trials.len()), ..Arguments::default() };
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The end of a test that has a server.
fn ends<Server>(end: &str, _server: Server) -> Outcome {
    match end {
        "passes" => Ok(()),
        "fails" => Err(Failed::from("it was to fail")),
        _ => {
            std::thread::sleep(LASTS);
            Ok(())
        }
    }
}

fn serve(port: &str, status: &str) -> std::io::Result<()> {
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))?;
    Command::new("setsid").args(["sleep", "600"]).stdin(Stdio::null()).spawn()?;
    for stream in listener.incoming() {
        let mut stream = stream?;
        // One request a connection, whatever it asks for; who leaves in the middle of it is not missed.
        let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
        let _ = stream.read(&mut [0; 4096]);
        let _ = write!(stream, "HTTP/1.1 {status} Told\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    }
    Ok(())
}
