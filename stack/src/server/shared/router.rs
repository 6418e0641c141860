//! Finds what serves an endpoint, runs it, and turns what it returns, or its panic, into a body or a status. It knows no
//! connection. go-micro: `server/rpc_router.go`.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use futures_util::FutureExt;

use crate::client::Context;
use crate::codec::{Frame, Marshaler, Payload};
use crate::error::Status;
use crate::registry;
use crate::server::{Decode, EndpointKind, Handler, ServerStream, StreamFunction, UnaryFunction};
use crate::{Error, ErrorKind, Result};

/// Handlers by name.
#[derive(Debug, Default)]
pub(crate) struct Router {
    handlers: RwLock<BTreeMap<String, Handler>>,
}

/// Why a request cannot be given to a handler; the texts are go-micro's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoRoute {
    /// The endpoint is not `Type.Method`.
    IllFormed(String),
    /// No handler of that name.
    NoService(String),
    /// The handler has no such method.
    NoMethod(String),
}

impl NoRoute {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::IllFormed(endpoint) => format!("rpc: service/endpoint request ill-formed: {endpoint}"),
            Self::NoService(service) => format!("rpc: can't find service {service}"),
            Self::NoMethod(method) => format!("rpc: can't find method {method}"),
        }
    }
}

impl Router {
    /// Adds `handler`.
    ///
    /// # Errors
    /// `InvalidInput` when one of that name is there, or it has no endpoint.
    pub(crate) fn add(&self, handler: Handler) -> Result<()> {
        let refused =
            |why| Err(Error::new(ErrorKind::InvalidInput, "add handler").detail(why).with("handler", handler.name()));
        if handler.endpoints().is_empty() {
            return refused("it has no endpoint");
        }
        let mut handlers = self.handlers.write().unwrap_or_else(PoisonError::into_inner);
        if handlers.contains_key(handler.name()) {
            return refused("there is one of that name");
        }
        handlers.insert(handler.name().to_owned(), handler);
        Ok(())
    }

    /// What serves `endpoint` (`Type.Method`).
    pub(crate) fn find(&self, endpoint: &str) -> Result<EndpointKind, NoRoute> {
        match endpoint.split_once('.') {
            Some((service, method)) if !method.contains('.') => self.find_method(service, method),
            _ => Err(NoRoute::IllFormed(endpoint.to_owned())),
        }
    }

    /// What serves `method` of the handler `service`.
    pub(crate) fn find_method(&self, service: &str, method: &str) -> Result<EndpointKind, NoRoute> {
        let handlers = self.handlers.read().unwrap_or_else(PoisonError::into_inner);
        let handler = handlers.get(service).ok_or_else(|| NoRoute::NoService(service.to_owned()))?;
        let endpoint = handler.endpoint(method).ok_or_else(|| NoRoute::NoMethod(method.to_owned()))?;
        Ok(endpoint.kind.clone())
    }

    /// The endpoints of all handlers as they are registered, in the order of the handlers' names.
    pub(crate) fn records(&self) -> Vec<registry::Endpoint> {
        let handlers = self.handlers.read().unwrap_or_else(PoisonError::into_inner);
        handlers.values().flat_map(Handler::records).collect()
    }
}

/// Runs a unary handler, which answers with a body; `server` names who speaks in a status.
pub(crate) async fn run_unary(
    function: &UnaryFunction,
    context: Context,
    codec: Arc<dyn Marshaler>,
    body: Bytes,
    server: &Arc<str>,
) -> Result<Box<dyn Payload>, Status> {
    let decode = decode_by(codec, body, server.clone());
    let work = AssertUnwindSafe(async { function(context, decode).await });
    match work.catch_unwind().await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) => Err(status_of(&error, server)),
        Err(panic) => Err(status_of_panic(&*panic, server)),
    }
}

/// Runs a stream handler.
pub(crate) async fn run_stream(
    function: &StreamFunction,
    context: Context,
    stream: Arc<dyn ServerStream>,
    server: &str,
) -> Result<(), Status> {
    match AssertUnwindSafe(async { function(context, stream).await }).catch_unwind().await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(status_of(&error, server)),
        Err(panic) => Err(status_of_panic(&*panic, server)),
    }
}

/// Reads `body` by `codec`. What cannot be read is the caller's fault: its error is a status 400, whatever the handler
/// makes of it.
pub(crate) fn decode_by(codec: Arc<dyn Marshaler>, body: Bytes, server: Arc<str>) -> Decode {
    Box::new(move |payload: &mut dyn Payload| {
        if let Some(frame) = payload.as_any_mut().downcast_mut::<Frame>() {
            frame.0 = body;
            return Ok(());
        }
        let read = codec.unmarshal(&body, payload);
        read.map_err(|error| {
            Error::remote("decode request", Status::new(&server, 400, &error.to_string())).caused_by(error)
        })
    })
}

pub(crate) fn encode_by(codec: &dyn Marshaler, payload: &dyn Payload) -> Result<Bytes> {
    match payload.as_frame() {
        Some(frame) => Ok(frame.clone()),
        None => codec.marshal(payload).map(Bytes::from),
    }
}

/// What an error of a handler says to the caller: a status travels on as it is, anything else gets the code that is
/// nearest to its kind.
pub(crate) fn status_of(error: &Error, server: &str) -> Status {
    if let Some(status) = error.status() {
        return status.clone();
    }
    let code = match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::InvalidMessage | ErrorKind::TooLarge => 400,
        ErrorKind::NotFound => 404,
        ErrorKind::Timeout => 408,
        _ => 500,
    };
    Status::new(server, code, &error.to_string())
}

/// What a panic of a handler says to the caller.
pub(crate) fn status_of_panic(panic: &(dyn Any + Send), server: &str) -> Status {
    Status::new(server, 500, &format!("panic recovered: {}", panic_text(panic)))
}

/// The text that a panic carries.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}

#[cfg(test)]
mod tests {
    use super::Router;
    use crate::codec::Frame;
    use crate::server::Handler;

    #[test]
    fn unknown_and_ill_formed_endpoints_are_refused_in_go_micros_words() {
        let router = Router::default();
        router.add(Handler::new("User").unary("Get", |_, frame: Frame| async move { Ok(frame) })).unwrap();
        assert!(router.add(Handler::new("User").unary("Get", |_, frame: Frame| async move { Ok(frame) })).is_err());
        assert!(router.add(Handler::new("Empty")).is_err());
        assert!(router.find("User.Get").is_ok());
        let text = |endpoint: &str| router.find(endpoint).err().map(|no| no.text()).unwrap_or_default();
        assert_eq!(text("Book.Get"), "rpc: can't find service Book");
        assert_eq!(text("User.Put"), "rpc: can't find method Put");
        for wrong in ["User", "User.Get.All", ""] {
            assert_eq!(text(wrong), format!("rpc: service/endpoint request ill-formed: {wrong}"));
        }
    }
}
