//! A double of etcd as a process of our own, gone with the test, and what is said to it over HTTP.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use serde_json::Value;
use shaketable_fixtures::process::LocalProcess;
use shaketable_fixtures::server::Server;
use tonic::transport::{Channel, Endpoint};

/// The program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_shaketable");

/// How long anything may take that takes no time.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A running double.
pub(crate) struct Double {
    pub(crate) etcd: String,
    pub(crate) admin: String,
    _process: LocalProcess,
}

impl Double {
    /// Starts one at ports that the system chooses, with more arguments.
    pub(crate) async fn start(arguments: &[&str]) -> Result<Self, Failed> {
        let directory = tempfile::Builder::new().prefix("shaketable-double-").tempdir()?;
        let own = ["serve", "etcd", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let arguments = own.into_iter().chain(arguments.iter().copied()).map(Into::into);
        let mut process = LocalProcess::start(Path::new(PROGRAM), arguments, directory)?;
        let began = Instant::now();
        loop {
            let said = String::from_utf8_lossy(&process.log().await).into_owned();
            if let Some((line, _)) = said.split_once('\n') {
                let (etcd, admin) = addresses(line)?;
                return Ok(Self { etcd, admin: admin.ok_or("no admin address")?, _process: process });
            }
            if began.elapsed() > DEADLINE || process.ended().await?.is_some() {
                return Err(format!("the double does not listen: {said}").into());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(crate) async fn connect(&self) -> Result<Channel, Failed> {
        Ok(Endpoint::from_shared(format!("http://{}", self.etcd))?.connect().await?)
    }

    /// Gives an order that must succeed.
    pub(crate) fn order(&self, order: &str) -> Result<Value, Failed> {
        match http(&self.admin, "POST", order)? {
            (200, state) => Ok(serde_json::from_str(&state)?),
            (status, why) => Err(format!("{order}: {status} {why}").into()),
        }
    }

    pub(crate) fn state(&self) -> Result<Value, Failed> {
        Ok(serde_json::from_str(&http(&self.admin, "GET", "/state")?.1)?)
    }
}

/// What the first line says: where etcd is, and where orders are taken.
pub(crate) fn addresses(line: &str) -> Result<(String, Option<String>), Failed> {
    let words = line.strip_prefix("listening ").ok_or_else(|| format!("not a line of addresses: {line}"))?;
    let find = |name: &str| words.split(' ').find_map(|word| word.strip_prefix(name)).map(str::to_owned);
    Ok((find("etcd=").ok_or("no address of etcd")?, find("admin=")))
}

/// One request; the status and the body of the answer.
pub(crate) fn http(address: &str, method: &str, target: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    write!(stream, "{method} {target} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    status.zip(body).ok_or_else(|| io::Error::other(format!("no answer of HTTP: {answer}")))
}
