//! Servers and clients on hosts, and calls from one to the other.

use std::sync::Arc;
use std::time::Duration;

use shaketable_stack::client::{CallOptions, Client, ClientOptions, ClientStream, Context, RequestOptions};
use shaketable_stack::registry::Service as Record;
use shaketable_stack::server::{Server, ServerOptions};
use shaketable_stack::{Error, ErrorKind, Result as StackResult};

use super::{Seen, Text, probe};
use crate::{Finding, Host, Outcome, Parts, Site};

/// Time for a call in which nothing is wrong, whatever the weather.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// How soon a handler that is called begins.
pub(crate) const BEGINS_WITHIN: Duration = Duration::from_secs(10);

/// How late a call may end that has a time-out, where nothing else is said of it.
pub(crate) const LATE: Duration = Duration::from_secs(5);

/// How long such a server waits for its handlers when it is stopped: a stop that cuts them off is a server's end that its
/// clients can see, in every weather.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(100);

/// A server that was started, with its probe.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    site: Site,
    host: Host,
    /// The server.
    pub(crate) server: Arc<dyn Server>,
    /// What it registers.
    pub(crate) record: Record,
}

impl Served {
    /// Where it is reached.
    pub(crate) fn address(&self) -> String {
        self.record.nodes.first().map(|node| node.address.clone()).unwrap_or_default()
    }

    /// Stops it.
    pub(crate) async fn stop(&self) -> Outcome {
        let server = self.server.clone();
        let stop = self.site.on(self.host, |_| async move { server.stop().await });
        self.site.ends("stop the server", stop).await??.map_err(|error| Finding::Broke(error.to_string()))
    }
}

/// Changes the options of `server`.
pub(crate) fn server_options(server: &Arc<dyn Server>, change: impl FnOnce(&mut ServerOptions)) -> Outcome {
    let mut options = server.options();
    change(&mut options);
    server.init(options).map_err(|error| refused("init the server", &error))
}

/// Starts a server of `service` on `host`; its label is `label`.
pub(crate) async fn serve(
    site: &Site,
    host: Host,
    service: &str,
    label: &str,
    seen: &Arc<Seen>,
) -> Result<Served, Finding> {
    site.step(format!("start server '{label}' of {service} on {}", host.name()));
    let (service, label, seen) = (service.to_owned(), label.to_owned(), seen.clone());
    let (server, record) = site
        .on(host, |site| async move {
            let parts = site.parts().await?;
            let server = site.server(&parts).await?;
            server_options(&server, |options| {
                options.name = service;
                options.drain_timeout = DRAIN_TIMEOUT;
            })?;
            server.handle(probe(site.env(), &seen, &label)).map_err(|error| refused("add the probe", &error))?;
            site.ask("start the server", server.start()).await?;
            let record = server.record().ok_or_else(|| Finding::violated("a record after the start", "none"))?;
            Ok::<_, Finding>((server, record))
        })
        .await??;
    Ok(Served { site: site.clone(), host, server, record })
}

fn refused(what: &str, error: &Error) -> Finding {
    Finding::violated(format!("'{what}' to succeed"), format!("the error `{error}`"))
}

/// A call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ask {
    /// `Type.Method`.
    pub(crate) endpoint: String,
    /// The body.
    pub(crate) text: String,
    /// The call's options.
    pub(crate) options: CallOptions,
    /// What the context's deadline is at the moment of the call, from now.
    pub(crate) deadline: Option<Duration>,
    /// The context's headers.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// The request's options.
    pub(crate) request: RequestOptions,
}

impl Ask {
    /// A call with plenty of time.
    pub(crate) fn of(endpoint: &str, text: impl Into<String>) -> Self {
        let options = CallOptions { request_timeout: Some(CALL_TIMEOUT), ..CallOptions::default() };
        Self { endpoint: endpoint.to_owned(), text: text.into(), options, ..Self::default() }
    }

    /// The same with other options.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut CallOptions)) -> Self {
        change(&mut self.options);
        self
    }

    /// The same with `timeout` for the whole call.
    pub(crate) fn timeout(self, timeout: Duration) -> Self {
        self.with(|options| options.request_timeout = Some(timeout))
    }

    /// The same with `retries`.
    pub(crate) fn retries(self, retries: u32) -> Self {
        self.with(|options| options.retries = Some(retries))
    }

    /// The same, marked as one that may run twice.
    pub(crate) fn idempotent(mut self) -> Self {
        self.request.idempotent = true;
        self
    }

    fn context(&self, site: &Site) -> Context {
        let mut context = Context::new();
        for (name, value) in &self.headers {
            context = context.with_header(name, value);
        }
        match self.deadline {
            Some(deadline) => context.with_timeout(site.env(), deadline),
            None => context,
        }
    }
}

/// A client on a host that calls one service.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    site: Site,
    host: Host,
    /// The client.
    pub(crate) client: Arc<dyn Client>,
    /// The service.
    pub(crate) service: String,
}

impl Caller {
    /// A client on `host` of parts of its own.
    pub(crate) async fn new(site: &Site, host: Host, service: &str) -> Result<Self, Finding> {
        let make = |site: Site| async move {
            let parts = site.parts().await?;
            site.client(&parts).await
        };
        let client = site.on(host, make).await??;
        Ok(Self { site: site.clone(), host, client, service: service.to_owned() })
    }

    /// A client on this host of `parts`.
    pub(crate) async fn of_parts(site: &Site, parts: &Parts, service: &str) -> Result<Self, Finding> {
        Ok(Self::of_client(site, site.client(parts).await?, service))
    }

    /// `client`, used on this host.
    pub(crate) fn of_client(site: &Site, client: Arc<dyn Client>, service: &str) -> Self {
        Self { site: site.clone(), host: Host::Home, client, service: service.to_owned() }
    }

    /// The same client, calling another service.
    pub(crate) fn of_service(&self, service: &str) -> Self {
        Self { service: service.to_owned(), ..self.clone() }
    }

    /// Changes the client's options.
    pub(crate) fn init(&self, change: impl FnOnce(&mut ClientOptions)) -> Outcome {
        let mut options = self.client.options();
        change(&mut options);
        self.client.init(options).map_err(|error| refused("init the client", &error))
    }

    /// Makes the call, however it ends. Without a limit of its own.
    ///
    /// # Errors
    /// When the caller's host is gone.
    pub(crate) async fn call(&self, ask: Ask) -> Result<StackResult<String>, Finding> {
        let (client, service) = (self.client.clone(), self.service.clone());
        let call = |site: Site| async move {
            let context = ask.context(&site);
            let request = client.new_request(&service, &ask.endpoint, Arc::new(Text::new(ask.text)), ask.request);
            let mut response = Text::default();
            client.call(&context, &request, &mut response, ask.options).await.map(|()| response.text)
        };
        self.site.on(self.host, call).await
    }

    /// Makes the call and waits for it to end, some time after its own time-out at the latest.
    pub(crate) async fn ends(&self, ask: Ask) -> Result<StackResult<String>, Finding> {
        let limit = ask.options.request_timeout.unwrap_or(CALL_TIMEOUT) + LATE;
        self.site.within(&described(&ask), limit, self.call(ask)).await?
    }

    /// Makes the call, which must succeed.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<String, Finding> {
        let what = described(&ask);
        self.ends(ask).await?.map_err(|error| {
            self.site.step(format!("{what}: {error}"));
            refused(&what, &error)
        })
    }

    /// Asks for an echo, which must come.
    pub(crate) async fn echo(&self, text: &str) -> Outcome {
        let answer = self.ask(Ask::of("Probe.Echo", text)).await?;
        crate::expect_equal("the answer of Probe.Echo", &answer.as_str(), &text)
    }

    /// Makes the call, which must fail with one of `kinds`.
    pub(crate) async fn refused(&self, ask: Ask, kinds: &[ErrorKind]) -> Result<Error, Finding> {
        let what = described(&ask);
        let ended = self.ends(ask).await?;
        self.site.refused(&what, kinds, std::future::ready(ended)).await
    }

    /// Opens a stream from this host.
    pub(crate) async fn stream(&self, ask: Ask) -> Result<Box<dyn ClientStream>, Finding> {
        let context = ask.context(&self.site);
        let body = Arc::new(Text::new(&ask.text));
        let options = RequestOptions { stream: true, ..ask.request.clone() };
        let request = self.client.new_request(&self.service, &ask.endpoint, body, options);
        self.site.ask(&format!("open {}", ask.endpoint), self.client.stream(&context, &request, ask.options)).await
    }
}

fn described(ask: &Ask) -> String {
    let text: String = ask.text.chars().take(24).collect();
    format!("call {} with '{text}'", ask.endpoint)
}
