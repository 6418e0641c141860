//! The engine for containers, as far as somebody has to ask it who only looks or clears away: over its socket, without a
//! client.

use std::env;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// How long the engine may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Longer answers are cut off.
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The socket that engines have unless they are told otherwise.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// The engine's socket, if there is one: that which `DOCKER_HOST` names, or the usual one. Nobody is asked whether anything
/// answers there.
pub fn socket() -> Option<PathBuf> {
    let path = match env::var("DOCKER_HOST") {
        Ok(host) if !host.is_empty() => PathBuf::from(host.strip_prefix("unix://")?),
        _ => PathBuf::from(DEFAULT_SOCKET),
    };
    path.exists().then_some(path)
}

/// What the engine answers to `method path`: the status and the body. `None` when there is no socket.
///
/// # Errors
/// When nothing that speaks HTTP answers at the socket within ten seconds.
pub fn ask(method: &str, path: &str, body: &str) -> Option<io::Result<(u16, String)>> {
    let socket = socket()?;
    let ask = || {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        stream.set_write_timeout(Some(ANSWER_WITHIN))?;
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all((head + body).as_bytes())?;
        let mut answer = String::new();
        stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other("what answers speaks no HTTP"))?;
        Ok((status, body.to_owned()))
    };
    Some(ask().map_err(|error: io::Error| match error.kind() {
        io::ErrorKind::WouldBlock => {
            io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {ANSWER_WITHIN:?}"))
        }
        _ => error,
    }))
}
