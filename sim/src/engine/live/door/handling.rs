//! What a service was seen to handle: begun when a request has reached it, ended when its answer has. Who was killed meanwhile
//! has not ended it, as in any history.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use shaketable_stack::metadata::names;

use super::Door;
use crate::engine::live::own::Stands;
use crate::history::{Answer, Failure, Operation, OperationId};

/// gRPC's own word for how a call went; 0 is success.
const GRPC_STATUS: &str = "grpc-status";

/// One request under way.
pub(super) struct Handling {
    door: Arc<Door>,
    id: Option<OperationId>,
}

impl Handling {
    /// A request is handed to the service.
    pub(super) fn begin(door: &Arc<Door>, request: &Request<Incoming>) -> Self {
        let headers = request.headers();
        let cause = text(headers, names::SPAN_ID).and_then(|id| id.parse().ok()).map(OperationId);
        let node = door.own.nodes().into_iter().next().unwrap_or_else(|| door.own.service().address());
        let operation = Operation::Handle { endpoint: endpoint(request), node };
        let id = door.recorder.invoke_for(cause, door.own.host(), door.wall(), operation);
        Self { door: door.clone(), id: Some(id) }
    }

    /// The service has answered, with a body that may go on.
    pub(super) fn answered(self, response: Response<Incoming>) -> Response<Answered> {
        let failure = failed(response.status(), response.headers());
        response.map(|body| Answered { body, handling: Some(self), failure })
    }

    /// It broke before there was an answer.
    pub(super) fn broke(self, error: &hyper::Error) {
        self.end(Err(Failure { kind: "Disconnected".to_owned(), text: format!("the service broke off: {error}") }));
    }

    fn end(mut self, result: Result<Answer, Failure>) {
        self.conclude(result);
    }

    fn conclude(&mut self, result: Result<Answer, Failure>) {
        let (door, own) = (&self.door, &self.door.own);
        if let Some(id) = self.id.take().filter(|_| !matches!(own.stands(), Stands::Down(_))) {
            let at = own.latest(door.recorder.now());
            door.recorder.complete_at(at, own.host(), door.wall(), id, result);
        }
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        self.conclude(Err(Failure::cancelled()));
    }
}

/// An answer's body on its way.
pub(super) struct Answered {
    body: Incoming,
    handling: Option<Handling>,
    failure: Option<Failure>,
}

impl Answered {
    fn end(&mut self, result: Result<Answer, Failure>) {
        if let Some(handling) = self.handling.take() {
            handling.end(result);
        }
    }

    fn whole(&mut self) -> Result<Answer, Failure> {
        self.failure.take().map_or(Ok(Answer::Done), Err)
    }
}

impl Body for Answered {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.failure = self.failure.take().or_else(|| failed(StatusCode::OK, trailers));
                }
                if self.body.is_end_stream() {
                    let result = self.whole();
                    self.end(result);
                }
            }
            Some(Err(error)) => {
                let text = format!("the service broke off its answer: {error}");
                self.end(Err(Failure { kind: "Disconnected".to_owned(), text }));
            }
            None => {
                let result = self.whole();
                self.end(result);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        // Nobody asks for the end of a body that has nothing more.
        if self.body.is_end_stream() {
            let result = self.whole();
            self.end(result);
        }
    }
}

/// What was asked for, as the history names it: `Type.Method` where the caller says so or speaks gRPC, else the request.
fn endpoint(request: &Request<Incoming>) -> String {
    let headers = request.headers();
    if let Some(endpoint) = text(headers, names::ENDPOINT).or_else(|| text(headers, names::METHOD)) {
        return endpoint.to_owned();
    }
    let path = request.uri().path();
    let is_grpc = text(headers, "content-type").is_some_and(|kind| kind.starts_with("application/grpc"));
    match path.rsplit_once('/').filter(|_| is_grpc) {
        Some((service, method)) => {
            format!("{}.{method}", service.rsplit(['.', '/']).next().unwrap_or_default())
        }
        None => format!("{} {path}", request.method()),
    }
}

/// How a service says that it could not do what it was asked.
fn failed(status: StatusCode, headers: &HeaderMap) -> Option<Failure> {
    let remote = |text: String| Some(Failure { kind: "Remote".to_owned(), text });
    if status.is_client_error() || status.is_server_error() {
        return remote(format!("status {status}"));
    }
    if let Some(code) = text(headers, GRPC_STATUS).filter(|code| *code != "0") {
        return remote(format!("grpc-status {code}"));
    }
    let error = text(headers, names::ERROR).filter(|error| !error.is_empty() && *error != names::END_OF_STREAM)?;
    remote(error.to_owned())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
