//! The attempts of one call: wait, select, tell the observer, bound by the deadline, mark, and decide whether to try again.
//! It does not know how a request travels. go-micro: `rpcClient.Call` (client/rpc_client.go).

use std::time::Duration;

use super::core::Settled;
use super::{Backoff, CallOptions, Context, Request, RetryDecision};
use crate::env::{Env, Instant};
use crate::registry::Node;
use crate::selector::{Outcome, Picked, SelectOptions};
use crate::{Error, ErrorKind, Result};

/// The attempts of one call, in order.
#[derive(Debug)]
pub(super) struct Attempts<'a> {
    env: &'a Env,
    client: &'a Settled,
    call: &'a CallOptions,
    context: &'a Context,
    request: &'a Request,
    attempt: u32,
    deadline: Instant,
    given: Duration,
    failed: Option<Error>,
}

impl<'a> Attempts<'a> {
    /// The attempts of `request`, with `call` as it applies (the client's own options merged in). The deadline is the
    /// earlier one of the context's and the request time-out's, and holds for everything: waiting, looking up, dialling.
    pub(super) fn new(
        env: &'a Env,
        client: &'a Settled,
        call: &'a CallOptions,
        context: &'a Context,
        request: &'a Request,
    ) -> Self {
        let now = env.now();
        let limit = now + call.request_timeout.unwrap_or(CallOptions::REQUEST_TIMEOUT);
        let deadline = context.deadline.map_or(limit, |deadline| deadline.min(limit));
        Self { env, client, call, context, request, attempt: 0, deadline, given: deadline - now, failed: None }
    }

    /// When the call ends, whatever happens.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Limit for dialling. Where the deadline is nearer, or as near, the limit lies beyond it: it is the deadline then that
    /// ends the call, and is named.
    pub(super) fn dial_timeout(&self) -> Duration {
        let remaining = self.deadline - self.env.now();
        let limit = self.call.dial_timeout.unwrap_or(CallOptions::DIAL_TIMEOUT);
        if limit < remaining { limit } else { remaining + Duration::from_secs(1) }
    }

    /// Waits as long as the backoff says and selects the node of the next attempt.
    ///
    /// # Errors
    /// What the selector said when nothing is left to try; the last attempt's error when the deadline is nearer than the
    /// end of the backoff; `Timeout`.
    pub(super) async fn begin(&mut self) -> Result<Picked> {
        loop {
            let wait = match &self.call.backoff {
                Some(backoff) => backoff.wait(self.attempt),
                None => Backoff::standard_wait(self.attempt),
            };
            if self.env.now() + wait >= self.deadline {
                // The wait would only turn an error that says something into a time-out.
                return Err(self.failed.take().unwrap_or_else(|| self.exceeded()));
            }
            if !wait.is_zero() {
                self.env.sleep(wait).await;
            }
            let selected = match self.select() {
                Some(selected) => selected,
                None => match self.env.timeout_at(self.deadline, self.load()).await {
                    Ok(loaded) => loaded,
                    Err(_) => return Err(self.exceeded()),
                },
            };
            match selected {
                Ok(node) => {
                    if let Some(observer) = &self.client.observer {
                        observer.attempt(self.context, self.request, &node, self.attempt);
                    }
                    return Ok(node);
                }
                Err(error) => self.failed = Some(self.again(error)?),
            }
        }
    }

    /// Does the work of an attempt, at most until the deadline.
    pub(super) async fn bounded<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.env.timeout_at(self.deadline, work).await.unwrap_or_else(|_| Err(self.exceeded()))
    }

    /// Takes note of how the attempt at `node` ended. `None`: begin the next one.
    pub(super) fn end<T>(&mut self, node: &Node, result: Result<T>) -> Option<Result<T>> {
        let seen = result.as_ref().map(|_| ());
        if let Some(observer) = &self.client.observer {
            observer.attempt_ended(self.context, self.request, node, self.attempt, seen);
        }
        if self.call.addresses.is_empty() {
            self.client.parts.selector.mark(&self.request.service, node, outcome(seen));
        }
        match result {
            Ok(value) => Some(Ok(value)),
            Err(error) => match self.again(error) {
                Ok(error) => {
                    self.failed = Some(error);
                    None
                }
                Err(error) => Some(Err(error)),
            },
        }
    }

    /// Moves on to the next attempt, or gives the error back when there is none.
    fn again(&mut self, error: Error) -> Result<Error> {
        let retries = self.call.retries.unwrap_or(CallOptions::RETRIES);
        if self.attempt >= retries || self.env.now() >= self.deadline {
            return Err(error);
        }
        let again = match &self.call.retry {
            Some(decision) => decision.again(self.request, self.attempt, &error),
            None => RetryDecision::standard().again(self.request, self.attempt, &error),
        };
        if !again {
            return Err(error);
        }
        self.attempt += 1;
        Ok(error)
    }

    /// The node, as far as it is known without asking; `None` when the service has to be looked up.
    fn select(&self) -> Option<Result<Picked>> {
        let addresses = &self.call.addresses;
        if !addresses.is_empty() {
            return Some(Ok(self.client.node(addresses, self.attempt as usize % addresses.len()).into()));
        }
        let everything = SelectOptions::default();
        let options = self.call.select.as_ref().unwrap_or(&everything);
        self.client.parts.selector.pick(&self.request.service, options).transpose()
    }

    /// Looks the service up, and selects.
    async fn load(&self) -> Result<Picked> {
        let service = &self.request.service;
        self.client.parts.selector.load(service).await?;
        self.select().unwrap_or_else(|| Err(Error::new(ErrorKind::NotFound, "select").with("service", service)))
    }

    fn exceeded(&self) -> Error {
        Error::new(ErrorKind::Timeout, "call")
            .detail(format!("no answer within {:?}", self.given))
            .with("service", &self.request.service)
            .with("endpoint", &self.request.endpoint)
            .with("deadline", format!("{:?}", self.given))
            .with("attempts", (self.attempt + 1).to_string())
    }
}

/// What a result says of the node. A status is an answer, also one that says that something behind the node timed out.
fn outcome(result: Result<(), &Error>) -> Outcome {
    match result {
        Err(error) if error.status().is_some() => Outcome::Answered,
        result => Outcome::of(result),
    }
}

/// The error of an attempt whose connection could not be opened: nothing was sent, so that trying again is safe.
pub(super) fn not_reached(error: Error, address: &str) -> Error {
    match error.kind() {
        ErrorKind::Unreachable | ErrorKind::Unsupported | ErrorKind::InvalidInput => error,
        _ => Error::new(ErrorKind::Unreachable, "dial").with("address", address).caused_by(error),
    }
}

/// The error of an attempt whose connection failed after something may have been sent: a handler may have run.
pub(super) fn broken(error: Error, address: &str) -> Error {
    match error.kind() {
        ErrorKind::EndOfStream | ErrorKind::Closed | ErrorKind::NotConnected | ErrorKind::Unreachable => {
            Error::new(ErrorKind::Disconnected, "call").with("address", address).caused_by(error)
        }
        _ => error,
    }
}
