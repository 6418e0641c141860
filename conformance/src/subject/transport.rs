//! A transport behind an adapter.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use shaketable_proto::subject::v1::transport_client::TransportClient;
use shaketable_proto::subject::v1::{self as wire, Handle};
use shaketable_stack::Result;
use shaketable_stack::env::Env;
use shaketable_stack::plugin::Settings;
use shaketable_stack::transport::{DialOptions, ListenOptions, Listener, Message, Socket, Transport, TransportOptions};
use tonic::transport::Channel;

use super::adapter::{Adapter, client};
use super::{SubjectCommand, adapter, open_request};

/// Opens an instance.
pub(super) async fn open(env: Env, command: SubjectCommand, settings: Settings) -> Result<Arc<dyn Transport>> {
    let adapter = adapter(&env, &command)?;
    let request = open_request(&env, settings)?;
    let mut client = client!(TransportClient, adapter);
    let instance = adapter.call("open", async move { client.open(request).await }).await?.id;
    Ok(Arc::new(SubjectTransport { adapter, instance, options: Mutex::default() }))
}

#[derive(Debug)]
struct SubjectTransport {
    adapter: Arc<Adapter>,
    instance: u64,
    options: Mutex<TransportOptions>,
}

#[async_trait]
impl Transport for SubjectTransport {
    fn init(&self, options: TransportOptions) -> Result<()> {
        *self.options.lock().unwrap_or_else(PoisonError::into_inner) = options;
        Ok(())
    }

    fn options(&self) -> TransportOptions {
        self.options.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn dial(&self, address: &str, options: DialOptions) -> Result<Arc<dyn Socket>> {
        let mut client = client!(TransportClient, self.adapter);
        let request = wire::DialRequest {
            instance: self.instance,
            address: address.to_owned(),
            timeout_ns: u64::try_from(options.timeout.as_nanos()).unwrap_or(u64::MAX),
            stream: options.stream,
        };
        let socket = self.adapter.call("dial", async move { client.dial(request).await }).await?;
        Ok(SubjectSocket::open(&self.adapter, socket))
    }

    async fn listen(&self, address: &str, _options: ListenOptions) -> Result<Arc<dyn Listener>> {
        let mut client = client!(TransportClient, self.adapter);
        let request = wire::ListenRequest { instance: self.instance, address: address.to_owned() };
        let listener = self.adapter.call("listen", async move { client.listen(request).await }).await?;
        let adapter = self.adapter.clone();
        Ok(Arc::new(SubjectListener { adapter, listener: listener.listener, address: listener.address }))
    }

    fn name(&self) -> &'static str {
        super::PLUGIN
    }
}

#[derive(Debug)]
struct SubjectListener {
    adapter: Arc<Adapter>,
    listener: u64,
    address: String,
}

impl SubjectListener {
    fn client(&self) -> TransportClient<Channel> {
        client!(TransportClient, self.adapter)
    }
}

#[async_trait]
impl Listener for SubjectListener {
    fn address(&self) -> String {
        self.address.clone()
    }

    async fn accept(&self) -> Result<Arc<dyn Socket>> {
        let mut client = self.client();
        let request = Handle { id: self.listener };
        let socket = self.adapter.call("accept", async move { client.accept(request).await }).await?;
        Ok(SubjectSocket::open(&self.adapter, socket))
    }

    async fn close(&self) -> Result<()> {
        let mut client = self.client();
        let request = Handle { id: self.listener };
        self.adapter.call("close", async move { client.close_listener(request).await }).await.map(drop)
    }
}

impl Drop for SubjectListener {
    fn drop(&mut self) {
        let mut client = self.client();
        let request = Handle { id: self.listener };
        self.adapter.begin(async move { client.close_listener(request).await });
    }
}

#[derive(Debug)]
struct SubjectSocket {
    adapter: Arc<Adapter>,
    socket: u64,
    local: String,
    remote: String,
}

impl SubjectSocket {
    fn open(adapter: &Arc<Adapter>, socket: wire::SocketReply) -> Arc<dyn Socket> {
        let wire::SocketReply { socket, local, remote } = socket;
        Arc::new(Self { adapter: adapter.clone(), socket, local, remote })
    }

    fn client(&self) -> TransportClient<Channel> {
        client!(TransportClient, self.adapter)
    }
}

#[async_trait]
impl Socket for SubjectSocket {
    async fn recv(&self) -> Result<Message> {
        let mut client = self.client();
        let request = Handle { id: self.socket };
        let message = self.adapter.call("receive", async move { client.receive(request).await }).await?;
        Ok(Message { header: message.header, body: message.body })
    }

    async fn send(&self, message: &Message) -> Result<()> {
        let mut client = self.client();
        let message = wire::Message { header: message.header.clone(), body: message.body.clone() };
        let request = wire::SendRequest { socket: self.socket, message: Some(message) };
        self.adapter.call("send", async move { client.send(request).await }).await.map(drop)
    }

    async fn close(&self) -> Result<()> {
        let mut client = self.client();
        let request = Handle { id: self.socket };
        self.adapter.call("close", async move { client.close_socket(request).await }).await.map(drop)
    }

    fn local(&self) -> String {
        self.local.clone()
    }

    fn remote(&self) -> String {
        self.remote.clone()
    }
}

impl Drop for SubjectSocket {
    fn drop(&mut self) {
        let mut client = self.client();
        let request = Handle { id: self.socket };
        self.adapter.begin(async move { client.close_socket(request).await });
    }
}
