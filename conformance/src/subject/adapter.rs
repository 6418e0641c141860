//! A running adapter and the connection to it. Calls run on a thread of their own, so that what is synchronous in an interface
//! can wait for an answer, too.

use std::sync::mpsc;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use shaketable_stack::{Error, ErrorKind, Result};
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

use super::process::Process;
use super::served::Served;
use super::status;

/// An adapter that does not answer a synchronous call within this time hangs.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// How long the connection to an adapter that has said its handshake may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// A running adapter.
#[derive(Debug)]
pub(super) struct Adapter {
    process: Mutex<Process>,
    runtime: Option<tokio::runtime::Runtime>,
    channel: Channel,
    served: OnceLock<Served>,
}

impl Adapter {
    /// Starts `line`.
    ///
    /// # Errors
    /// One sentence.
    pub(super) fn start(line: &str) -> std::result::Result<Self, String> {
        let process = Process::start(line)?;
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
        Ok(Self { process: Mutex::new(process), runtime: Some(runtime), channel, served: OnceLock::new() })
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
        match answered.recv_timeout(ANSWER_WITHIN) {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.error(operation, &status, ErrorKind::Closed)),
            Err(_) => Err(Error::new(ErrorKind::Timeout, operation)
                .detail(format!("the adapter did not answer within {ANSWER_WITHIN:?}"))),
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
        // A status that came over the wire has no source.
        let is_connection_lost = std::error::Error::source(status).is_some();
        let obituary = self.process.lock().unwrap_or_else(PoisonError::into_inner).obituary(is_connection_lost);
        match obituary {
            Some(text) => Error::new(ErrorKind::Internal, operation).detail(text),
            None => status::error(operation, status, cancelled),
        }
    }
}

/// Limits a generated client.
macro_rules! client {
    ($client:ident, $adapter:expr) => {
        $client::new($adapter.channel())
            .max_decoding_message_size($crate::subject::MESSAGE_BYTES_MAX)
            .max_encoding_message_size($crate::subject::MESSAGE_BYTES_MAX)
    };
}
pub(super) use client;

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
