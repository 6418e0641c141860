//! The limit: a length and the payload over a TCP connection for each lane, written at once and read into memory that is used
//! again. Less cannot be done with tokio's sockets.
#![expect(clippy::disallowed_types, reason = "a peer on the system's own sockets")]

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::echo::{Lane, Wire, held};
use crate::pair::pair;

/// Bytes of a length.
const LENGTH: usize = 4;

/// One end.
pub(crate) struct Framed<S> {
    stream: S,
    sent: Vec<u8>,
    received: Vec<u8>,
}

pub(crate) async fn wire(lanes: usize) -> Wire<Framed<TcpStream>> {
    let (mut all, mut tasks) = (Vec::new(), JoinSet::new());
    for _ in 0..lanes {
        let [near, far] = pair().await;
        tasks.spawn(answer(Framed::new(far)));
        all.push(Framed::new(near));
    }
    Wire { lanes: all, _held: held(tasks) }
}

/// Answers with what is asked until the other end is gone.
pub(crate) async fn answer<S: AsyncRead + AsyncWrite + Unpin>(mut end: Framed<S>) {
    while let Some(read) = end.read().await {
        let Framed { stream, sent, received } = &mut end;
        write(stream, sent, &received[LENGTH..read]).await;
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Framed<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, sent: Vec::new(), received: vec![0; 8 << 10] }
    }

    /// Reads the next frame; says where it ends.
    async fn read(&mut self) -> Option<usize> {
        // What comes is one frame, because nobody sends the next one before it is answered.
        let (mut filled, mut wanted) = (0, LENGTH);
        while filled < wanted {
            if self.received.len() < wanted {
                self.received.resize(wanted, 0);
            }
            let read = self.stream.read(&mut self.received[filled..]).await.unwrap_or(0);
            if read == 0 {
                return None;
            }
            filled += read;
            if let (LENGTH, Some(length)) = (wanted, self.received[..filled].first_chunk()) {
                wanted = LENGTH + u32::from_be_bytes(*length) as usize;
            }
        }
        Some(wanted)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Lane for Framed<S> {
    async fn exchange(&mut self, payload: &Bytes, read: impl Fn(&[u8])) {
        write(&mut self.stream, &mut self.sent, payload).await;
        let end = self.read().await.expect("the other end answers");
        read(&self.received[LENGTH..end]);
    }
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), sent: &mut Vec<u8>, payload: &[u8]) {
    sent.clear();
    sent.extend_from_slice(&u32::try_from(payload.len()).expect("a small payload").to_be_bytes());
    sent.extend_from_slice(payload);
    stream.write_all(sent).await.expect("the other end is there");
}
