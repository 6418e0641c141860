//! Calls by plain HTTP, for services that speak nothing of the stack's: a node is selected as for any call, asked once over a
//! connection of its own, and its answer read to the end.

use std::sync::Arc;

use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use shaketable_stack::error::Status;
use shaketable_stack::metadata::names;
use shaketable_stack::registry::Node;
use shaketable_stack::selector::{Outcome, SelectOptions, Selection};
use shaketable_stack::{Error, ErrorKind, Result};

use crate::decorate::done;
use crate::history::{Failure, Operation, OperationId, Point, with_cause};
use crate::scenario::model::Calls;
use crate::stand::Standing;

/// What is asked for: `GET /users/1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked<'a> {
    /// The method.
    pub(crate) method: &'a str,
    /// The path, with its query.
    pub(crate) path: &'a str,
}

impl<'a> Asked<'a> {
    /// What `text` says, if it says a method and a path.
    pub(crate) fn of(text: &'a str) -> Option<Self> {
        let (method, path) = text.split_once(' ')?;
        let is_method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
        let is_path = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
        (is_method && is_path).then_some(Self { method, path })
    }
}

/// Makes one call.
pub(super) async fn call(
    standing: &Standing,
    calls: &Calls,
    asked: Asked<'_>,
    select: Option<SelectOptions>,
) -> Result<()> {
    let (env, scribe) = (&standing.env, &standing.scribe);
    let id = scribe.begin(Operation::Call {
        service: calls.to.clone(),
        endpoint: format!("{} {}", asked.method, asked.path),
        idempotent: calls.idempotent,
        timeout: calls.timeout,
    });
    let select = select.unwrap_or_default();
    let work = async {
        let attempting = attempt(standing, calls, asked, &select, id);
        let timed = env.timeout(calls.timeout, attempting).await;
        timed.unwrap_or_else(|elapsed| Err(Error::new(ErrorKind::Timeout, "call").caused_by(elapsed)))
    };
    scribe.finish(id, done, with_cause(Some(id), work)).await
}

async fn attempt(
    standing: &Standing,
    calls: &Calls,
    asked: Asked<'_>,
    select: &SelectOptions,
    id: OperationId,
) -> Result<()> {
    let Standing { scribe, selector, .. } = standing;
    let next = loop {
        match selector.select(&calls.to, select)? {
            Selection::Ready(next) => break next,
            Selection::Miss => selector.load(&calls.to).await?,
        }
    };
    let node = next.node()?;
    let strategy = select.strategy.clone().unwrap_or_else(|| selector.options().strategy).name().to_owned();
    let (service, address) = (calls.to.clone(), node.address.clone());
    scribe.point(Some(id), Point::Attempt { service, node: node.id.clone(), address, attempt: 0, strategy });
    let mut ended = Ended { standing, calls, node: node.clone(), id, told: false };
    let result = exchange(standing, calls, asked, &node, id).await;
    ended.tell(result.as_ref().copied());
    result
}

/// How an attempt ended is told in any case, also when its time is up.
struct Ended<'a> {
    standing: &'a Standing,
    calls: &'a Calls,
    node: Arc<Node>,
    id: OperationId,
    told: bool,
}

impl Ended<'_> {
    fn tell(&mut self, result: std::result::Result<(), &Error>) {
        self.told = true;
        self.standing.selector.mark(&self.calls.to, &self.node, Outcome::of(result));
        let failure = result.err().map(Failure::of);
        let point = Point::AttemptEnded { node: self.node.id.clone(), attempt: 0, failure };
        self.standing.scribe.point(Some(self.id), point);
    }
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        if !self.told {
            self.tell(Err(&Error::new(ErrorKind::Timeout, "call")));
        }
    }
}

async fn exchange(standing: &Standing, calls: &Calls, asked: Asked<'_>, node: &Node, id: OperationId) -> Result<()> {
    let lost = |error: hyper::Error| Error::new(ErrorKind::Disconnected, "call").caused_by(error);
    let env = &standing.env;
    let stream = env.network().connect(&node.address).await;
    let stream = stream.map_err(|error| Error::new(ErrorKind::Unreachable, "dial").caused_by(error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
    let connection = env.spawn("http", async move {
        // How it ends is told to who waits for an answer.
        let _ = connection.await;
    });
    let body = match &calls.body {
        Some(body) => Bytes::copy_from_slice(body.as_bytes()),
        None => Bytes::new(),
    };
    let mut request = Request::builder()
        .method(asked.method)
        .uri(asked.path)
        .header(header::HOST, &node.address)
        .header(names::SPAN_ID, id.0.to_string());
    if let Some(kind) = &calls.content_type {
        request = request.header(header::CONTENT_TYPE, kind);
    }
    let bad = |error| Error::new(ErrorKind::InvalidInput, "call").caused_by(error);
    let request = request.body(Full::new(body)).map_err(bad)?;
    let response = sender.send_request(request).await.map_err(lost)?;
    let status = response.status();
    let answer = response.into_body().collect().await.map_err(lost)?.to_bytes();
    drop(connection);
    if status.is_client_error() || status.is_server_error() {
        let detail = String::from_utf8_lossy(&answer).into_owned();
        return Err(Error::remote("call", Status::new(&calls.to, i32::from(status.as_u16()), &detail)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Asked;

    #[test]
    fn a_request_is_a_method_and_a_path() {
        assert_eq!(Asked::of("GET /users/1?x=y"), Some(Asked { method: "GET", path: "/users/1?x=y" }));
        for wrong in ["", "GET", "/users", "get /", "GET users", "GET /a b", " /", "GET  /"] {
            assert_eq!(Asked::of(wrong), None, "{wrong}");
        }
    }
}
