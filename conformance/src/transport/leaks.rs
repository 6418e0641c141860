//! Leaks: what a thousand connections leave behind.

use std::sync::Arc;
use std::time::Duration;

use shaketable_stack::transport::{DialOptions, ListenOptions, Listener, Message, Transport};

use super::tools::{SEEN_WITHIN, body, free, listen, message, open, pass};
use crate::Level::{Must, Should};
use crate::requirement::check;
use crate::site::{CYCLES, LANES, Spare, Usage};
use crate::{Finding, Need, Outcome, Requirement, Site};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "TRA-053",
        level: Must,
        sentence: "A thousand connections that were dialled, used and closed leave no task behind and, where they are counted, \
                   no connection (at most 100 of each in an adapter's process).",
        source: "go-micro issue 940: a connection leaks with each stream whose handler fails",
        needs: &[Need::Tasks],
        check: check!(closed_connections_leave_no_task),
    },
    Requirement {
        id: "TRA-054",
        level: Must,
        sentence: "A thousand dials that fail, or are given up, leave no task behind and, where they are counted, no \
                   connection (at most 100 of each in an adapter's process).",
        source: "go-micro pull request 1199: a stream that could not be opened leaked its connection",
        needs: &[Need::Tasks],
        check: check!(failed_dials_leave_no_task),
    },
    Requirement {
        id: "TRA-055",
        level: Must,
        sentence: "A thousand listeners that were opened and closed leave no task behind and, where they are counted, no \
                   connection (at most 100 of each in an adapter's process).",
        source: "decision of shaketable: what was closed runs no more; go-micro transport/http_listener.go: Accept \
                 serves until the listener is closed",
        needs: &[Need::Tasks],
        check: check!(closed_listeners_leave_no_task),
    },
    Requirement {
        id: "TRA-080",
        level: Should,
        sentence: "Of a thousand connections that were dialled, used and closed, the second five hundred leave less than 1 KiB \
                   of memory each in use.",
        source: "go-micro issue 940: a connection leaks with each stream whose handler fails; decision of shaketable: what has \
                 ended is forgotten, and 1 KiB is less than a connection or its buffers take",
        needs: &[Need::Memory, Need::Upheld(&["TRA-053"])],
        check: check!(closed_connections_take_no_memory),
    },
];

/// Waits until no more is held than `before`, a thousand connections, dials or listeners ago.
async fn settles(site: &Site, after: &str, before: &Usage) -> Outcome {
    // A connection that says its last words may take its time.
    site.lets_go(after, before, (Spare::each(0), CYCLES), SEEN_WITHIN * 7).await
}

/// Where connections are opened side by side, each of those has a listener of its own: nobody could tell otherwise which of two
/// ends belong together.
async fn listeners(site: &Site, transport: &Arc<dyn Transport>) -> Result<Vec<Arc<dyn Listener>>, Finding> {
    let mut listeners = Vec::with_capacity(LANES);
    for _ in 0..LANES {
        listeners.push(listen(site, transport).await?);
    }
    Ok(listeners)
}

/// A connection to `listener` that comes, carries `answer`, and goes.
async fn come_and_go(
    site: &Site,
    transport: &Arc<dyn Transport>,
    listener: &Arc<dyn Listener>,
    answer: &Message,
) -> Outcome {
    let (near, far) = open(site, transport, listener).await?;
    pass(site, &far, &near, "an answer", answer).await?;
    site.ask("close the dialled end", near.close()).await?;
    site.ask("close the accepted end", far.close()).await
}

async fn closed_connections_leave_no_task(site: Site) -> Outcome {
    let site = site.counted();
    let transport = site.transport().await?;
    let listeners = listeners(&site, &transport).await?;
    // The first ones may start what stays for all.
    for listener in &listeners {
        drop(open(&site, &transport, listener).await?);
    }
    site.take_effect(site.slack()).await;
    let (before, answer) = (site.usage().await?, message(b"answer"));
    let cycle = |number: usize| come_and_go(&site, &transport, &listeners[number % LANES], &answer);
    site.repeat(CYCLES, cycle).await?;
    settles(&site, "the connections", &before).await
}

async fn failed_dials_leave_no_task(site: Site) -> Outcome {
    let site = site.counted();
    let transport = site.transport().await?;
    let listener = listen(&site, &transport).await?;
    let address = listener.address();
    site.ask("close the listener", listener.close()).await?;
    let before = site.usage().await?;
    let dial_twice = |_: usize| {
        let (site, transport, address) = (&site, &transport, &address);
        async move {
            let options = DialOptions { timeout: Duration::from_millis(500), ..free() };
            // What comes of it is another requirement's.
            let _ = site.ends("dial an address that nobody listens at", transport.dial(address, options)).await?;
            let given_up = transport.dial(address, DialOptions::default());
            let _ = site.env().timeout(Duration::ZERO, given_up).await;
            Ok(())
        }
    };
    site.repeat(CYCLES / 2, dial_twice).await?;
    settles(&site, "the dials", &before).await
}

async fn closed_listeners_leave_no_task(site: Site) -> Outcome {
    let site = site.counted();
    let transport = site.transport().await?;
    drop(listen(&site, &transport).await?);
    site.take_effect(site.slack()).await;
    let before = site.usage().await?;
    let come_and_go = |number: usize| {
        let (site, transport) = (&site, &transport);
        async move {
            let listener = site.ask("listen", transport.listen(":0", ListenOptions::default())).await?;
            // Every other one is dropped.
            if number.is_multiple_of(2) { site.ask("close the listener", listener.close()).await } else { Ok(()) }
        }
    };
    site.repeat(CYCLES, come_and_go).await?;
    settles(&site, "the listeners", &before).await
}

async fn closed_connections_take_no_memory(site: Site) -> Outcome {
    let transport = site.transport().await?;
    let listeners = listeners(&site, &transport).await?;
    let answer = message(&body(4 << 10));
    let cycle = |number: usize| come_and_go(&site, &transport, &listeners[number % LANES], &answer);
    site.remembers_nothing("connections that were closed", cycle).await
}
