//! Leaks: what a thousand connections leave behind.

use std::time::Duration;

use shaketable_stack::transport::{DialOptions, ListenOptions};

use super::tools::{SEEN_WITHIN, free, listen, message, open, pass};
use crate::Level::Must;
use crate::requirement::check;
use crate::{Need, Outcome, Requirement, Site};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "TRA-053",
        level: Must,
        sentence: "A thousand connections that were dialled, used and closed leave no task behind.",
        source: "go-micro issue 940: a connection leaks with each stream whose handler fails",
        needs: &[Need::Tasks],
        check: check!(closed_connections_leave_no_task),
    },
    Requirement {
        id: "TRA-054",
        level: Must,
        sentence: "Hundreds of dials that fail, or are given up, leave no task behind.",
        source: "go-micro pull request 1199: a stream that could not be opened leaked its connection",
        needs: &[Need::Tasks],
        check: check!(failed_dials_leave_no_task),
    },
    Requirement {
        id: "TRA-055",
        level: Must,
        sentence: "A hundred listeners that were opened and closed leave no task behind.",
        source: "decision of shaketable: what was closed runs no more; go-micro transport/http_listener.go: Accept \
                 serves until the listener is closed",
        needs: &[Need::Tasks],
        check: check!(closed_listeners_leave_no_task),
    },
];

/// Waits until there are no more tasks than `before`; `cycles` connections or listeners have come and gone since.
async fn settles(site: &Site, what: &str, before: usize, cycles: usize) -> Outcome {
    // A connection that says its last words may take its time.
    let what = format!("after {what}, as there were before");
    site.few_tasks(&what, before + site.tolerated(0, cycles), SEEN_WITHIN * 7).await
}

async fn closed_connections_leave_no_task(site: Site) -> Outcome {
    let transport = site.transport().await?;
    let cycles = if site.is_simulated() { 1_000 } else { 200 };
    let listener = listen(&site, &transport).await?;
    // The first one may start what stays for all.
    let (near, far) = open(&site, &transport, &listener).await?;
    drop((near, far));
    site.sleep(site.slack()).await;
    let before = site.tasks().await?.total;
    for _ in 0..cycles {
        let (near, far) = open(&site, &transport, &listener).await?;
        pass(&site, &far, &near, "an answer", &message(b"answer")).await?;
        site.ask("close the dialled end", near.close()).await?;
        site.ask("close the accepted end", far.close()).await?;
    }
    settles(&site, "the connections", before, cycles).await
}

async fn failed_dials_leave_no_task(site: Site) -> Outcome {
    let transport = site.transport().await?;
    let listener = listen(&site, &transport).await?;
    let address = listener.address();
    site.ask("close the listener", listener.close()).await?;
    let before = site.tasks().await?.total;
    for _ in 0..200 {
        let options = DialOptions { timeout: Duration::from_millis(500), ..free() };
        // What comes of it is another requirement's.
        let _ = site.ends("dial an address that nobody listens at", transport.dial(&address, options)).await?;
        let given_up = transport.dial(&address, DialOptions::default());
        let _ = site.env().timeout(Duration::ZERO, given_up).await;
    }
    settles(&site, "the dials", before, 200).await
}

async fn closed_listeners_leave_no_task(site: Site) -> Outcome {
    let transport = site.transport().await?;
    drop(listen(&site, &transport).await?);
    site.sleep(site.slack()).await;
    let before = site.tasks().await?.total;
    for number in 0..100 {
        let listener = site.ask("listen", transport.listen(":0", ListenOptions::default())).await?;
        // Every other one is dropped with somebody who waits to be accepted.
        if number % 2 == 0 {
            site.ask("close the listener", listener.close()).await?;
        }
    }
    settles(&site, "the listeners", before, 100).await
}
