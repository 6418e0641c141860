//! A handler whose endpoints do what a check asks of them, and that writes down every request that it got.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use shaketable_stack::client::Context;
use shaketable_stack::codec::Frame;
use shaketable_stack::env::Instant;
use shaketable_stack::error::Status;
use shaketable_stack::server::{Handler, ServerStream};
use shaketable_stack::{Env, Error, ErrorKind, Result};

use super::{Text, lock};

/// One execution of a handler.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// The endpoint's method.
    pub(crate) method: &'static str,
    /// The body.
    pub(crate) text: String,
    /// When it began, by the clock of the server's host.
    pub(crate) at: Instant,
    /// What was left until the request's deadline then.
    pub(crate) remaining: Option<Duration>,
    /// The request's circumstances.
    pub(crate) context: Context,
}

impl Run {
    /// The header `name`, whatever its case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        shaketable_stack::metadata::get_ignoring_case(&self.context.metadata, name)
    }
}

/// What the handlers of one check saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    runs: Mutex<Vec<Run>>,
    bodies: Mutex<Vec<Bytes>>,
    ended: Mutex<Vec<String>>,
}

impl Seen {
    /// All executions so far, in order.
    pub(crate) fn runs(&self) -> Vec<Run> {
        lock(&self.runs).clone()
    }

    /// How many there were of `method`.
    pub(crate) fn count(&self, method: &str) -> usize {
        lock(&self.runs).iter().filter(|run| run.method == method).count()
    }

    /// The last one of `method`.
    pub(crate) fn last(&self, method: &str) -> Option<Run> {
        lock(&self.runs).iter().rev().find(|run| run.method == method).cloned()
    }

    /// The bodies that `Probe.Raw` got, as they came.
    pub(crate) fn bodies(&self) -> Vec<Bytes> {
        lock(&self.bodies).clone()
    }

    /// How the executions of `Probe.Wait` and `Probe.Chat` ended, in order.
    pub(crate) fn ended(&self) -> Vec<String> {
        lock(&self.ended).clone()
    }

    /// Forgets all of it.
    pub(crate) fn forget(&self) {
        lock(&self.runs).clear();
        lock(&self.bodies).clear();
        lock(&self.ended).clear();
    }

    fn begin(&self, env: &Env, method: &'static str, context: &Context, text: &str) {
        let at = env.now();
        let remaining = context.deadline.map(|deadline| deadline - at);
        lock(&self.runs).push(Run { method, text: text.to_owned(), at, remaining, context: context.clone() });
    }

    fn end(&self, how: impl Into<String>) {
        lock(&self.ended).push(how.into());
    }
}

/// The handler `Probe` of a server with the label `server`:
/// - `Echo` answers what it was asked; `Where` answers the label;
/// - `Wait` takes `<milliseconds> …`, waits that long, and answers what it was asked;
/// - `Fail` takes `<code> <detail>` and fails with that status; `Kind` fails without one;
/// - `Raw` answers the bytes that it got; `Garbage` answers bytes that are no message;
/// - `Much` takes a number, and answers a text of so many bytes;
/// - `Panic` panics;
/// - `Chat` is a stream that answers each message; at the client's end it says `done`; it is told to `fail` or `end`;
/// - `Late` is a stream that begins to read after a second, and answers once with the number of messages in order.
pub(crate) fn probe(env: &Env, seen: &Arc<Seen>, server: &str) -> Handler {
    let note = {
        let (env, seen) = (env.clone(), seen.clone());
        move |method, context: &Context, text: &str| seen.begin(&env, method, context, text)
    };
    let (echo, place, fail, kind, panic, chat) =
        (note.clone(), note.clone(), note.clone(), note.clone(), note.clone(), note.clone());
    let (label, raw) = (server.to_owned(), seen.clone());
    let (wait_env, wait_seen) = (env.clone(), seen.clone());
    let (late_env, chat_seen) = (env.clone(), seen.clone());
    Handler::new("Probe")
        .unary("Echo", move |context, request: Text| {
            echo("Echo", &context, &request.text);
            async move { Ok(request) }
        })
        .unary("Where", move |context, request: Text| {
            place("Where", &context, &request.text);
            let answer = Text::new(&label);
            async move { Ok(answer) }
        })
        .unary("Wait", move |context, request: Text| {
            note("Wait", &context, &request.text);
            let (env, seen) = (wait_env.clone(), wait_seen.clone());
            async move {
                crate::site::takes(&env, Duration::from_millis(number(&request.text).unwrap_or(0))).await;
                seen.end(&request.text);
                Ok(request)
            }
        })
        .unary("Fail", move |context, request: Text| {
            fail("Fail", &context, &request.text);
            async move { Err::<Text, _>(Error::remote("probe", status(&request.text))) }
        })
        .unary("Kind", move |context, request: Text| {
            kind("Kind", &context, &request.text);
            async move { Err::<Text, _>(Error::new(ErrorKind::NotFound, "find it")) }
        })
        .unary("Raw", move |_context, request: Frame| {
            lock(&raw.bodies).push(request.0.clone());
            async move { Ok(request) }
        })
        .unary("Garbage", |_context, _request: Text| async {
            Ok(Frame(Bytes::from_static(b"\xff\xff\xff no message")))
        })
        .unary("Much", |_context, request: Text| async move {
            let length = number(&request.text).and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
            Ok(Text::new("m".repeat(length)))
        })
        .unary("Panic", move |context, request: Text| {
            panic("Panic", &context, &request.text);
            async move {
                if request.text != "calm" {
                    std::panic::panic_any("the probe was asked to panic");
                }
                Ok(request)
            }
        })
        .stream("Chat", move |context, stream| {
            chat("Chat", &context, "");
            let seen = chat_seen.clone();
            async move {
                let ended = converse(&*stream).await;
                seen.end(match &ended {
                    Ok(()) => "in order".to_owned(),
                    Err(error) => format!("{:?}", error.kind()),
                });
                ended
            }
        })
        .stream("Late", move |_context, stream| {
            let env = late_env.clone();
            async move {
                crate::site::takes(&env, Duration::from_secs(1)).await;
                let (mut next, mut message) = (0_u64, Text::default());
                while stream.recv(&mut message).await.is_ok() {
                    if number(&message.text) == Some(next) {
                        next += 1;
                    }
                }
                stream.send(&Text::new(next.to_string())).await
            }
        })
}

/// The number that `text` begins with.
fn number(text: &str) -> Option<u64> {
    text.split(' ').next()?.parse().ok()
}

/// The status that `text` asks for.
fn status(text: &str) -> Status {
    let (code, detail) = text.split_once(' ').unwrap_or((text, ""));
    Status::new("the-probe", code.parse().unwrap_or(500), detail)
}

async fn converse(stream: &dyn ServerStream) -> Result<()> {
    let mut message = Text::default();
    loop {
        match stream.recv(&mut message).await {
            Ok(()) if message.text == "fail" => {
                return Err(Error::remote("chat", Status::new("the-probe", 409, "asked to fail")));
            }
            Ok(()) if message.text == "end" => return Ok(()),
            Ok(()) if message.text == "panic" => std::panic::panic_any("the probe was asked to panic"),
            Ok(()) => stream.send(&message).await?,
            Err(error) if error.kind() == ErrorKind::EndOfStream => return stream.send(&Text::new("done")).await,
            Err(error) => return Err(error),
        }
    }
}
