//! What simulated services serve: an endpoint that answers with what it was asked, and one that does so for a whole stream.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use shaketable_proto::probe::v1::{ProbeRequest, ProbeResponse};
use shaketable_stack::error::Status;
use shaketable_stack::server::{Handler, Server};
use shaketable_stack::{Env, Error, ErrorKind, Result};

/// `Type.Method` of the unary endpoint.
pub(super) const ECHO: &str = "Probe.Echo";
/// `Type.Method` of the stream.
pub(super) const CHAT: &str = "Probe.Chat";

/// The handler `Probe`.
pub(super) fn handler(env: &Env, server: Weak<dyn Server>) -> Handler {
    let seen: Arc<Mutex<BTreeMap<String, u32>>> = Arc::default();
    let (unary_env, unary_server) = (env.clone(), server.clone());
    let stream_server = server;
    Handler::new("Probe")
        .unary("Echo", move |_context, request: ProbeRequest| {
            let (env, server, seen) = (unary_env.clone(), unary_server.clone(), seen.clone());
            async move {
                let attempt = {
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    let count = seen.entry(request.id.clone()).or_default();
                    *count += 1;
                    *count
                };
                if request.work_ms > 0 {
                    env.sleep(Duration::from_millis(u64::from(request.work_ms))).await;
                }
                answer(request, &server, attempt)
            }
        })
        .stream("Chat", move |_context, stream| {
            let server = stream_server.clone();
            async move {
                loop {
                    let mut request = ProbeRequest::default();
                    match stream.recv(&mut request).await {
                        Ok(()) => stream.send(&answer(request, &server, 1)?).await?,
                        Err(error) if error.kind() == ErrorKind::EndOfStream => return Ok(()),
                        Err(error) => return Err(error),
                    }
                }
            }
        })
}

fn answer(request: ProbeRequest, server: &Weak<dyn Server>, attempt: u32) -> Result<ProbeResponse> {
    let node = server.upgrade().and_then(|server| server.node_id());
    if request.fail {
        return Err(Error::remote("probe", Status::new("probe", 500, "asked to fail")));
    }
    Ok(ProbeResponse { id: request.id, node_id: node.unwrap_or_default(), payload: request.payload, attempt })
}
