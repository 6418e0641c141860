//! Small stand-ins for transport, codecs, selector, registry and broker, for unit tests of clients and servers. They count
//! and record; none knows faults beyond an address that refuses or swallows dials.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc};

use crate::broker::{self, Broker, BrokerOptions, Event, SubscribeOptions, Subscriber};
use crate::client::{ClientOptions, ClientParts};
use crate::codec::{Carrier, Codec, CodecFactory, Codecs, Marshaler, Payload};
use crate::env::Env;
use crate::env::testing::Hosts;
use crate::registry::{self, Node, Registry, Service, Services, Watcher};
use crate::selector::{
    Next, NodeSet, Outcome, SelectOptions, Selection, Selector, SelectorOptions, Strategy, StrategyState,
};
use crate::server::{ServerOptions, ServerParts};
use crate::transport::{self, DialOptions, ListenOptions, Message, Transport, TransportOptions};
use crate::{Error, ErrorKind, Result};

/// A message with one text.
#[derive(Clone, PartialEq, Eq, prost::Message, serde::Serialize, serde::Deserialize)]
pub(crate) struct Text {
    #[prost(string, tag = "1")]
    pub(crate) text: String,
}

/// A payload of `text`.
pub(crate) fn text(text: &str) -> Text {
    Text { text: text.to_owned() }
}

/// Everything that a client and a server need, on two hosts.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) server_env: Env,
    pub(crate) client_env: Env,
    pub(crate) transport: Arc<FakeTransport>,
    pub(crate) registry: Arc<FakeRegistry>,
    pub(crate) broker: Arc<FakeBroker>,
    pub(crate) selector: Arc<FakeSelector>,
}

impl World {
    pub(crate) fn new() -> Self {
        let hosts = Hosts::default();
        Self {
            server_env: hosts.host(1),
            client_env: hosts.host(2),
            transport: Arc::default(),
            registry: Arc::default(),
            broker: Arc::default(),
            selector: Arc::default(),
        }
    }

    pub(crate) fn server_options(&self) -> ServerOptions {
        let parts = ServerParts {
            transport: self.transport.clone(),
            codecs: codecs(),
            registry: self.registry.clone(),
            broker: self.broker.clone(),
        };
        ServerOptions { name: "user".to_owned(), ..ServerOptions::new(parts, "1".to_owned()) }
    }

    pub(crate) fn client_options(&self) -> ClientOptions {
        ClientOptions::new(ClientParts {
            transport: self.transport.clone(),
            codecs: codecs(),
            selector: self.selector.clone(),
            broker: self.broker.clone(),
        })
    }

    /// Lets tasks that were aborted or are about to end do so.
    pub(crate) async fn settle() {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
}

fn codecs() -> Codecs {
    Codecs::new(vec![Arc::new(FakeCodec(false)), Arc::new(FakeCodec(true))])
}

#[derive(Clone, Copy, Debug)]
struct FakeCodec(bool);

impl Marshaler for FakeCodec {
    fn marshal(&self, body: &dyn Payload) -> Result<Vec<u8>> {
        if self.0 { body.to_json() } else { Ok(body.to_protobuf()) }
    }

    fn unmarshal(&self, bytes: &[u8], body: &mut dyn Payload) -> Result<()> {
        if self.0 { body.read_json(bytes) } else { body.read_protobuf(bytes) }
    }

    fn name(&self) -> &'static str {
        if self.0 { "json" } else { "protobuf" }
    }
}

impl CodecFactory for FakeCodec {
    fn codec(&self, _carrier: Box<dyn Carrier>) -> Box<dyn Codec> {
        unreachable!("clients and servers use marshalers")
    }

    fn marshaler(&self) -> Arc<dyn Marshaler> {
        Arc::new(*self)
    }

    fn content_types(&self) -> &'static [&'static str] {
        if self.0 { &["application/json"] } else { &["application/protobuf"] }
    }

    fn name(&self) -> &'static str {
        Marshaler::name(self)
    }
}

/// A transport of queues. `host-1:80` and the address of the listener are the same.
#[derive(Debug, Default)]
pub(crate) struct FakeTransport {
    listeners: Mutex<BTreeMap<u16, mpsc::UnboundedSender<FakeSocket>>>,
    last_port: AtomicU16,
    /// Dials that were tried.
    pub(crate) dials: AtomicUsize,
    /// Addresses whose dials never end.
    pub(crate) silent: Mutex<BTreeSet<String>>,
    /// The server's ends of all connections, in order.
    pub(crate) accepted: Arc<Mutex<Vec<Arc<FakeSocket>>>>,
}

#[derive(Debug)]
pub(crate) struct FakeSocket {
    sender: Mutex<Option<mpsc::Sender<Message>>>,
    receiver: tokio::sync::Mutex<mpsc::Receiver<Message>>,
    closed: AtomicBool,
    closing: Notify,
}

impl FakeSocket {
    fn pair() -> (Self, Self) {
        let (near, far) = (mpsc::channel(16), mpsc::channel(16));
        let socket = |sender, receiver| Self {
            sender: Mutex::new(Some(sender)),
            receiver: tokio::sync::Mutex::new(receiver),
            closed: AtomicBool::new(false),
            closing: Notify::new(),
        };
        (socket(near.0, far.1), socket(far.0, near.1))
    }
}

#[async_trait]
impl transport::Socket for FakeSocket {
    async fn recv(&self) -> Result<Message> {
        let closing = self.closing.notified();
        let receive = async { self.receiver.lock().await.recv().await };
        tokio::pin!(closing, receive);
        closing.as_mut().enable();
        let closed = || Error::new(ErrorKind::Closed, "receive");
        if self.closed.load(Ordering::SeqCst) {
            return Err(closed());
        }
        match futures_util::future::select(receive, closing).await {
            futures_util::future::Either::Left((message, _)) => {
                message.ok_or_else(|| Error::new(ErrorKind::EndOfStream, "receive"))
            }
            futures_util::future::Either::Right(_) => Err(closed()),
        }
    }

    async fn send(&self, message: &Message) -> Result<()> {
        let sender = self.sender.lock().unwrap().clone();
        let gone = || Error::new(ErrorKind::Disconnected, "send");
        sender.ok_or_else(gone)?.send(message.clone()).await.map_err(|_| gone())
    }

    async fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::SeqCst);
        self.closing.notify_waiters();
        self.sender.lock().unwrap().take();
        Ok(())
    }

    fn local(&self) -> String {
        "near".to_owned()
    }

    fn remote(&self) -> String {
        "far".to_owned()
    }
}

#[derive(Debug)]
struct FakeListener {
    port: u16,
    sockets: tokio::sync::Mutex<mpsc::UnboundedReceiver<FakeSocket>>,
    accepted: Arc<Mutex<Vec<Arc<FakeSocket>>>>,
}

#[async_trait]
impl transport::Listener for FakeListener {
    fn address(&self) -> String {
        format!("0.0.0.0:{}", self.port)
    }

    async fn accept(&self) -> Result<Arc<dyn transport::Socket>> {
        let socket = self.sockets.lock().await.recv().await;
        let socket = Arc::new(socket.ok_or_else(|| Error::new(ErrorKind::Closed, "accept"))?);
        self.accepted.lock().unwrap().push(socket.clone());
        Ok(socket)
    }

    async fn close(&self) -> Result<()> {
        self.sockets.lock().await.close();
        Ok(())
    }
}

#[async_trait]
impl Transport for FakeTransport {
    fn init(&self, _options: TransportOptions) -> Result<()> {
        Ok(())
    }

    fn options(&self) -> TransportOptions {
        TransportOptions::default()
    }

    async fn dial(&self, address: &str, _options: DialOptions) -> Result<Arc<dyn transport::Socket>> {
        self.dials.fetch_add(1, Ordering::SeqCst);
        if self.silent.lock().unwrap().contains(address) {
            std::future::pending::<()>().await;
        }
        let unreachable = || Error::new(ErrorKind::Unreachable, "dial").with("address", address);
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).ok_or_else(unreachable)?;
        let (near, far) = FakeSocket::pair();
        let listener = self.listeners.lock().unwrap().get(&port).cloned();
        listener.ok_or_else(unreachable)?.send(far).map_err(|_| unreachable())?;
        Ok(Arc::new(near))
    }

    async fn listen(&self, _address: &str, _options: ListenOptions) -> Result<Arc<dyn transport::Listener>> {
        let port = 100 + self.last_port.fetch_add(1, Ordering::SeqCst);
        let (sender, sockets) = mpsc::unbounded_channel();
        self.listeners.lock().unwrap().insert(port, sender);
        let accepted = self.accepted.clone();
        Ok(Arc::new(FakeListener { port, sockets: tokio::sync::Mutex::new(sockets), accepted }))
    }

    fn name(&self) -> &'static str {
        "fake"
    }
}

/// Hands out its nodes in turn; knows a service after its first `load`.
#[derive(Debug, Default)]
pub(crate) struct FakeSelector {
    pub(crate) nodes: Mutex<Vec<Node>>,
    pub(crate) loads: AtomicUsize,
    pub(crate) marks: Mutex<Vec<(String, Outcome)>>,
    state: StrategyState,
}

impl FakeSelector {
    pub(crate) fn add(&self, address: &str) {
        let node = Node { id: address.to_owned(), address: address.to_owned(), ..Node::default() };
        self.nodes.lock().unwrap().push(node);
    }
}

#[derive(Debug)]
struct InTurn;

impl Strategy for InTurn {
    fn pick(&self, set: &NodeSet, state: &StrategyState) -> usize {
        state.fetch_add(1, Ordering::SeqCst) % set.nodes.len().max(1)
    }

    fn name(&self) -> &'static str {
        "in_turn"
    }
}

#[async_trait]
impl Selector for FakeSelector {
    fn init(&self, _options: SelectorOptions) -> Result<()> {
        Ok(())
    }

    fn options(&self) -> SelectorOptions {
        SelectorOptions { registry: Arc::new(FakeRegistry::default()), strategy: Arc::new(InTurn) }
    }

    fn select(&self, service: &str, _options: &SelectOptions) -> Result<Selection> {
        if self.loads.load(Ordering::SeqCst) == 0 {
            return Ok(Selection::Miss);
        }
        let nodes = self.nodes.lock().unwrap().iter().cloned().map(Arc::new).collect();
        let set = NodeSet { service: service.to_owned(), nodes };
        Ok(Selection::Ready(Next::new(Arc::new(set), Arc::new(InTurn), self.state.clone())))
    }

    async fn load(&self, _service: &str) -> Result<()> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn mark(&self, _service: &str, node: &Node, outcome: Outcome) {
        self.marks.lock().unwrap().push((node.address.clone(), outcome));
    }

    fn reset(&self, _service: &str) {}

    async fn close(&self) -> Result<()> {
        Ok(())
    }

    fn name(&self) -> &'static str {
        "fake"
    }
}

/// Records what is registered; fails while `failing`.
#[derive(Debug, Default)]
pub(crate) struct FakeRegistry {
    pub(crate) log: Mutex<Vec<String>>,
    pub(crate) last: Mutex<Option<Service>>,
    pub(crate) failing: AtomicBool,
}

impl FakeRegistry {
    fn note(&self, what: &str) -> Result<()> {
        self.log.lock().unwrap().push(what.to_owned());
        if self.failing.load(Ordering::SeqCst) { Err(Error::new(ErrorKind::Backend, "register")) } else { Ok(()) }
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

#[async_trait]
impl Registry for FakeRegistry {
    fn init(&self, _options: registry::RegistryOptions) -> Result<()> {
        Ok(())
    }

    fn options(&self) -> registry::RegistryOptions {
        registry::RegistryOptions::default()
    }

    async fn register(&self, service: &Service, _options: registry::RegisterOptions) -> Result<()> {
        *self.last.lock().unwrap() = Some(service.clone());
        self.note("register")
    }

    async fn deregister(&self, _service: &Service, _options: registry::DeregisterOptions) -> Result<()> {
        self.note("deregister")
    }

    async fn get_service(&self, name: &str, _options: registry::GetOptions) -> Result<Services> {
        Err(Error::new(ErrorKind::NotFound, "get service").with("service", name))
    }

    async fn list_services(&self, _options: registry::ListOptions) -> Result<Services> {
        Ok(Services::default())
    }

    async fn watch(&self, _options: registry::WatchOptions) -> Result<Arc<dyn Watcher>> {
        Err(Error::new(ErrorKind::Unsupported, "watch"))
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }

    fn name(&self) -> &'static str {
        "fake"
    }
}

type Subscribers = Vec<(usize, String, Arc<dyn broker::Handler>, SubscribeOptions)>;

/// Delivers inside `publish` and gives back what handlers return; records queues.
#[derive(Debug, Default)]
pub(crate) struct FakeBroker {
    pub(crate) connected: AtomicBool,
    pub(crate) published: Mutex<Vec<(String, broker::Message)>>,
    subscribers: Arc<Mutex<SubscriberList>>,
}

#[derive(Default)]
struct SubscriberList {
    last: usize,
    list: Subscribers,
}

impl std::fmt::Debug for SubscriberList {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} subscribers", self.list.len())
    }
}

impl FakeBroker {
    /// Topics and queues that are subscribed to.
    pub(crate) fn subscribed(&self) -> Vec<(String, Option<String>)> {
        let subscribers = self.subscribers.lock().unwrap();
        subscribers.list.iter().map(|(_, topic, _, options)| (topic.clone(), options.queue.clone())).collect()
    }
}

#[async_trait]
impl Broker for FakeBroker {
    fn init(&self, _options: BrokerOptions) -> Result<()> {
        Ok(())
    }

    fn options(&self) -> BrokerOptions {
        BrokerOptions::default()
    }

    fn address(&self) -> String {
        String::new()
    }

    async fn connect(&self) -> Result<()> {
        self.connected.store(true, Ordering::SeqCst);
        Ok(())
    }

    async fn disconnect(&self) -> Result<()> {
        self.connected.store(false, Ordering::SeqCst);
        Ok(())
    }

    async fn publish(&self, topic: &str, message: &broker::Message, _options: broker::PublishOptions) -> Result<()> {
        if !self.connected.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::NotConnected, "publish"));
        }
        self.published.lock().unwrap().push((topic.to_owned(), message.clone()));
        let handlers: Vec<_> = {
            let subscribers = self.subscribers.lock().unwrap();
            let of_topic = subscribers.list.iter().filter(|(_, own, _, _)| own == topic);
            of_topic.map(|(_, _, handler, _)| handler.clone()).collect()
        };
        for handler in handlers {
            let (topic, message) = (topic.into(), Arc::new(message.clone()));
            handler.handle(Event { topic, message, acknowledgement: None }).await?;
        }
        Ok(())
    }

    async fn subscribe(
        &self,
        topic: &str,
        handler: Arc<dyn broker::Handler>,
        options: SubscribeOptions,
    ) -> Result<Arc<dyn Subscriber>> {
        let mut subscribers = self.subscribers.lock().unwrap();
        subscribers.last += 1;
        let number = subscribers.last;
        subscribers.list.push((number, topic.to_owned(), handler, options.clone()));
        Ok(Arc::new(FakeSubscriber { number, topic: topic.to_owned(), options, all: self.subscribers.clone() }))
    }

    fn name(&self) -> &'static str {
        "fake"
    }
}

#[derive(Debug)]
struct FakeSubscriber {
    number: usize,
    topic: String,
    options: SubscribeOptions,
    all: Arc<Mutex<SubscriberList>>,
}

#[async_trait]
impl Subscriber for FakeSubscriber {
    fn options(&self) -> SubscribeOptions {
        self.options.clone()
    }

    fn topic(&self) -> &str {
        &self.topic
    }

    async fn unsubscribe(&self) -> Result<()> {
        self.all.lock().unwrap().list.retain(|(number, ..)| *number != self.number);
        Ok(())
    }
}
