//! `shaketable proxy` as a person starts it: what it prints, what it does to connections, how it takes orders and how it ends.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a program lives in real time, on real sockets"
)]

use std::io::ErrorKind;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long anything may take on a machine that is busy.
const SLACK: Duration = Duration::from_secs(60);

/// How long nothing must have come that is not to come.
const QUIET: Duration = Duration::from_millis(300);

/// What is told to people about the proxy.
const GUIDE: &str = include_str!("../../../docs/fault-proxy.md");

/// The program at work. It is killed when a test fails.
struct Program {
    child: Child,
    /// What it has said when it listened.
    line: String,
}

fn shaketable(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shaketable"));
    command.arg("proxy").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

impl Program {
    async fn start(arguments: &[&str]) -> Self {
        let mut child = shaketable(arguments).spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.as_mut().unwrap());
        timeout(SLACK, stdout.read_line(&mut line)).await.expect("it listens").unwrap();
        if !line.starts_with("listening ") {
            let told = timeout(SLACK, child.wait_with_output()).await.expect("it ends").unwrap().stderr;
            panic!("{line}{}", String::from_utf8_lossy(&told));
        }
        Self { child, line }
    }

    /// The address that it has said for `what`.
    fn address(&self, what: &str) -> &str {
        self.line.split_whitespace().find_map(|word| word.strip_prefix(&format!("{what}="))).expect("it says it")
    }

    async fn ended_by(mut self, signal: Signal) -> ExitStatus {
        let id = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed())).unwrap();
        kill_process(id, signal).unwrap();
        timeout(SLACK, self.child.wait()).await.expect("it ends").unwrap()
    }

    /// Asks the admin, and gives the code and the body of the answer.
    async fn asks(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        self.asks_as("curl/8", method, path, body).await
    }

    async fn asks_as(&self, agent: &str, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address("admin")).await.unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {agent}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(SLACK, stream.read_to_string(&mut answer)).await.expect("it answers").unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer of HTTP");
        (head[9..12].parse().unwrap(), body.to_owned())
    }
}

async fn ended(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = timeout(SLACK, shaketable(arguments).output()).await.expect("it ends").unwrap();
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

#[tokio::test]
async fn it_relays_and_shakes_and_ends_when_it_is_told_to() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = server.local_addr().unwrap().to_string();
    for signal in [Signal::INT, Signal::TERM] {
        let program =
            Program::start(&["--to", &to, "--toxic", "latency:latency=1s", "--toxic", "slow_close:name=end"]).await;
        assert_eq!(program.address("upstream"), to);
        let address = program.address("proxy").to_owned();
        let mut client = TcpStream::connect(&address).await.unwrap();
        let (mut served, _) = timeout(SLACK, server.accept()).await.expect("it relays").unwrap();
        served.write_all(b"late").await.unwrap();
        let mut bytes = [0; 4];
        assert!(timeout(QUIET, client.read_exact(&mut bytes)).await.is_err(), "it came at once");
        timeout(SLACK, client.read_exact(&mut bytes)).await.expect("it comes").unwrap();
        assert_eq!(&bytes, b"late");
        assert_eq!(program.ended_by(signal).await.code(), Some(0));
        assert_eq!(TcpStream::connect(&address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
}

#[tokio::test]
async fn it_takes_the_orders_of_the_guide() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = server.local_addr().unwrap().to_string();
    let program = Program::start(&["--to", &to, "--admin", "127.0.0.1:0"]).await;
    let orders: Vec<&str> = GUIDE.lines().filter_map(|line| line.strip_prefix("$ curl -X ")).collect();
    assert!(orders.len() >= 3, "{orders:?}");
    for order in orders {
        let (method, rest) = order.split_once(' ').expect("a method");
        let (url, body) = rest.split_once(" -d ").unwrap_or((rest, ""));
        let path = url.strip_prefix("http://127.0.0.1:8474").expect("the admin's address");
        let (code, answer) = program.asks(method, path, body.trim_matches('\'')).await;
        assert!((200..300).contains(&code), "{order}: {code} {answer}");
    }
    let (code, answer) = program.asks("GET", "/proxies", "").await;
    assert!(code == 200 && answer.contains(&format!("\"upstream\":\"{to}\"")), "{answer}");
    let elsewhere = r#"{"name": "elsewhere", "upstream": "192.0.2.7:80"}"#;
    let (code, answer) = program.asks("POST", "/proxies", elsewhere).await;
    assert_eq!(code, 403);
    assert_eq!(answer, r#"{"error":"not on loopback: upstream: 192.0.2.7:80, unlike 127.0.0.1:80","status":403}"#);
    let browser = program.asks_as("Mozilla/5.0", "POST", "/reset", "").await;
    assert_eq!(browser, (403, r#"{"error":"User agent not allowed","status":403}"#.to_owned()));
    assert_eq!(program.asks("GET", "/nowhere", "").await.0, 404);
    assert_eq!(program.asks("DELETE", "/version", "").await.0, 405);
    assert_eq!(program.asks("POST", "/proxies", "{").await.0, 400);
    assert_eq!(program.ended_by(Signal::INT).await.code(), Some(0));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_the_argument_and_the_mend() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let twice = ["--to", "127.0.0.1:80", "--toxic", "latency", "--toxic", "latency"];
    for (arguments, code, told) in [
        (["--to", "192.0.2.7:80"].as_slice(), 2, "--to 192.0.2.7:80 is not on loopback"),
        (&["--to", "127.0.0.1:80", "--listen", "0.0.0.0:0"], 2, "choose 127.0.0.1, or say --allow-remote"),
        (&["--admin", "0.0.0.0:0"], 2, "--admin 0.0.0.0:0 is not on loopback"),
        (&["--to", "127.0.0.1"], 2, "--to 127.0.0.1: bad request body: address '127.0.0.1' has no port"),
        (&["--to", "127.0.0.1:80", "--toxic", "latncy"], 2, "did you mean 'latency'?"),
        (&["--to", "127.0.0.1:80", "--toxic", "latency:lag=5"], 2, "latency has no attribute 'lag'"),
        (&twice, 2, "there is one called 'latency_downstream' already; call one of them otherwise, with name=NAME"),
        (&["--to", "127.0.0.1:80", "--listen", &taken], 3, "failed: to listen on 127.0.0.1:"),
        (&["--admin", &taken], 3, "failed to listen there"),
    ] {
        let (exit, text) = ended(arguments).await;
        assert!(exit == Some(code) && text.contains(told), "{arguments:?}: {exit:?} {text}");
    }
}
