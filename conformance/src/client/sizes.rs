//! Sizes of bodies, up to the promised limit and beyond it.

use std::sync::Arc;
use std::time::Duration;

use shaketable_stack::ErrorKind;

use super::stage::{Ask, Caller, Seen, Served, serve};
use crate::Level::{Must, Should};
use crate::requirement::check;
use crate::{Host, Need, Outcome, Requirement, Site, expect};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "CLI-045",
        level: Must,
        sentence: "Bodies of any size from nothing to 16 KiB and one byte travel both ways unchanged.",
        source: "go-micro issue 655: a body is cut at the size of a buffer",
        needs: &[],
        check: check!(small_bodies_travel, "within {}", TRANSFER_TIMEOUT),
    },
    Requirement {
        id: "CLI-046",
        level: Should,
        sentence: "A body of one mebibyte travels both ways unchanged.",
        source: "go-micro transport/options.go: BuffSizeH2, 4 MiB; issue 655",
        needs: &[],
        check: check!(a_mebibyte_travels, "within {}", TRANSFER_TIMEOUT),
    },
    Requirement {
        id: "CLI-047",
        level: Must,
        sentence: "A body just below the promised limit travels both ways unchanged.",
        source: "go-micro client/grpc/options.go: MaxRecvMsgSize, MaxSendMsgSize",
        needs: &[Need::Promises("a largest message", |promises| promises.message_bytes_max.is_some())],
        check: check!(the_promised_size_travels, "within {}", TRANSFER_TIMEOUT),
    },
    Requirement {
        id: "CLI-048",
        level: Must,
        sentence: "A body beyond the promised limit is refused with an error, not cut and not waited for, and the client goes on.",
        source: "go-micro client/grpc/grpc.go: maxRecvMsgSizeValue, maxSendMsgSizeValue; issue 467: no bound on what \
                 is read",
        needs: &[Need::Promises("a largest message", |promises| promises.message_bytes_max.is_some())],
        check: check!(too_much_is_refused, "within {}", TRANSFER_TIMEOUT),
    },
];

/// What headers, framing and the field's own head may take of a limit.
const OVERHEAD: usize = 1 << 10;

/// Time for the largest bodies, also in bad weather.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(100);

/// A text of `length` bytes in which no two places look the same for long.
pub(crate) fn text_of(length: usize) -> String {
    let mut text = String::with_capacity(length + 8);
    let mut number = 0_u32;
    while text.len() < length {
        text.push_str(&number.to_string());
        text.push(' ');
        number += 1;
    }
    text.truncate(length);
    text
}

/// `length` bytes must come back as they were sent.
pub(crate) async fn comes_back(caller: &Caller, length: usize) -> Outcome {
    let text = text_of(length);
    let answer = caller.ask(Ask::of("Probe.Echo", &text).timeout(TRANSFER_TIMEOUT)).await?;
    expect(answer == text, format!("the same {length} bytes back"), || {
        let same = answer.bytes().zip(text.bytes()).take_while(|(one, other)| one == other).count();
        format!("{} bytes, the same up to byte {same}", answer.len())
    })
}

async fn caller(site: &Site) -> Result<(Caller, Served), crate::Finding> {
    let (service, seen) = (site.name("user"), Arc::new(Seen::default()));
    let served = serve(site, Host::Second, &service, "one", &seen).await?;
    Ok((Caller::new(site, Host::Home, &service).await?, served))
}

async fn small_bodies_travel(site: Site) -> Outcome {
    let (caller, _served) = caller(&site).await?;
    let max = site.promises().message_bytes_max.unwrap_or(usize::MAX);
    for length in [0, 1, 4_094, 4_095, 4_096, 4_097, 16_383, 16_384, 16_385] {
        if length + OVERHEAD <= max {
            comes_back(&caller, length).await?;
        }
    }
    Ok(())
}

async fn a_mebibyte_travels(site: Site) -> Outcome {
    let max = site.promises().message_bytes_max.unwrap_or(usize::MAX);
    let (caller, _served) = caller(&site).await?;
    comes_back(&caller, (1_usize << 20).min(max.saturating_sub(OVERHEAD))).await
}

async fn the_promised_size_travels(site: Site) -> Outcome {
    let max = site.promises().message_bytes_max.unwrap_or_default();
    let (caller, _served) = caller(&site).await?;
    comes_back(&caller, max.saturating_sub(OVERHEAD)).await
}

async fn too_much_is_refused(site: Site) -> Outcome {
    let (caller, _served) = caller(&site).await?;
    let max = site.promises().message_bytes_max.unwrap_or_default();
    let kinds = [ErrorKind::TooLarge, ErrorKind::InvalidInput, ErrorKind::Remote, ErrorKind::Disconnected];
    caller.refused(Ask::of("Probe.Echo", text_of(max + OVERHEAD)).timeout(TRANSFER_TIMEOUT), &kinds).await?;
    caller.echo("after what was too large").await
}
