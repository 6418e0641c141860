//! tokio's pipes in memory, framed as over TCP.

use tokio::io::DuplexStream;
use tokio::task::JoinSet;

use crate::echo::{Wire, held};
use crate::raw_tcp::{Framed, answer};

/// What a pipe holds, in bytes: a whole frame.
const PIPE: usize = 128 << 10;

pub(crate) async fn duplex(lanes: usize) -> Wire<Framed<DuplexStream>> {
    let (mut all, mut tasks) = (Vec::new(), JoinSet::new());
    for _ in 0..lanes {
        let (near, far) = tokio::io::duplex(PIPE);
        tasks.spawn(answer(Framed::new(far)));
        all.push(Framed::new(near));
    }
    Wire { lanes: all, _held: held(tasks) }
}
