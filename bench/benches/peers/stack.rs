//! This stack's clients and servers with its own plugins around them, both on one host: registry and broker in memory, codecs
//! by content type, a selector in turns.

use std::sync::Arc;

use bytes::Bytes;
use shaketable_stack::ErrorKind;
use shaketable_stack::broker::Broker;
use shaketable_stack::client::{CallOptions, Client, ClientParts, Context, Request, RequestOptions};
use shaketable_stack::codec::Codecs;
use shaketable_stack::env::{Env, Namespace, os};
use shaketable_stack::plugin::{Plugins, Settings};
use shaketable_stack::registry::Registry;
use shaketable_stack::selector::Selector;
use shaketable_stack::server::{Handler, Server, ServerParts};

use crate::echo::{Echo, Lane, Wire, held};

/// The service's name.
const SERVICE: &str = "bench";

/// A client and a server that runs.
#[derive(Clone)]
pub(crate) struct Stack {
    pub(crate) client: Arc<dyn Client>,
    server: Arc<dyn Server>,
    _selector: Arc<dyn Selector>,
    _broker: Arc<dyn Broker>,
}

impl Stack {
    /// Client and server called `protocol` over the transport called `transport`; the client finds the server by its selector.
    pub(crate) async fn start(protocol: &str, transport: &str) -> Self {
        Self::start_in(os::env(Namespace::new("bench")), protocol, transport).await
    }

    /// The same in `env`.
    pub(crate) async fn start_in(env: Env, protocol: &str, transport: &str) -> Self {
        Self::serving(env, protocol, transport, handler()).await
    }

    /// The same with a server of `handler`.
    pub(crate) async fn serving(env: Env, protocol: &str, transport: &str, handler: Handler) -> Self {
        let plugins = Plugins::reference();
        let none = Settings::default;
        let transport = plugins.transports.get(transport).expect("a transport").factory.clone();
        let transport = transport(env.clone(), none()).await.expect("a transport");
        let mut codecs = Vec::new();
        for plugin in plugins.codecs.iter() {
            codecs.push((plugin.factory)(env.clone(), none()).await.expect("a codec"));
        }
        let codecs = Codecs::new(codecs);
        let registry: Arc<dyn Registry> =
            (plugins.registries.get("memory").expect("it is there").factory)(env.clone(), none())
                .await
                .expect("a registry");
        let selector = &plugins.selectors.get("round_robin").expect("it is there").factory;
        let selector = selector(env.clone(), registry.clone(), none()).await.expect("a selector");
        let broker = &plugins.brokers.get("memory").expect("it is there").factory;
        let broker = broker(env.clone(), registry.clone(), none()).await.expect("a broker");

        let parts =
            ServerParts { transport: transport.clone(), codecs: codecs.clone(), registry, broker: broker.clone() };
        let server = &plugins.servers.get(protocol).expect("it is there").factory;
        let server = server(env.clone(), parts, none()).await.expect("a server");
        let mut options = server.options();
        options.name = SERVICE.to_owned();
        options.address = "127.0.0.1:0".to_owned();
        server.init(options).expect("new options");
        server.handle(handler).expect("a handler");
        server.start().await.expect("it listens");

        let parts = ClientParts { transport, codecs, selector: selector.clone(), broker: broker.clone() };
        let client = &plugins.clients.get(protocol).expect("it is there").factory;
        let client = client(env, parts, none()).await.expect("a client");
        Self { client, server, _selector: selector, _broker: broker }
    }

    /// The same with a client that knows the server's address.
    pub(crate) fn with_known_address(self) -> Self {
        let mut options = self.client.options();
        options.call.addresses = vec![self.address()];
        self.client.init(options).expect("new options");
        self
    }

    /// Where the server is.
    pub(crate) fn address(&self) -> String {
        self.server.record().expect("it runs").nodes[0].address.clone()
    }

    /// A request to `endpoint`.
    pub(crate) fn request(&self, endpoint: &str, payload: &Bytes) -> Request {
        let body = Arc::new(Echo { payload: payload.clone() });
        self.client.new_request(SERVICE, endpoint, body, RequestOptions::default())
    }
}

/// Answers with what it is asked.
fn handler() -> Handler {
    Handler::new("Echo").unary("Unary", |_, request: Echo| async move { Ok(request) }).stream(
        "Stream",
        |_, stream| async move {
            let mut message = Echo::default();
            loop {
                match stream.recv(&mut message).await {
                    Ok(()) => stream.send(&message).await?,
                    Err(error) if error.kind() == ErrorKind::EndOfStream => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        },
    )
}

/// A call for each exchange.
pub(crate) struct Call(Stack);

/// One client for all lanes.
pub(crate) fn calls(lanes: usize, stack: &Stack) -> Wire<Call> {
    Wire { lanes: (0..lanes).map(|_| Call(stack.clone())).collect(), _held: held(()) }
}

impl Lane for Call {
    async fn exchange(&mut self, payload: &Bytes, read: impl Fn(&[u8])) {
        let Self(stack) = self;
        let (request, mut response) = (stack.request("Echo.Unary", payload), Echo::default());
        let context = Context::new();
        let call = stack.client.call(&context, &request, &mut response, CallOptions::default());
        call.await.expect("an answer");
        read(&response.payload);
    }
}
