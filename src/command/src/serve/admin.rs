//! The address at which a double takes orders: HTTP/1, one request a connection. What the orders do is `actions`'.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use shaketable_stack::Env;
use shaketable_stack::env::{Listener, Task};

use super::actions::Double;

/// How long a connection may take to ask and to read the answer.
const CONNECTION_TIME: Duration = Duration::from_secs(10);

/// Answers until the listener fails, or this future is dropped.
pub(super) async fn serve(env: &Env, mut listener: Box<dyn Listener>, double: Double) -> io::Result<()> {
    let mut connections: Vec<Task> = Vec::new();
    loop {
        let stream = listener.accept().await?;
        let (env, double) = (env.clone(), double.clone());
        connections.retain(|connection| !connection.is_finished());
        let serving = env.clone();
        connections.push(env.spawn("admin connection", async move {
            let service = service_fn(|request| std::future::ready(answer(&double, &request)));
            let connection = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service);
            // Whoever goes away, or asks for nothing in time, has no answer.
            let _ = serving.timeout(CONNECTION_TIME, connection).await;
        }));
    }
}

fn answer(double: &Double, request: &Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (uri, method) = (request.uri(), request.method().as_str());
    let (status, kind, text) = double.answer(method, uri.path(), uri.query().unwrap_or_default()).into_http();
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    Ok(response)
}
