//! Two ends of a TCP connection on loopback.
#![expect(clippy::disallowed_types, reason = "peers use the system's own sockets")]

use tokio::net::{TcpListener, TcpStream};

/// Two ends of a connection that sends at once what is written.
pub(crate) async fn pair() -> [TcpStream; 2] {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let near = TcpStream::connect(listener.local_addr().expect("it is bound")).await.expect("it listens");
    let (far, _) = listener.accept().await.expect("it was connected to");
    let ends = [near, far];
    for end in &ends {
        end.set_nodelay(true).expect("a TCP socket");
    }
    ends
}
