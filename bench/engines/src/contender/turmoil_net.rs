//! turmoil-net 0.1.0, which has a network and no scheduler, with the smallest loop that drives many hosts: one paused tokio
//! runtime, a tick of 1 ms, a queue of packets.
#![expect(clippy::disallowed_methods, reason = "a program on turmoil-net spawns and sleeps with tokio")]

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::unfold;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::{Builder, Runtime};
use turmoil_net::shim::tokio::net::{TcpListener, TcpStream};
use turmoil_net::{EnterGuard, HostId, KernelConfig, Latency, Net, Packet, Verdict, set_current};

use super::Contender;
use crate::load::{LATENCY, Load};
use crate::service::{Accepted, Pace, call_for_ever, serve};

const TICK: Duration = Duration::from_millis(1);
const PORT: u16 = 80;

/// It sends again what is not acknowledged after so many passes, not after a time: more than a round trip in ticks.
const PASSES_MAX: u32 = 1_000;

/// Hosts on turmoil-net.
pub struct TurmoilNet {
    // The order of dropping: sockets close in their network.
    runtime: Runtime,
    net: EnterGuard,
    now: Duration,
    /// Packets on their way, by time of arrival; every latency is the same.
    flying: VecDeque<(Duration, Packet)>,
    /// What hosts have sent; kept for its memory.
    sent: Vec<Packet>,
    calls: Arc<AtomicU64>,
}

impl Contender for TurmoilNet {
    fn new(load: Load) -> Self {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime can be made");
        let mut net = Net::with_config(KernelConfig::default().retx_threshold(PASSES_MAX));
        net.rule(Latency::fixed(LATENCY));
        let hosts: Vec<HostId> = (0..load.hosts).map(|host| net.add_host(format!("host{host}").as_str())).collect();
        let addresses: Vec<_> = (0..load.hosts).map(|host| net.lookup(&format!("host{host}"))).collect();
        let calls: Arc<AtomicU64> = Arc::default();
        for (number, host) in hosts.into_iter().enumerate() {
            let neighbour = SocketAddr::new(addresses[(number + 1) % load.hosts], PORT);
            let pace = Pace { offset: load.offset(number), think: load.think };
            runtime.spawn(OnHost::new(host, server(host)));
            if number < load.callers {
                let connect = move || {
                    let stream = TcpStream::connect(neighbour);
                    OnHost::new(host, async move { stream.await.map(|stream| OnHost::new(host, stream)) })
                };
                let client = call_for_ever(connect, pace, calls.clone(), tokio::time::sleep);
                runtime.spawn(OnHost::new(host, client));
            }
        }
        let net = net.enter();
        Self { runtime, net, now: Duration::ZERO, flying: VecDeque::new(), sent: Vec::new(), calls }
    }

    fn advance(&mut self, span: Duration) {
        let Self { runtime, net, now, flying, sent, .. } = self;
        let until = *now + span;
        runtime.block_on(async {
            while *now < until {
                tokio::time::sleep(TICK).await;
                // What hosts have sent since the last tick left then; a tick that it waited would lengthen each way.
                net.egress_all(sent);
                for packet in sent.drain(..) {
                    match net.evaluate(&packet) {
                        Verdict::Drop => {}
                        Verdict::Deliver(latency) => flying.push_back((*now + latency, packet)),
                        Verdict::Pass => flying.push_back((*now, packet)),
                    }
                }
                *now += TICK;
                while flying.front().is_some_and(|(at, _)| at <= now) {
                    if let Some((_, packet)) = flying.pop_front() {
                        net.deliver(packet);
                    }
                }
            }
        });
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

async fn server(host: HostId) {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await.expect("the port is free");
    let accept = move |listener: TcpListener| async move {
        let accepted = listener.accept().await;
        Some((accepted.map(|(stream, _)| Accepted(OnHost::new(host, stream))), listener))
    };
    serve(unfold(listener, accept)).await;
}

/// A task or stream of one host. A socket call belongs to the host that was named last, and libraries spawn tasks around their
/// streams that name none: so a stream names its own whenever it is touched.
struct OnHost<T> {
    host: HostId,
    /// There until it is dropped.
    inner: Option<Pin<Box<T>>>,
}

impl<T> OnHost<T> {
    fn new(host: HostId, inner: T) -> Self {
        Self { host, inner: Some(Box::pin(inner)) }
    }

    fn enter(&mut self) -> Pin<&mut T> {
        set_current(self.host);
        self.inner.as_mut().expect("it is not dropped").as_mut()
    }
}

impl<T> Drop for OnHost<T> {
    fn drop(&mut self) {
        set_current(self.host);
        self.inner = None;
    }
}

impl<T: Future> Future for OnHost<T> {
    type Output = T::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T::Output> {
        self.enter().poll(context)
    }
}

impl<T: AsyncRead> AsyncRead for OnHost<T> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.enter().poll_read(context, to)
    }
}

impl<T: AsyncWrite> AsyncWrite for OnHost<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.enter().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.enter().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.enter().poll_shutdown(context)
    }
}
