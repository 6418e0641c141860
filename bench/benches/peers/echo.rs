//! One payload there and the same back, however it travels: what every contender of a network does, how many of it are under
//! way at once, and the message that it is in where messages have fields. It knows no contender.

use std::any::Any;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use shaketable_stack::env::{Env, Namespace, os};
use tokio::runtime::Builder;

/// Who takes longer to begin, or for one turn, hangs.
const TIMEOUT: Duration = Duration::from_secs(60);

/// One exchange after the other.
pub(crate) trait Lane {
    /// Sends `payload`, waits for the answer and lets `read` see its bytes.
    async fn exchange(&mut self, payload: &Bytes, read: impl Fn(&[u8]));
}

/// Lanes, and what must live as long as they do: the other ends, listeners and tasks.
pub(crate) struct Wire<L> {
    pub(crate) lanes: Vec<L>,
    pub(crate) _held: Box<dyn Any>,
}

/// A payload in a message.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
pub(crate) struct Echo {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) payload: Bytes,
}

/// What doing the work once is: an exchange on each of the lanes at the same time. The two ends share one thread; `make` is
/// told how many lanes are wanted.
pub(crate) fn on_lanes<L: Lane>(
    (lanes, bytes): (usize, usize),
    make: impl AsyncFnOnce(usize) -> Wire<L>,
) -> impl FnMut(u64) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let env = runtime.block_on(async { os::env(Namespace::new("deadline")) });
    let mut wire = runtime.block_on(in_time(&env, async {
        let mut wire = make(lanes).await;
        assert_eq!(wire.lanes.len(), lanes);
        // What is measured is that everything comes back, and comes back as it was.
        for (number, lane) in wire.lanes.iter_mut().enumerate() {
            let payload: Bytes = (0..bytes).map(|index| (index * 7 + number) as u8).collect();
            for _ in 0..2 {
                lane.exchange(&payload, |answer| assert!(answer == payload, "lane {number} answers with the payload"))
                    .await;
            }
        }
        wire
    }));
    let payload = Bytes::from(vec![7; bytes]);
    move |times| {
        // All of it is captured, and not the lanes alone.
        let wire = &mut wire;
        runtime.block_on(in_time(&env, async {
            let all = wire.lanes.iter_mut().map(async |lane| {
                for _ in 0..times {
                    lane.exchange(&payload, |answer| assert_eq!(answer.len(), bytes)).await;
                }
            });
            all.collect::<FuturesUnordered<_>>().collect::<()>().await;
        }));
    }
}

async fn in_time<T>(env: &Env, work: impl Future<Output = T>) -> T {
    env.timeout(TIMEOUT, work).await.expect("nobody hangs")
}

/// Something shared by all lanes.
pub(crate) fn held(all: impl Any) -> Box<dyn Any> {
    Box::new(all)
}
