//! Sizes of bodies, up to the promised limit and beyond it.

use shaketable_stack::ErrorKind;

use super::requests::pair;
use crate::Level::{Must, Should};
use crate::client::sizes::comes_back;
use crate::client::stage::Ask;
use crate::requirement::check;
use crate::{Need, Outcome, Requirement, Site};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "SRV-009",
        level: Must,
        sentence: "Requests and answers of any size from nothing to 16 KiB and one byte pass unchanged.",
        source: "go-micro issue 655: a body is cut at the size of a buffer",
        needs: &[],
        check: check!(small_bodies_pass),
    },
    Requirement {
        id: "SRV-010",
        level: Should,
        sentence: "A request and an answer of one mebibyte pass unchanged.",
        source: "go-micro transport/options.go: BuffSizeH2, 4 MiB; issue 655",
        needs: &[],
        check: check!(a_mebibyte_passes),
    },
    Requirement {
        id: "SRV-011",
        level: Must,
        sentence: "A request and an answer just below the promised limit pass unchanged.",
        source: "go-micro server/grpc/options.go: MaxMsgSize",
        needs: &[Need::Promises("a largest message", |promises| promises.message_bytes_max.is_some())],
        check: check!(the_promised_size_passes),
    },
    Requirement {
        id: "SRV-012",
        level: Must,
        sentence: "An answer beyond the promised limit becomes an error for the caller, and the server goes on.",
        source: "go-micro server/grpc/grpc.go: getMaxMsgSize; issue 467: no bound on what is read",
        needs: &[Need::Promises("a largest message", |promises| promises.message_bytes_max.is_some())],
        check: check!(too_large_an_answer_is_an_error),
    },
];

/// What headers, framing and the field's own head may take of a limit.
const OVERHEAD: usize = 1 << 10;

async fn small_bodies_pass(site: Site) -> Outcome {
    let (caller, _served, _) = pair(&site).await?;
    let max = site.promises().message_bytes_max.unwrap_or(usize::MAX);
    for length in [0, 1, 4_094, 4_095, 4_096, 4_097, 16_383, 16_384, 16_385] {
        if length + OVERHEAD <= max {
            comes_back(&caller, length).await?;
        }
    }
    Ok(())
}

async fn a_mebibyte_passes(site: Site) -> Outcome {
    let (caller, _served, _) = pair(&site).await?;
    let max = site.promises().message_bytes_max.unwrap_or(usize::MAX);
    comes_back(&caller, (1_usize << 20).min(max.saturating_sub(OVERHEAD))).await
}

async fn the_promised_size_passes(site: Site) -> Outcome {
    let (caller, _served, _) = pair(&site).await?;
    comes_back(&caller, site.promises().message_bytes_max.unwrap_or_default().saturating_sub(OVERHEAD)).await
}

async fn too_large_an_answer_is_an_error(site: Site) -> Outcome {
    let (caller, _served, _) = pair(&site).await?;
    let length = site.promises().message_bytes_max.unwrap_or_default() + OVERHEAD;
    let kinds = [ErrorKind::Remote, ErrorKind::TooLarge, ErrorKind::Disconnected, ErrorKind::InvalidMessage];
    caller.refused(Ask::of("Probe.Much", length.to_string()).retries(0), &kinds).await?;
    caller.echo("after what was too large").await
}
