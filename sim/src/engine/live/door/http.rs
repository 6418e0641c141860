//! HTTP through a door, of both versions: each connection of a caller has one to the service, and a request is handed over when
//! the service executes at all. It does not look into bodies.

use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1 as to_service_1, http2 as to_service_2};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::Door;
use super::handling::{Answered, Handling};

/// HTTP/1: one request after the other.
pub(super) async fn one(door: Arc<Door>, caller: TcpStream, service: TcpStream) {
    let client =
        to_service_1::Builder::new().preserve_header_case(true).handshake::<_, Incoming>(TokioIo::new(service));
    let Ok((sender, connection)) = client.await else { return };
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        // How it ends is told by the answers that it does not give.
        let _ = connection.with_upgrades().await;
    });
    let sender = Arc::new(Mutex::new(sender));
    let serve = service_fn(|request: Request<Incoming>| {
        let (door, sender) = (door.clone(), sender.clone());
        async move {
            let mut sender = sender.lock().await;
            door.own.goes_on().await;
            sender.ready().await?;
            hand(&door, request, |request| sender.send_request(request)).await
        }
    });
    let server =
        http1::Builder::new().preserve_header_case(true).serve_connection(TokioIo::new(caller), serve).with_upgrades();
    // What a caller breaks off has ended for it.
    let _ = server.await;
}

/// HTTP/2: many requests at a time.
pub(super) async fn two(door: Arc<Door>, caller: TcpStream, service: TcpStream) {
    let client = to_service_2::Builder::new(TokioExecutor::new()).handshake::<_, Incoming>(TokioIo::new(service));
    let Ok((sender, connection)) = client.await else { return };
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let _ = connection.await;
    });
    let serve = service_fn(|request: Request<Incoming>| {
        let (door, mut sender) = (door.clone(), sender.clone());
        async move {
            door.own.goes_on().await;
            sender.ready().await?;
            hand(&door, request, |request| sender.send_request(request)).await
        }
    });
    let server = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(caller), serve);
    let _ = server.await;
}

/// Hands `request` to the service, and its answer back when the service goes on.
async fn hand<Sent>(
    door: &Arc<Door>,
    mut request: Request<Incoming>,
    send: impl FnOnce(Request<Incoming>) -> Sent,
) -> Result<Response<Answered>, hyper::Error>
where
    Sent: Future<Output = Result<Response<Incoming>, hyper::Error>>,
{
    let handling = Handling::begin(door, &request);
    let from_caller = request.headers().contains_key(http::header::UPGRADE).then(|| hyper::upgrade::on(&mut request));
    match send(request).await {
        Ok(mut response) => {
            if let Some(from_caller) =
                from_caller.filter(|_| response.status() == http::StatusCode::SWITCHING_PROTOCOLS)
            {
                let from_service = hyper::upgrade::on(&mut response);
                // It ends with either side, at the latest with the world's thread.
                tokio::spawn(switch(from_caller, from_service));
            }
            door.own.goes_on().await;
            Ok(handling.answered(response))
        }
        Err(error) => {
            handling.broke(&error);
            Err(error)
        }
    }
}

/// What two sides speak that have agreed on something else than HTTP is theirs.
async fn switch(caller: hyper::upgrade::OnUpgrade, service: hyper::upgrade::OnUpgrade) {
    if let Ok((caller, service)) = tokio::try_join!(caller, service) {
        let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(caller), &mut TokioIo::new(service)).await;
    }
}
