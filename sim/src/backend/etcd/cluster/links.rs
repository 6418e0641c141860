//! What carries messages between members: one connection from each to each other, on which one line is one message. A
//! connection that stays silent is given up and made anew, as etcd's `rafthttp` does. It knows nothing of what is said.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shaketable_stack::env::{Env, Listener, Stream, Task};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, WriteHalf};
use tokio::sync::mpsc::UnboundedReceiver;

use super::consensus::Message;
use super::member::EtcdMember;

/// How long a connection may take to be made.
const CONNECT_TIME: Duration = Duration::from_secs(1);

/// The pause before the next try.
const CONNECT_PAUSE: Duration = Duration::from_millis(100);

/// How often a connection is tried.
const PING_INTERVAL: Duration = Duration::from_millis(500);

/// A connection whose pings stay unanswered for so long is dead.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// What stands in one line.
#[derive(Debug, Serialize, Deserialize)]
enum Line {
    /// Who speaks on this connection.
    Hello(usize),
    /// Answer with a line.
    Ping,
    /// Something to be told.
    Tell(Message),
}

/// The way to another member.
pub(super) struct Link {
    pub(super) member: EtcdMember,
    pub(super) to: usize,
    pub(super) address: String,
}

impl Link {
    /// Carries what `messages` gives, until that ends. What cannot be carried is lost.
    pub(super) async fn run(self, env: Env, mut messages: UnboundedReceiver<Message>) {
        loop {
            let connected = env.timeout(CONNECT_TIME, env.network().connect(&self.address)).await;
            if let Ok(Ok(stream)) = connected {
                self.member.linked(self.to, Some(env.now().since_origin()));
                if self.carry(&env, stream, &mut messages).await.is_ok() {
                    return;
                }
                self.member.linked(self.to, None);
            }
            env.sleep(CONNECT_PAUSE).await;
            while messages.try_recv().is_ok() {}
        }
    }

    /// Carries messages over one connection: well until there are no more, and otherwise until it is dead.
    async fn carry(&self, env: &Env, stream: Stream, messages: &mut UnboundedReceiver<Message>) -> io::Result<()> {
        let (mut reader, mut writer) = tokio::io::split(stream);
        say(env, &mut writer, &Line::Hello(self.member.index())).await?;
        let mut heard_at = env.now();
        let mut ping_at = env.now();
        let mut answer = [0; 64];
        loop {
            tokio::select! {
                biased;
                read = reader.read(&mut answer) => match read? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    _ => heard_at = env.now(),
                },
                message = messages.recv() => match message {
                    Some(message) => say(env, &mut writer, &Line::Tell(message)).await?,
                    None => return Ok(()),
                },
                () = env.clock().sleep_until(ping_at) => {
                    if env.now() >= heard_at + SILENCE_MAX {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    ping_at = env.now() + PING_INTERVAL;
                    say(env, &mut writer, &Line::Ping).await?;
                }
            }
        }
    }
}

async fn say(env: &Env, writer: &mut WriteHalf<Stream>, line: &Line) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    // Where nobody reads, what is written stays.
    env.timeout(SILENCE_MAX, writer.write_all(&text)).await.map_err(|_| io::ErrorKind::TimedOut)?
}

/// Hears what other members say on the connections that they make, until the listener fails.
pub(super) async fn hear(env: Env, member: EtcdMember, mut listener: Box<dyn Listener>) {
    let mut connections: Vec<Task> = Vec::new();
    while let Ok(stream) = listener.accept().await {
        connections.retain(|connection| !connection.is_finished());
        let (own, member) = (env.clone(), member.clone());
        connections.push(env.spawn("etcd peer", async move {
            // A connection that breaks is made again by whoever made it.
            let _ = listen(&own, &member, stream).await;
        }));
    }
}

async fn listen(env: &Env, member: &EtcdMember, stream: Stream) -> io::Result<()> {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut lines = BufReader::new(reader).lines();
    let mut from = None;
    while let Some(line) = lines.next_line().await? {
        match (serde_json::from_str(&line)?, from) {
            (Line::Hello(other), _) => from = Some(other),
            (Line::Ping, _) => writer.write_all(b"\n").await?,
            (Line::Tell(message), Some(from)) => member.hear(env.now().since_origin(), from, &message),
            (Line::Tell(_), None) => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
    Ok(())
}
