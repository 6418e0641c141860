//! Connections to etcd over the network of the `Env`. Whoever gets no answer in time reports the link, and the next request
//! dials anew: a connection that lost bytes to a partition may never speak again. It knows nothing of what is stored.

use std::error::Error as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use etcd_client::{Client, ConnectOptions};
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tonic::Code;
use tonic::transport::{Channel, Endpoint, Uri};
use tower_service::Service;

use super::config;
use crate::env::{Elapsed, Env, Instant, Stream};
use crate::opaque::opaque;
use crate::registry::{RegistryOptions, records};
use crate::{Error, ErrorKind, Result};

/// The link in use, and what it is made from.
pub(super) struct Links {
    env: Env,
    state: Mutex<State>,
    /// The number of the last link that was given up; streams on it open again on another.
    given_up: watch::Sender<u64>,
}

struct State {
    options: RegistryOptions,
    link: Option<Arc<Link>>,
    links: u64,
    /// Which address the next link tries first.
    first: usize,
    closed: bool,
}

/// A connection, or what becomes one with the first request.
pub(super) struct Link {
    pub(super) number: u64,
    pub(super) client: Client,
    pub(super) channel: Channel,
}

impl Link {
    /// A client whose streams end when the member that it is connected to has had no leader for a while: it would be told of no
    /// change any more, and silence looks like peace.
    pub(super) async fn insisting(&self) -> Result<Client> {
        let options = ConnectOptions::new().with_require_leader(true);
        let channel = etcd_client::Channel::Tonic(self.channel.clone());
        Client::from_channel(channel, Some(options)).await.map_err(|error| refused("watch", error))
    }
}

impl Links {
    /// Dials nothing.
    pub(super) fn new(env: Env, options: RegistryOptions) -> Self {
        let state = State { options, link: None, links: 0, first: 0, closed: false };
        Self { env, state: Mutex::new(state), given_up: watch::Sender::new(0) }
    }

    pub(super) fn options(&self) -> RegistryOptions {
        self.lock().options.clone()
    }

    /// Takes other options; requests from now on use new connections.
    pub(super) fn replace_options(&self, options: RegistryOptions) {
        let number = {
            let mut state = self.lock();
            state.options = options;
            state.first = 0;
            state.link.as_ref().map(|link| link.number)
        };
        if let Some(number) = number {
            self.give_up(number);
        }
    }

    /// Ends the use of link `number`, if it is still in use.
    pub(super) fn give_up(&self, number: u64) {
        let mut state = self.lock();
        if state.link.as_ref().is_some_and(|link| link.number == number) {
            state.link = None;
            state.first = state.first.wrapping_add(1);
            self.given_up.send_replace(number);
        }
    }

    /// Completes when link `number` has been given up.
    pub(super) async fn given_up(&self, number: u64) {
        // The sender lives as long as `self`, so this cannot fail before the wait is over.
        let _ = self.given_up.subscribe().wait_for(|last| *last >= number).await;
    }

    /// Refuses all further use.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.link = None;
        self.given_up.send_replace(u64::MAX);
    }

    /// The link in use, or a new one.
    ///
    /// # Errors
    /// `Closed`, and `Unsupported` when encryption was asked for.
    pub(super) async fn current(&self, operation: &'static str) -> Result<Arc<Link>> {
        let (channel, number) = {
            let mut state = self.lock();
            if state.closed {
                return Err(records::closed(operation));
            }
            records::check_secure(state.options.secure, operation)?;
            if let Some(link) = &state.link {
                return Ok(link.clone());
            }
            state.links += 1;
            (self.channel(&state), state.links)
        };
        // Without a user to log in this asks nobody.
        let client = Client::from_channel(etcd_client::Channel::Tonic(channel.clone()), None::<ConnectOptions>)
            .await
            .map_err(|error| refused(operation, error))?;
        let link = Arc::new(Link { number, client, channel });
        let mut state = self.lock();
        Ok(state.link.get_or_insert(link).clone())
    }

    /// One request: what `ask` does on the current link, within the time-out; see [`call_by`](Self::call_by). It copies of the
    /// client the part that it needs: a copy of the whole is nine.
    pub(super) async fn call<T, Asking>(&self, operation: &'static str, ask: impl FnMut(&Client) -> Asking) -> Result<T>
    where
        Asking: Future<Output = Result<T, etcd_client::Error>>,
    {
        self.call_by(self.deadline(), operation, ask).await
    }

    /// One request of several that are to be over by `deadline`: what `ask` does on the current link. A link on which nobody
    /// answers, or that broke, is given up, and the request is repeated once on a new one. Every request of a registry may be.
    pub(super) async fn call_by<T, Asking>(
        &self,
        deadline: Instant,
        operation: &'static str,
        mut ask: impl FnMut(&Client) -> Asking,
    ) -> Result<T>
    where
        Asking: Future<Output = Result<T, etcd_client::Error>>,
    {
        let answer = self.call_once(operation, deadline, &mut ask).await;
        if let Some(ErrorKind::Disconnected) = answer.as_ref().err().map(Error::kind) {
            return self.call_once(operation, deadline, &mut ask).await;
        }
        answer
    }

    async fn call_once<T, Asking>(
        &self,
        operation: &'static str,
        deadline: Instant,
        ask: &mut impl FnMut(&Client) -> Asking,
    ) -> Result<T>
    where
        Asking: Future<Output = Result<T, etcd_client::Error>>,
    {
        let link = self.current(operation).await?;
        match self.env.timeout_at(deadline, ask(&link.client)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                let error = refused(operation, error);
                if error.kind() == ErrorKind::Disconnected {
                    self.give_up(link.number);
                }
                Err(error)
            }
            Err(Elapsed) => {
                self.give_up(link.number);
                Err(self.no_answer(operation))
            }
        }
    }

    /// The error of a request that was not answered in time.
    pub(super) fn no_answer(&self, operation: &'static str) -> Error {
        let options = self.options();
        Error::new(ErrorKind::Timeout, operation)
            .detail("etcd did not answer")
            .with("addresses", config::addresses(&options).join(", "))
    }

    /// When a request that begins now must be over.
    pub(super) fn deadline(&self) -> Instant {
        self.env.now() + self.lock().options.timeout
    }

    fn channel(&self, state: &State) -> Channel {
        let connector = Connector {
            env: self.env.clone(),
            addresses: config::addresses(&state.options).into(),
            first: Arc::new(AtomicUsize::new(state.first)),
        };
        // The name only fills HTTP/2's `:authority`: the connector knows the addresses.
        Endpoint::from(Uri::from_static("http://etcd"))
            .executor(self.env.executor("etcd"))
            .http2_keep_alive_interval(config::PING_INTERVAL)
            .keep_alive_timeout(config::PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .connect_with_connector_lazy(connector)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

opaque!(Links);

/// Dials the addresses in turn until one answers.
#[derive(Clone)]
struct Connector {
    env: Env,
    addresses: Arc<[String]>,
    first: Arc<AtomicUsize>,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _authority: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.dial().await })
    }
}

impl Connector {
    async fn dial(&self) -> Result<TokioIo<Stream>> {
        let mut failures = Vec::new();
        let limit = config::dial_within(&self.addresses);
        for _ in 0..self.addresses.len() {
            let address = &self.addresses[self.first.load(Ordering::Relaxed) % self.addresses.len()];
            match self.env.timeout(limit, self.env.network().connect(address)).await {
                Ok(Ok(stream)) => return Ok(TokioIo::new(stream)),
                Ok(Err(error)) => failures.push(format!("{address}: {error}")),
                Err(Elapsed) => failures.push(format!("{address}: timed out")),
            }
            self.first.fetch_add(1, Ordering::Relaxed);
        }
        Err(Error::new(ErrorKind::Unreachable, "dial").detail(failures.join("; ")))
    }
}

/// What an error of the etcd client means to a caller.
pub(super) fn refused(operation: &'static str, error: etcd_client::Error) -> Error {
    match error {
        etcd_client::Error::GRpcStatus(status) => refused_status(operation, &status),
        other => Error::new(ErrorKind::Backend, operation).caused_by(other),
    }
}

/// What a gRPC status means to a caller.
pub(super) fn refused_status(operation: &'static str, status: &tonic::Status) -> Error {
    let mut source = status.source();
    while let Some(cause) = source {
        if let Some(dial) = cause.downcast_ref::<Error>() {
            return Error::new(dial.kind(), operation).detail(dial.to_string());
        }
        source = cause.source();
    }
    // A status that came over the wire has no source; with one, the connection failed. etcd itself says UNAVAILABLE while it
    // has no leader or ends: another member, or a moment later, may do better.
    let broken = status.source().is_some() || status.code() == Code::Unavailable;
    let kind = if broken { ErrorKind::Disconnected } else { ErrorKind::Backend };
    Error::new(kind, operation).detail(status.message())
}

/// Whether etcd said that it does not know a lease (`rpctypes.ErrLeaseNotFound`).
pub(super) fn is_lease_not_found(error: &Error) -> bool {
    error.to_string().contains("requested lease not found")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use etcd_client::{Client, GetResponse};

    use super::{Links, is_lease_not_found, refused_status};
    use crate::ErrorKind;
    use crate::env::testing::env;
    use crate::registry::RegistryOptions;

    fn options(addresses: &[&str]) -> RegistryOptions {
        RegistryOptions {
            addresses: addresses.iter().map(|&address| address.to_owned()).collect(),
            timeout: Duration::from_secs(2),
            ..RegistryOptions::default()
        }
    }

    fn get_x(client: &Client) -> impl Future<Output = Result<GetResponse, etcd_client::Error>> + use<> {
        let mut keys = client.kv_client();
        async move { keys.get("x", None).await }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_connection_names_every_address() {
        let links = Links::new(env(), options(&["host-2:2379", "host-3:2379"]));
        let error = links.call("get", get_x).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        assert!(error.to_string().contains("host-2:2379: connection refused; host-3:2379"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_backend_costs_the_time_out_and_the_link() {
        let env = env();
        let mut listener = env.network().listen(":2379").await.unwrap();
        let links = Links::new(env.clone(), options(&["host-1:2379"]));
        let (answer, _held) = tokio::join!(links.call("get", get_x), listener.accept());
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(env.now().since_origin().as_secs(), 2);
        links.given_up(1).await;
    }

    #[test]
    fn an_unknown_lease_is_told_from_other_errors() {
        let error = refused_status("put", &tonic::Status::not_found("etcdserver: requested lease not found"));
        assert!(is_lease_not_found(&error));
        assert!(!is_lease_not_found(&refused_status("put", &tonic::Status::unavailable("gone"))));
    }
}
