//! One direction of a connection of real bytes, in real time, through a chain of toxics. It knows no toxic, and not whose
//! connection it is.
#![expect(clippy::disallowed_methods, reason = "real bytes pass in real time")]

use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Duration, Instant};

use super::chain::{Chain, Next, PIECE_BYTES_MAX, Placed};
use super::effect::{Ending, What};

/// What a way is like at a moment.
#[derive(Clone, Debug)]
pub struct Weather {
    /// Whether anything arrives. What does not is kept.
    pub passes: bool,
    /// How much later what is sent now arrives.
    pub delay: Duration,
    /// The toxics, in the order in which they were added; those of the other direction do nothing.
    pub toxics: Arc<[Arc<Placed>]>,
}

/// Carries from one end to the other until the end has been delivered, or nobody is left to whom anything could be. `looks`
/// tells the weather from what is watched; `breaks` says how the whole connection ends when a socket breaks, and where it says
/// nothing that is an end like any other.
///
/// # Errors
/// How the whole connection ends, when a toxic, a broken socket, or the end of what is watched says so.
pub async fn one_way<C>(
    (mut from, mut to): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    mut chain: Chain,
    (mut watched, looks): (watch::Receiver<C>, impl Fn(&C) -> Weather),
    breaks: impl Fn(&io::Error) -> Option<Ending>,
) -> Result<(), Ending> {
    let began = Instant::now();
    let mut buffer = vec![0; PIECE_BYTES_MAX];
    let (mut seen, mut arrived) = (None, None);
    let mut leaving = Bytes::new();
    let mut is_over = false;
    loop {
        let now = began.elapsed();
        let Weather { passes, delay, toxics } = looks(&watched.borrow_and_update());
        // First what has changed: what was sent after a change is subject to it.
        if !seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &toxics)) {
            chain.set(&toxics, now);
            seen = Some(toxics);
        }
        if let Some(what) = arrived.take() {
            chain.arrives(what, now + delay);
        }
        let mut due = None;
        if leaving.is_empty() && passes {
            match chain.next(now) {
                Next::Leaves(bytes) => leaving = bytes,
                Next::Ends(Ending::Over) => {
                    // Who is gone needs not be told.
                    let _ = to.shutdown().await;
                    return Ok(());
                }
                Next::Ends(ending) => return Err(ending),
                Next::Later(later) => due = Some(began + later),
                Next::Nothing => {}
            }
        }
        tokio::select! {
            changed = watched.changed() => changed.map_err(|_| Ending::Closed)?,
            read = from.read(&mut buffer), if !is_over && chain.has_room(delay) => {
                let length = match read {
                    Ok(length) => length,
                    Err(error) => breaks(&error).map_or(Ok(0), Err)?,
                };
                // An end is news, too.
                is_over = length == 0;
                arrived = Some(if is_over { What::End(Ending::Over) } else { bytes_of(&buffer[..length]) });
            }
            written = write(&mut to, &leaving), if !leaving.is_empty() && passes => match written {
                Ok(length) => leaving.advance(length),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return breaks(&error).map_or(Ok(()), Err),
                // Nobody is left to whom it could be delivered; the other direction may have something to deliver yet.
                Err(_) => return Ok(()),
            },
            () = until(due) => {}
        }
    }
}

/// A copy, so that a small piece under way holds no large buffer.
fn bytes_of(buffer: &[u8]) -> What {
    What::Bytes(Bytes::copy_from_slice(buffer))
}

async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<usize> {
    match to.write(bytes).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        length => Ok(length),
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
