//! Options of clients and of single calls, with go-micro's defaults.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::{CallObserver, Request};
use crate::Error;
use crate::broker::Broker;
use crate::codec::Codecs;
use crate::opaque::opaque;
use crate::selector::{SelectOptions, Selector};
use crate::transport::Transport;

/// What a client is made of.
#[derive(Clone, Debug)]
pub struct ClientParts {
    /// Carries requests of the `rpc` client; `grpc` brings its own.
    pub transport: Arc<dyn Transport>,
    /// Codecs by content type.
    pub codecs: Codecs,
    /// Picks nodes.
    pub selector: Arc<dyn Selector>,
    /// Carries events.
    pub broker: Arc<dyn Broker>,
}

/// How a client is set up. go-micro: `client.Options`.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// What it is made of.
    pub parts: ClientParts,
    /// Content type of requests and events; `application/protobuf`.
    pub content_type: String,
    /// Largest number of idle connections that are kept, over all addresses; 100.
    pub pool_size: usize,
    /// How long an idle connection is kept; 1 minute.
    pub pool_ttl: Duration,
    /// Name of the service that calls, sent as `Micro-From-Service`.
    pub from_service: Option<String>,
    /// Options of every call that does not bring its own.
    pub call: CallOptions,
    /// Told of every attempt.
    pub observer: Option<Arc<dyn CallObserver>>,
}

impl ClientOptions {
    /// The defaults, with `parts`.
    pub fn new(parts: ClientParts) -> Self {
        Self {
            parts,
            content_type: "application/protobuf".to_owned(),
            pool_size: 100,
            pool_ttl: Duration::from_secs(60),
            from_service: None,
            call: CallOptions::default(),
            observer: None,
        }
    }
}

/// How one call is made; what is `None` comes from the client. go-micro: `client.CallOptions`.
#[derive(Clone, Debug, Default)]
pub struct CallOptions {
    /// Go to these nodes, past registry and selector, each attempt to the next.
    pub addresses: Vec<String>,
    /// Filters and strategy.
    pub select: Option<SelectOptions>,
    /// Extra attempts; 1.
    pub retries: Option<u32>,
    /// Limit for the whole call; 5 s. A deadline in the context that is earlier wins.
    pub request_timeout: Option<Duration>,
    /// Limit for opening a connection; 5 s.
    pub dial_timeout: Option<Duration>,
    /// Limit for a whole stream; none.
    pub stream_timeout: Option<Duration>,
    /// How long to wait before an attempt.
    pub backoff: Option<Backoff>,
    /// Decides whether a failed attempt is tried again; by default [`RetryDecision::standard`].
    pub retry: Option<RetryDecision>,
}

impl CallOptions {
    /// Extra attempts when nobody says otherwise. go-micro v1 to v4.9: 1.
    pub const RETRIES: u32 = 1;
    /// Limit for a whole call when nobody says otherwise. go-micro v1 to v4.9: 5 s.
    pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
    /// Limit for opening a connection when nobody says otherwise.
    pub const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

    /// These options, with what they leave open taken from `defaults`.
    #[must_use]
    pub fn or(self, defaults: &Self) -> Self {
        Self {
            addresses: if self.addresses.is_empty() { defaults.addresses.clone() } else { self.addresses },
            select: self.select.or_else(|| defaults.select.clone()),
            retries: self.retries.or(defaults.retries),
            request_timeout: self.request_timeout.or(defaults.request_timeout),
            dial_timeout: self.dial_timeout.or(defaults.dial_timeout),
            stream_timeout: self.stream_timeout.or(defaults.stream_timeout),
            backoff: self.backoff.or_else(|| defaults.backoff.clone()),
            retry: self.retry.or_else(|| defaults.retry.clone()),
        }
    }

    /// As [`or`](Self::or), without a copy of the `defaults` where these leave everything open.
    pub(super) fn over(self, defaults: &Self) -> Cow<'_, Self> {
        let Self { addresses, select, retries, request_timeout, dial_timeout, stream_timeout, backoff, retry } = &self;
        let timeouts = [request_timeout, dial_timeout, stream_timeout];
        let has_none =
            addresses.is_empty() && select.is_none() && retries.is_none() && backoff.is_none() && retry.is_none();
        if has_none && timeouts.into_iter().all(Option::is_none) {
            return Cow::Borrowed(defaults);
        }
        Cow::Owned(self.or(defaults))
    }
}

/// How long to wait before attempt `n` (0 is the first).
#[derive(Clone)]
pub struct Backoff(Arc<dyn Fn(u32) -> Duration + Send + Sync>);

impl Backoff {
    /// Waits what `wait` says.
    pub fn new(wait: impl Fn(u32) -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(wait))
    }

    /// The wait before attempt `attempt`.
    pub fn wait(&self, attempt: u32) -> Duration {
        (self.0)(attempt)
    }

    /// The wait of [`Backoff::default`].
    pub(super) fn standard_wait(attempt: u32) -> Duration {
        match attempt {
            0 => Duration::ZERO,
            1..=13 => Duration::from_millis((f64::from(attempt).powf(std::f64::consts::E) * 100.0) as u64),
            _ => Duration::from_secs(120),
        }
    }
}

impl Default for Backoff {
    /// `attempt`^e × 100 ms, at most 2 minutes: 0, 100 ms, 658 ms, 1.98 s, … (go-micro v2 and later,
    /// `util/backoff/backoff.go`).
    fn default() -> Self {
        Self::new(Self::standard_wait)
    }
}

opaque!(Backoff);

/// Decides whether a failed attempt is tried again: given the request, the attempt (0 is the first) and its error.
#[derive(Clone)]
pub struct RetryDecision(Arc<Decide>);

type Decide = dyn Fn(&Request, u32, &Error) -> bool + Send + Sync;

impl RetryDecision {
    /// Decides as `decide` does.
    pub fn new(decide: impl Fn(&Request, u32, &Error) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(decide))
    }

    /// Again when no handler can have run, and for an idempotent request also when one may have.
    pub fn standard() -> Self {
        use crate::error::Retry;
        Self::new(|request, _, error| match error.kind().retry() {
            Retry::Safe => true,
            Retry::MayRepeat => request.idempotent,
            Retry::Useless => false,
        })
    }

    /// Whether to try again.
    pub fn again(&self, request: &Request, attempt: u32, error: &Error) -> bool {
        (self.0)(request, attempt, error)
    }
}

opaque!(RetryDecision);

/// How one request is made. go-micro: `client.RequestOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestOptions {
    /// Picks the codec instead of the client's own.
    pub content_type: Option<String>,
    /// The request opens a stream.
    pub stream: bool,
    /// Running the handler twice does no harm.
    pub idempotent: bool,
}

/// How one event is made. go-micro: `client.MessageOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageOptions {
    /// Picks the codec instead of the client's own.
    pub content_type: Option<String>,
}

/// How one event is published. go-micro: `client.PublishOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishOptions {
    /// The broker's topic, where it is not the message's own.
    pub exchange: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::Backoff;

    #[test]
    fn backoff_is_go_micros() {
        let backoff = Backoff::default();
        let waits: Vec<u128> = (0..4).map(|attempt| backoff.wait(attempt).as_millis()).collect();
        assert_eq!(waits, [0, 100, 658, 1981]);
        assert_eq!(backoff.wait(14).as_secs(), 120);
    }
}
