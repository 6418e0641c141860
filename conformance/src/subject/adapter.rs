//! A running adapter and the connection to it. Calls run on a thread of their own, so that what is synchronous in an interface
//! can wait for an answer, too.

use std::sync::mpsc;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use shaketable_proto::subject::v1::StatsRequest;
use shaketable_proto::subject::v1::subject_client::SubjectClient;
use shaketable_stack::{Error, ErrorKind, Result};
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

use super::process::Process;
use super::served::Served;
use super::{SubjectCommand, status};

/// How long the connection to an adapter that has said its handshake may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Limits a generated client.
macro_rules! client {
    ($client:ident, $adapter:expr) => {
        $client::new($adapter.channel())
            .max_decoding_message_size($crate::subject::MESSAGE_BYTES_MAX)
            .max_encoding_message_size($crate::subject::MESSAGE_BYTES_MAX)
    };
}
pub(super) use client;

/// A running adapter.
#[derive(Debug)]
pub(super) struct Adapter {
    process: Mutex<Process>,
    answer_within: Duration,
    runtime: Option<tokio::runtime::Runtime>,
    channel: Channel,
    served: OnceLock<Served>,
}

impl Adapter {
    /// Starts `command`.
    ///
    /// # Errors
    /// One sentence.
    pub(super) fn start(command: &SubjectCommand) -> std::result::Result<Self, String> {
        let process = Process::start(command)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("subject")
            .enable_all()
            .build()
            .map_err(|error| format!("failed to make a runtime: {error}"))?;
        let address = format!("http://{}", process.handshake().address);
        let endpoint = Endpoint::from_shared(address.clone()).map_err(|error| format!("{address}: {error}"))?;
        let channel = {
            let _entered = runtime.enter();
            endpoint.connect_timeout(CONNECT_WITHIN).connect_lazy()
        };
        let answer_within = command.limits.answer_within;
        let process = Mutex::new(process);
        Ok(Self { process, answer_within, runtime: Some(runtime), channel, served: OnceLock::new() })
    }

    /// The connection.
    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Waits for `call`; a failure is an error while doing `operation`.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        operation: &'static str,
        call: impl Future<Output = std::result::Result<Response<T>, Status>> + Send + 'static,
    ) -> Result<T> {
        self.call_with(operation, ErrorKind::Closed, call).await
    }

    /// The same where CANCELLED means `cancelled`.
    pub(super) async fn call_with<T: Send + 'static>(
        &self,
        operation: &'static str,
        cancelled: ErrorKind,
        call: impl Future<Output = std::result::Result<Response<T>, Status>> + Send + 'static,
    ) -> Result<T> {
        let Some(runtime) = &self.runtime else { return Err(Error::new(ErrorKind::Closed, operation)) };
        // A dropped caller cancels the call.
        let task = AbortOnDrop(runtime.spawn(call));
        match task.await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.error(operation, &status, cancelled)),
            Err(_) => Err(Error::new(ErrorKind::Internal, operation).detail("the call's task ended")),
        }
    }

    /// Waits for `call` on this thread.
    pub(super) fn call_now<T: Send + 'static>(
        &self,
        operation: &'static str,
        call: impl Future<Output = std::result::Result<Response<T>, Status>> + Send + 'static,
    ) -> Result<T> {
        let Some(runtime) = &self.runtime else { return Err(Error::new(ErrorKind::Closed, operation)) };
        let (answer, answered) = mpsc::channel();
        runtime.spawn(async move {
            // Nobody waits any more when the deadline has passed.
            let _ = answer.send(call.await);
        });
        match answered.recv_timeout(self.answer_within) {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.error(operation, &status, ErrorKind::Closed)),
            Err(_) => Err(Error::new(ErrorKind::Timeout, operation)
                .detail(format!("the adapter did not answer within {:?}", self.answer_within))),
        }
    }

    /// What is served to the adapter; the first who asks starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn served(&self) -> Result<Served> {
        if let Some(served) = self.served.get() {
            return Ok(served.clone());
        }
        let Some(runtime) = &self.runtime else { return Err(Error::new(ErrorKind::Closed, "serve a registry")) };
        let _entered = runtime.enter();
        let served = Served::start()
            .map_err(|error| Error::new(ErrorKind::Internal, "serve a registry").detail(error.to_string()))?;
        Ok(self.served.get_or_init(|| served).clone())
    }

    /// Begins `call` without waiting for it; for what has no answer, such as a stop.
    pub(super) fn begin(&self, call: impl Future + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(async move { drop(call.await) });
        }
    }

    /// The error that `status` tells of, or that the adapter is gone.
    pub(super) fn error(&self, operation: &'static str, status: &Status, cancelled: ErrorKind) -> Error {
        match self.obituary(is_connection_lost(status)) {
            Some(text) => Error::new(ErrorKind::Internal, operation).detail(text),
            None => status::error(operation, status, cancelled),
        }
    }

    /// What is wrong with the adapter itself: it has ended, cannot be reached, or hangs. One that is sound answers a question
    /// for its `Stats` whatever its plugin does, be it that it has none.
    #[expect(clippy::disallowed_methods, reason = "an adapter is a process of its own, in real time")]
    pub(super) async fn complaint(&self) -> Option<String> {
        if let Some(text) = self.obituary(false) {
            return Some(text);
        }
        let (mut client, within) = (client!(SubjectClient, self), self.answer_within);
        let asking = async move { tokio::time::timeout(within, client.stats(StatsRequest {})).await };
        match AbortOnDrop(self.runtime.as_ref()?.spawn(asking)).await {
            Ok(Err(_)) => Some(format!("the adapter hangs: it does not even answer Stats within {within:?}")),
            Ok(Ok(Err(status))) if is_connection_lost(&status) => {
                let text = self.obituary(true);
                Some(text.unwrap_or_else(|| format!("the adapter cannot be reached: {}", status.message())))
            }
            _ => None,
        }
    }

    fn obituary(&self, is_connection_lost: bool) -> Option<String> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).obituary(is_connection_lost)
    }
}

/// A status that came over the wire has no source.
fn is_connection_lost(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Future for AbortOnDrop<T> {
    type Output = std::result::Result<T, tokio::task::JoinError>;

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(context)
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        // A runtime must not be waited for where tasks run.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
