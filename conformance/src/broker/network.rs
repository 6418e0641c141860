//! Networks for checks of brokers: one that counts connections, and one whose bytes are on their way for as long as a check
//! says, also when whoever sent them has closed the connection meanwhile.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use shaketable_stack::env::{Datagram, Env, Listener, Network, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::Site;
pub(super) use crate::client::stage::counted as opened_through;

/// Bytes that are on their way at a time.
const BUFFER_BYTES: usize = 64 << 10;
/// How long what has arrived is answered although nobody waits for the answer.
const LINGER: Duration = Duration::from_secs(1);

/// How long bytes are on their way.
#[derive(Clone, Debug, Default)]
pub(super) struct Delay(Arc<Mutex<Duration>>);

impl Delay {
    /// From now on.
    pub(super) fn set(&self, delay: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = delay;
    }

    fn get(&self) -> Duration {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same site with a network that delays what is sent over the connections that are opened there.
pub(super) fn delayed(site: &Site) -> (Site, Delay) {
    let delay = Delay::default();
    let network = Delayed { env: site.env().clone(), delay: delay.clone() };
    let env = site.env().with(|parts| parts.network = Arc::new(network));
    (Site { shared: site.shared.clone(), env }, delay)
}

#[derive(Debug)]
struct Delayed {
    env: Env,
    delay: Delay,
}

#[async_trait]
impl Network for Delayed {
    async fn connect(&self, address: &str) -> io::Result<Stream> {
        let far = self.env.network().connect(address).await?;
        let (local, peer) = (far.local_address(), far.peer_address());
        let (near, relayed) = tokio::io::duplex(BUFFER_BYTES);
        self.env.spawn("conformance.relay", relay(self.env.clone(), self.delay.clone(), relayed, far)).detach();
        Ok(Stream::new(near, local, peer))
    }

    async fn listen(&self, address: &str) -> io::Result<Box<dyn Listener>> {
        self.env.network().listen(address).await
    }

    async fn datagram(&self, address: &str) -> io::Result<Box<dyn Datagram>> {
        self.env.network().datagram(address).await
    }

    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        self.env.network().lookup(host).await
    }
}

/// Carries bytes between the two until both have ended; what was sent arrives even so.
async fn relay(env: Env, delay: Delay, near: tokio::io::DuplexStream, far: Stream) {
    let (mut from_near, mut to_near) = tokio::io::split(near);
    let (mut from_far, mut to_far) = tokio::io::split(far);
    let there = async {
        let mut buffer = vec![0; BUFFER_BYTES];
        while let Ok(count @ 1..) = from_near.read(&mut buffer).await {
            crate::site::takes(&env, delay.get()).await;
            if to_far.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
        crate::site::takes(&env, LINGER).await;
    };
    let back = async {
        let mut buffer = vec![0; BUFFER_BYTES];
        while let Ok(count @ 1..) = from_far.read(&mut buffer).await {
            // Whether anybody is left to read it makes no difference to what is on its way.
            let _ = to_near.write_all(&buffer[..count]).await;
        }
        let _ = to_near.shutdown().await;
    };
    let (there, back) = (std::pin::pin!(there), std::pin::pin!(back));
    // An end on the far side is passed on; the near side then ends by itself.
    if let futures_util::future::Either::Right((_, there)) = futures_util::future::select(there, back).await {
        there.await;
    }
}
