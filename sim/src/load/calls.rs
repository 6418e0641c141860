//! Calls: open loop at times drawn before the run, or closed loop by workers that call again when they have their answer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use shaketable_proto::probe::v1::{ProbeRequest, ProbeResponse};
use shaketable_stack::client::{CallOptions, Client, ClientStream, Context, RequestOptions};
use shaketable_stack::codec::Frame;
use shaketable_stack::env::{Instant, Task};
use shaketable_stack::selector::SelectOptions;
use shaketable_stack::selector::filter::{ByLabel, ByVersion};
use shaketable_stack::{Error, ErrorKind, Result};

use super::host::Timing;
use super::http;
use super::probe::{CHAT, ECHO};
use crate::history::{OperationId, Point};
use crate::plan::PlannedLoad;
use crate::scenario::model::Calls;
use crate::stand::Standing;

/// How many messages of a stream may be without an answer.
const SENT_AHEAD: usize = 2;
/// After so many answers to nothing a stream is left.
const SURPLUS_MAX: u32 = 3;

/// Starts the calls of one load on one host; dropping the tasks ends them.
pub(super) fn start(
    standing: &Arc<Standing>,
    timing: &Timing,
    load: &PlannedLoad,
    calls: &Calls,
    work: Duration,
) -> Vec<Task> {
    let caller = Caller { standing: standing.clone(), calls: Arc::new(calls.clone()), work };
    let name = format!("{}/{}", load.host, load.entry);
    if let Some(rate) = calls.rate {
        return vec![standing.env.spawn("load", open_loop(caller, *timing, load.clone(), rate, name))];
    }
    let workers = calls.workers.unwrap_or(1);
    let closed = |worker| {
        let caller = caller.clone();
        standing.env.spawn("load", closed_loop(caller, *timing, load.clone(), worker, format!("{name}/{worker}")))
    };
    (0..workers).map(closed).collect()
}

#[derive(Clone)]
struct Caller {
    standing: Arc<Standing>,
    calls: Arc<Calls>,
    work: Duration,
}

/// A host that starts late, or again, goes on with what is still due.
async fn open_loop(caller: Caller, timing: Timing, load: PlannedLoad, rate: f64, name: String) {
    let mut random = load.stream(timing.seed, "work");
    let arrivals = load.arrivals(timing.seed, rate, timing.loads_at, timing.end_at);
    let mut under_way: Vec<Task> = Vec::new();
    for (number, due) in (1_u64..).zip(arrivals) {
        let work = caller.draw_work(&mut random);
        let due = Instant::from_origin(due);
        if due < caller.standing.env.now() {
            continue;
        }
        let clock = caller.standing.env.clock();
        clock.sleep_until(due).await;
        under_way.retain(|task| !task.is_finished());
        let one = caller.clone();
        let id = format!("{name}/{number}");
        under_way.push(caller.standing.env.spawn("call", async move { one.call(id, work).await }));
    }
    for task in under_way {
        task.join().await;
    }
}

async fn closed_loop(caller: Caller, timing: Timing, load: PlannedLoad, worker: u32, name: String) {
    let env = &caller.standing.env;
    let mut random = load.stream(timing.seed, &format!("work/{worker}"));
    env.clock().sleep_until(Instant::from_origin(timing.loads_at)).await;
    for number in 1_u64.. {
        if env.now() >= Instant::from_origin(timing.end_at) {
            return;
        }
        let before = env.now();
        let work = caller.draw_work(&mut random);
        caller.call(format!("{name}/{number}"), work).await;
        // A call that fails at once must not turn the loop into a busy one.
        let pause =
            if env.now() == before { caller.calls.think.max(Duration::from_millis(10)) } else { caller.calls.think };
        if !pause.is_zero() {
            env.sleep(pause).await;
        }
    }
}

impl Caller {
    fn draw_work(&self, random: &mut impl Rng) -> u32 {
        let most = u32::try_from(self.work.as_millis()).unwrap_or(u32::MAX);
        random.random_range(0..=most)
    }

    /// Errors are in the history; there is nobody else to tell.
    async fn call(&self, id: String, work_ms: u32) {
        let calls = &self.calls;
        let _ = match (calls.http.as_deref().and_then(http::Asked::of), &calls.endpoint, calls.stream_messages) {
            (Some(asked), ..) => http::call(&self.standing, calls, asked, self.options().select).await,
            (None, Some(endpoint), _) => self.ask(endpoint).await,
            (None, None, Some(messages)) => self.chat(&id, messages).await,
            (None, None, None) => self.echo(id, work_ms).await,
        };
    }

    /// Asks an endpoint of which nothing is known; what it answers is its own business.
    async fn ask(&self, endpoint: &str) -> Result<()> {
        let client = &self.standing.client;
        let (idempotent, content_type) = (self.calls.idempotent, self.calls.content_type.clone());
        let options = RequestOptions { idempotent, content_type, ..RequestOptions::default() };
        let body = Frame(self.calls.body.clone().unwrap_or_default().into());
        let request = client.new_request(&self.calls.to, endpoint, Arc::new(body), options);
        client.call(&Context::new(), &request, &mut Frame::default(), self.options()).await
    }

    fn request(&self, id: &str, work_ms: u32) -> ProbeRequest {
        let payload = vec![b'x'; self.calls.body_bytes as usize].into();
        ProbeRequest { id: id.to_owned(), payload, work_ms, ..ProbeRequest::default() }
    }

    fn options(&self) -> CallOptions {
        let mut select = SelectOptions::default();
        if let Some(version) = &self.calls.version {
            select.filters.push(Arc::new(ByVersion::new(version)));
        }
        for (key, value) in &self.calls.label {
            select.filters.push(Arc::new(ByLabel::new(key, value)));
        }
        CallOptions {
            select: (!select.filters.is_empty()).then_some(select),
            request_timeout: Some(self.calls.timeout),
            stream_timeout: Some(self.calls.timeout),
            ..CallOptions::default()
        }
    }

    async fn echo(&self, id: String, work_ms: u32) -> Result<()> {
        let Standing { client, scribe, .. } = &*self.standing;
        let options = RequestOptions { idempotent: self.calls.idempotent, ..RequestOptions::default() };
        let request = client.new_request(&self.calls.to, ECHO, Arc::new(self.request(&id, work_ms)), options);
        let mut response = ProbeResponse::default();
        let (call, result) = client.call_as_operation(&Context::new(), &request, &mut response, self.options()).await;
        result?;
        scribe.point(Some(call), answered(Some(id), response.id));
        Ok(())
    }

    async fn chat(&self, id: &str, messages: u32) -> Result<()> {
        let env = &self.standing.env;
        let client = &self.standing.client;
        let options = RequestOptions { stream: true, idempotent: self.calls.idempotent, ..RequestOptions::default() };
        let request = client.new_request(&self.calls.to, CHAT, Arc::new(self.request(id, 0)), options);
        let context = Context::new().with_timeout(env, self.calls.timeout);
        let chat = async {
            let (opening, stream) = client.stream_as_operation(&context, &request, self.options()).await;
            let stream = stream?;
            self.exchange(opening, &*stream, id, messages).await?;
            stream.close().await
        };
        let timed = env.timeout(self.calls.timeout, chat).await;
        timed.unwrap_or_else(|elapsed| Err(Error::new(ErrorKind::Timeout, "chat").caused_by(elapsed)))
    }

    /// Sends `messages`, a few ahead of their answers, so that one that overtakes or is lost is noticed, and receives
    /// until the other end says that no more come.
    async fn exchange(&self, opening: OperationId, stream: &dyn ClientStream, id: &str, messages: u32) -> Result<()> {
        let scribe = &self.standing.scribe;
        let mut unsent = (0..messages).map(|number| format!("{id}/{number}"));
        let (mut unanswered, mut surplus) = (VecDeque::new(), 0);
        let mut sending = true;
        while surplus < SURPLUS_MAX {
            while sending && unanswered.len() < SENT_AHEAD {
                match unsent.next() {
                    Some(asked) => {
                        stream.send(&self.request(&asked, 0)).await?;
                        unanswered.push_back(asked);
                    }
                    None => {
                        stream.close_send().await?;
                        sending = false;
                    }
                }
            }
            let mut response = ProbeResponse::default();
            match stream.recv(&mut response).await {
                Ok(()) => {
                    let asked = unanswered.pop_front();
                    surplus += u32::from(asked.is_none());
                    scribe.point(Some(opening), answered(asked, response.id));
                }
                Err(error) if error.kind() == ErrorKind::EndOfStream => {
                    let unanswered = unanswered.into_iter().collect();
                    scribe.point(Some(opening), Point::StreamEnded { unanswered });
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// That the answer to `answered` came, where the one to `asked` was due.
fn answered(asked: Option<String>, answered: String) -> Point {
    let other = asked.as_ref() != Some(&answered);
    Point::Answered { asked, answered: other.then_some(answered) }
}
