//! Listening: addresses that are chosen, taken and free again, and connections that wait.

use std::pin::pin;

use futures_util::future::select;
use shaketable_stack::ErrorKind;
use shaketable_stack::transport::ListenOptions;

use super::tools::{DROPPING, Ends, SEEN_WITHIN, ending, free, listen, message, open, pass};
use crate::Level::{Must, Should};
use crate::requirement::check;
use crate::{Finding, Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "TRA-009",
        level: Must,
        sentence: "Two listeners at port 0 have different addresses, and each gets the connections that are made to \
                   its own.",
        source: "go-micro transport/transport.go: Listen, Listener.Addr",
        needs: &[],
        check: check!(two_listeners_are_told_apart),
    },
    Requirement {
        id: "TRA-010",
        level: Must,
        sentence: "An address at which somebody listens cannot be listened at again, and the first listener goes on.",
        source: "go-micro transport/memory.go: Listen answers 'already listening'",
        needs: &[],
        check: check!(a_taken_address_is_refused),
    },
    Requirement {
        id: "TRA-011",
        level: Must,
        sentence: "The address of a listener that was closed can be listened at again.",
        source: "go-micro transport/memory.go (v6.10.0): an address stays unusable after its listener was closed",
        needs: &[],
        check: check!(a_closed_listener_frees_its_address, "within {}", SEEN_WITHIN),
    },
    Requirement {
        id: "TRA-012",
        level: Must,
        sentence: "The address of a listener that was dropped without close can be listened at again.",
        source: "decision of shaketable: what nobody holds any more holds nothing, as Rust's own listeners do it",
        needs: &[DROPPING],
        check: check!(a_dropped_listener_frees_its_address, "within {}", SEEN_WITHIN),
    },
    Requirement {
        id: "TRA-013",
        level: Must,
        sentence: "A closed listener releases whoever waits in accept, and refuses who comes later, with Closed.",
        source: "go-micro transport/memory.go: memoryListener.Accept returns once the listener is closed; decision of \
                 shaketable: Closed, so that an order to stop is told apart from a fault",
        needs: &[],
        check: check!(a_closed_listener_releases_accept),
    },
    Requirement {
        id: "TRA-014",
        level: Must,
        sentence: "A listener that is closed a second time has nothing to complain of.",
        source: "go-micro transport/memory.go: memoryListener.Close looks whether it was closed before",
        needs: &[],
        check: check!(a_listener_may_be_closed_twice),
    },
    Requirement {
        id: "TRA-015",
        level: Must,
        sentence: "Connections that were accepted go on when their listener is closed and dropped.",
        source: "go-micro server/rpc_server.go: registrar closes the listener while connections are still served; \
                 transport/memory.go ends them all with it (lexit)",
        needs: &[],
        check: check!(accepted_connections_outlive_their_listener),
    },
    Requirement {
        id: "TRA-016",
        level: Should,
        sentence: "A connection that was dialled and never accepted ends when the listener is closed; where packets are lost, \
                   for who goes on sending on it.",
        source: "decision of shaketable: who waits for an answer on it would wait for ever; RFC 9293, section 3.10.7.1: a \
                 reset is sent once, and again when a segment arrives at what is closed",
        needs: &[],
        check: check!(a_connection_that_nobody_accepts_ends_with_the_listener, "within {}", SEEN_WITHIN),
    },
];

async fn two_listeners_are_told_apart(site: Site) -> Outcome {
    let ends = Ends::new(&site).await?;
    let (first, second) = (listen(&site, &ends.second).await?, listen(&site, &ends.second).await?);
    let addresses = (first.address(), second.address());
    expect(addresses.0 != addresses.1, "two addresses", || format!("{} twice", addresses.0))?;
    // Both at once, the other way round, so that a mix-up shows.
    let (to_second, to_first) = tokio::try_join!(open(&site, &ends.home, &second), open(&site, &ends.home, &first))?;
    for (name, (near, far)) in [("second", to_second), ("first", to_first)] {
        let said = message(format!("to the {name}").as_bytes());
        pass(&site, &near, &far, &format!("a message to the {name} listener"), &said).await?;
    }
    Ok(())
}

async fn a_taken_address_is_refused(site: Site) -> Outcome {
    let ends = Ends::new(&site).await?;
    let listener = listen(&site, &ends.home).await?;
    let address = listener.address();
    let again = site.ends("listen there again", ends.home.listen(&address, ListenOptions::default())).await?;
    if let Ok(other) = again {
        return Err(Finding::violated(
            format!("listening at {address} a second time to be refused"),
            format!("a second listener at {}", other.address()),
        ));
    }
    open(&site, &ends.second, &listener).await.map(drop)
}

async fn a_closed_listener_frees_its_address(site: Site) -> Outcome {
    frees_its_address(&site, true).await
}

async fn a_dropped_listener_frees_its_address(site: Site) -> Outcome {
    frees_its_address(&site, false).await
}

async fn frees_its_address(site: &Site, close: bool) -> Outcome {
    let ends = Ends::new(site).await?;
    let listener = listen(site, &ends.home).await?;
    let address = listener.address();
    // One that has worked: what it has accepted must not keep its address.
    let sockets = open(site, &ends.second, &listener).await?;
    if close {
        site.ask("close the listener", listener.close()).await?;
    }
    drop((listener, sockets));
    let what = format!("{address} to be free again");
    let again = site
        .eventually(&what, SEEN_WITHIN, async || {
            let listen = ends.home.listen(&address, ListenOptions::default()).await;
            listen.map_err(|error| format!("{:?}: `{error}`", error.kind()))
        })
        .await?;
    expect_equal("the address of the new listener", &again.address(), &address)?;
    open(site, &ends.second, &again).await.map(drop)
}

async fn a_closed_listener_releases_accept(site: Site) -> Outcome {
    let ends = Ends::new(&site).await?;
    let listener = listen(&site, &ends.home).await?;
    let waiting = listener.clone();
    let close = async {
        site.take_effect(site.slack()).await;
        site.ask("close the listener", listener.close()).await
    };
    let accept = site.refused("accept, while the listener is closed", &[ErrorKind::Closed], waiting.accept());
    tokio::try_join!(close, accept)?;
    site.refused("accept after close", &[ErrorKind::Closed], listener.accept()).await.map(drop)
}

async fn a_listener_may_be_closed_twice(site: Site) -> Outcome {
    let transport = site.transport().await?;
    let listener = listen(&site, &transport).await?;
    site.ask("close the listener", listener.close()).await?;
    site.ask("close it again", listener.close()).await
}

async fn accepted_connections_outlive_their_listener(site: Site) -> Outcome {
    let ends = Ends::new(&site).await?;
    let listener = listen(&site, &ends.home).await?;
    let (near, far) = open(&site, &ends.second, &listener).await?;
    site.ask("close the listener", listener.close()).await?;
    drop(listener);
    // Long enough for whatever clears up behind it.
    site.take_effect(site.slack() * 4).await;
    pass(&site, &near, &far, "a request after the listener has closed", &message(b"request")).await?;
    pass(&site, &far, &near, "its answer", &message(b"answer")).await
}

async fn a_connection_that_nobody_accepts_ends_with_the_listener(site: Site) -> Outcome {
    let ends = Ends::new(&site).await?;
    let listener = listen(&site, &ends.second).await?;
    let address = listener.address();
    // A transport that opens only what is accepted answers nothing until then.
    let mut dial = ends.home.dial(&address, free());
    let dialled = match site.env().timeout(site.slack(), &mut dial).await {
        Ok(Ok(near)) => {
            let hello = message(b"anybody there?");
            let _ = site.env().timeout(site.slack(), near.send(&hello)).await;
            site.take_effect(site.slack()).await;
            site.ask("close the listener", listener.close()).await?;
            Ok(near)
        }
        Ok(Err(error)) => Err(error),
        Err(_) => {
            site.ask("close the listener", listener.close()).await?;
            site.within("see that nobody accepts any more", SEEN_WITHIN, dial).await?
        }
    };
    match dialled {
        Ok(near) if site.is_disturbed() => {
            let asks = async {
                while near.send(&message(b"still nobody?")).await.is_ok() {
                    site.look_again(site.slack()).await;
                }
            };
            let waits = async { while near.recv().await.is_ok() {} };
            let what = "see that the connection is over";
            site.within(what, SEEN_WITHIN, select(pin!(asks), pin!(waits))).await.map(drop)
        }
        Ok(near) => ending(&site, &near).await.map(drop),
        // Who is told so waits for nobody.
        Err(_) => Ok(()),
    }
}
