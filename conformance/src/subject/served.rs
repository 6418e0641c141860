//! A registry of the harness, served to an adapter: what a selector behind it selects from. The adapter is a client of the
//! same protocol that it serves itself; a selector sees what the check does to its registry as one in this process does.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "an adapter is a process of its own, in real time"
)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::Stream;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use shaketable_proto::subject::v1::registry_server::{Registry as Serve, RegistryServer};
use shaketable_proto::subject::v1::{self as wire, Done, Handle};
use shaketable_stack::registry::{
    DeregisterOptions, Event, GetOptions, ListOptions, RegisterOptions, Registry, WatchOptions, Watcher,
};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status};
use tower_service::Service as _;

use super::registry::{action_to_wire, from_wire, to_wire};
use super::{MESSAGE_BYTES_MAX, status};

type Answer<T> = Result<Response<T>, Status>;

/// The registries that one adapter may open, each by a scope of its own.
#[derive(Clone, Debug)]
pub(super) struct Served {
    address: String,
    shelf: Arc<Mutex<Shelf>>,
}

#[derive(Debug, Default)]
struct Shelf {
    last: u64,
    registries: BTreeMap<u64, Arc<dyn Registry>>,
    watchers: BTreeMap<u64, Weak<dyn Watcher>>,
}

/// A registry that is served as long as this lives.
#[derive(Debug)]
pub(super) struct Lent {
    served: Served,
    id: u64,
}

impl Served {
    /// Serves on the runtime that this is called in, until that ends.
    ///
    /// # Errors
    /// When no port of loopback can be had.
    pub(super) fn start() -> std::io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let served = Self { address: listener.local_addr()?.to_string(), shelf: Arc::default() };
        let (listener, service) = (TcpListener::from_std(listener)?, served.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(service.clone().converse(stream));
            }
        });
        Ok(served)
    }

    /// Where it serves.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Lends `registry`.
    pub(super) fn lend(&self, registry: Arc<dyn Registry>) -> Lent {
        let mut shelf = self.shelf();
        shelf.last += 1;
        let id = shelf.last;
        shelf.registries.insert(id, registry);
        Lent { served: self.clone(), id }
    }

    async fn converse(self, stream: tokio::net::TcpStream) {
        let service = RegistryServer::new(self)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let answer = service_fn(move |request| {
            let mut service = service.clone();
            async move { Ok::<_, Infallible>(service.call(request).await.unwrap_or_else(|never| match never {})) }
        });
        // An adapter that has ended hangs up.
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .max_concurrent_streams(u32::MAX)
            .serve_connection(TokioIo::new(stream), answer)
            .await;
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn registry(&self, id: u64) -> Result<Arc<dyn Registry>, Status> {
        let registry = self.shelf().registries.get(&id).cloned();
        registry.ok_or_else(|| Status::invalid_argument(format!("no registry has the handle {id}")))
    }
}

impl Lent {
    /// What the adapter opens it by.
    pub(super) fn scope(&self) -> String {
        self.id.to_string()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.served.shelf().registries.remove(&self.id);
    }
}

fn service_of(service: Option<wire::Service>) -> Result<shaketable_stack::registry::Service, Status> {
    service.map(from_wire).ok_or_else(|| Status::invalid_argument("there is no service in the request"))
}

#[tonic::async_trait]
impl Serve for Served {
    async fn open(&self, request: Request<wire::OpenRequest>) -> Answer<Handle> {
        let scope = request.into_inner().scope;
        let id = scope.parse().map_err(|_| Status::invalid_argument(format!("no registry is called '{scope}'")))?;
        self.registry(id)?;
        Ok(Response::new(Handle { id }))
    }

    /// The registry belongs to the check; who closes the handle has let go of it.
    async fn close(&self, _request: Request<Handle>) -> Answer<Done> {
        Ok(Response::new(Done {}))
    }

    async fn register(&self, request: Request<wire::RegisterRequest>) -> Answer<Done> {
        let request = request.into_inner();
        let ttl = (request.ttl_ns > 0).then(|| Duration::from_nanos(request.ttl_ns));
        let registry = self.registry(request.instance)?;
        let registered = registry.register(&service_of(request.service)?, RegisterOptions { ttl }).await;
        registered.map(|()| Response::new(Done {})).map_err(|error| status::told(&error))
    }

    async fn deregister(&self, request: Request<wire::DeregisterRequest>) -> Answer<Done> {
        let request = request.into_inner();
        let registry = self.registry(request.instance)?;
        let gone = registry.deregister(&service_of(request.service)?, DeregisterOptions::default()).await;
        gone.map(|()| Response::new(Done {})).map_err(|error| status::told(&error))
    }

    async fn get_service(&self, request: Request<wire::GetServiceRequest>) -> Answer<wire::Services> {
        let request = request.into_inner();
        let found = self.registry(request.instance)?.get_service(&request.name, GetOptions::default()).await;
        let found = found.map_err(|error| status::told(&error))?;
        Ok(Response::new(wire::Services { services: found.iter().map(to_wire).collect() }))
    }

    async fn list_services(&self, request: Request<Handle>) -> Answer<wire::Services> {
        let listed = self.registry(request.into_inner().id)?.list_services(ListOptions::default()).await;
        let listed = listed.map_err(|error| status::told(&error))?;
        Ok(Response::new(wire::Services { services: listed.iter().map(to_wire).collect() }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<wire::WatchEvent, Status>> + Send>>;

    async fn watch(&self, request: Request<wire::WatchRequest>) -> Answer<Self::WatchStream> {
        let request = request.into_inner();
        let service = (!request.service.is_empty()).then_some(request.service);
        let watcher = self.registry(request.instance)?.watch(WatchOptions { service }).await;
        let watcher = watcher.map_err(|error| status::told(&error))?;
        let id = {
            let mut shelf = self.shelf();
            shelf.last += 1;
            let id = shelf.last;
            shelf.watchers.retain(|_, watcher| watcher.strong_count() > 0);
            shelf.watchers.insert(id, Arc::downgrade(&watcher));
            id
        };
        let first = wire::WatchEvent { watch: id, ..wire::WatchEvent::default() };
        // An adapter that lets go of the stream drops the watcher.
        let stream = futures_util::stream::unfold((Some(first), Some(watcher)), |(first, watcher)| async move {
            let watcher = watcher?;
            if let Some(first) = first {
                return Some((Ok(first), (None, Some(watcher))));
            }
            match watcher.next().await {
                Ok(Event { action, service }) => {
                    let event = wire::WatchEvent {
                        watch: 0,
                        action: action_to_wire(action).to_owned(),
                        service: Some(to_wire(&service)),
                    };
                    Some((Ok(event), (None, Some(watcher))))
                }
                Err(error) => Some((Err(status::told(&error)), (None, None))),
            }
        });
        Ok(Response::new(Box::pin(stream)))
    }

    async fn stop_watch(&self, request: Request<Handle>) -> Answer<Done> {
        // One that has ended by itself is not there any more.
        let watcher = self.shelf().watchers.remove(&request.into_inner().id);
        if let Some(watcher) = watcher.and_then(|watcher| watcher.upgrade()) {
            watcher.stop();
        }
        Ok(Response::new(Done {}))
    }
}
