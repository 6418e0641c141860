//! Messages on an open connection: whole, once, in order, of every size.

use std::collections::BTreeMap;

use rand::Rng;
use shaketable_stack::transport::Message;

use super::limits::arrives_or_is_refused;
use super::tools::{
    Ends, KEEPS_ALL, LIMITED, NOTHING_TWICE, ORDERED, Role, body, carry, gather, largest, message, number_of, numbered,
    pair, pass,
};
use crate::Level::Must;
use crate::requirement::check;
use crate::sizes::SIZES;
use crate::{Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "TRA-017",
        level: Must,
        sentence: "What is received is one message that was sent: none is cut into pieces, and no two become one.",
        source: "go-micro issue 655: an HTTP/2 body was cut at the size of a buffer",
        needs: &[],
        check: check!(messages_keep_their_bounds),
    },
    Requirement {
        id: "TRA-018",
        level: Must,
        sentence: "Every message that was sent is received.",
        source: "go-micro transport/http_transport_test.go: TestHTTPTransportMultipleSendWhenRecv",
        needs: &[KEEPS_ALL],
        check: check!(no_message_is_lost),
    },
    Requirement {
        id: "TRA-019",
        level: Must,
        sentence: "No message is received twice.",
        source: "decision of shaketable: a message that comes twice is a request that is handled twice",
        needs: &[NOTHING_TWICE],
        check: check!(no_message_comes_twice),
    },
    Requirement {
        id: "TRA-020",
        level: Must,
        sentence: "Messages of one end arrive in the order in which they were sent, and so do the answers to them.",
        source: "go-micro pull request 2744: an answer was taken for that to another request; \
                 transport/http_client.go: Recv pairs by the order of sending",
        needs: &[ORDERED, KEEPS_ALL],
        check: check!(messages_arrive_in_order),
    },
    Requirement {
        id: "TRA-021",
        level: Must,
        sentence: "A message without headers and without a body arrives as such.",
        source: "go-micro codec/grpc/grpc.go: Write leaves an empty message out; decision of shaketable: what is empty \
                 is a message still, as an end of stream is",
        needs: &[],
        check: check!(an_empty_message_arrives),
    },
    Requirement {
        id: "TRA-022",
        level: Must,
        sentence: "Bodies of every size up to 4 MiB and a byte arrive as they were sent, both ways; one beyond what is \
                   promised, or beyond 64 KiB where no size is, may be refused as too large instead.",
        source: "go-micro issue 655: a body was cut at 4 KiB; the sizes are those around the usual buffers, and around \
                 transport/options.go: BuffSizeH2, 4 MiB",
        needs: &[],
        check: check!(bodies_of_every_size_arrive),
    },
    Requirement {
        id: "TRA-023",
        level: Must,
        sentence: "A body of the largest size that is promised arrives, and so does one that is a byte smaller.",
        source: "go-micro transport/options.go: BuffSizeH2, 4 MiB",
        needs: &[LIMITED],
        check: check!(the_largest_body_arrives),
    },
];

/// Numbered messages of sizes that the seed decides, small ones and some that fill buffers.
fn varied(site: &Site, count: u32) -> Vec<Message> {
    let mut random = site.env().random("sizes");
    let mut length =
        || if random.random_bool(0.1) { random.random_range(4_000..40_000) } else { random.random_range(4..200) };
    (0..count).map(|number| numbered(number, length())).collect()
}

async fn messages_keep_their_bounds(site: Site) -> Outcome {
    for role in Role::BOTH {
        let pair = pair(&site, role).await?;
        for (from, to) in pair.ways() {
            let sent = varied(&site, 40);
            let bodies: BTreeMap<_, _> = sent.iter().map(|message| (number_of(message), &message.body)).collect();
            for received in gather(&site, from, to, &sent).await? {
                let whole = bodies.get(&number_of(&received)).is_some_and(|body| **body == received.body);
                expect(whole, "each body that is received to be one that was sent", || {
                    format!("{} bytes that are none of them", received.body.len())
                })?;
            }
        }
    }
    Ok(())
}

async fn no_message_is_lost(site: Site) -> Outcome {
    // A loss shows as a receiver that waits for ever for what it still lacks.
    for role in Role::BOTH {
        let pair = pair(&site, role).await?;
        for (from, to) in pair.ways() {
            let sent = varied(&site, 120);
            let mut got: Vec<_> = carry(&site, from, to, &sent).await?.iter().map(number_of).collect();
            got.sort_unstable();
            got.dedup();
            expect_equal("the number of different messages received", &got.len(), &sent.len())?;
        }
    }
    Ok(())
}

async fn no_message_comes_twice(site: Site) -> Outcome {
    for role in Role::BOTH {
        let pair = pair(&site, role).await?;
        for (from, to) in pair.ways() {
            let sent = varied(&site, 60);
            let mut counts = BTreeMap::new();
            for message in &gather(&site, from, to, &sent).await? {
                *counts.entry(number_of(message)).or_insert(0) += 1;
            }
            let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).map(|(number, _)| number).collect();
            expect(twice.is_empty(), "no message twice", || format!("more than once: {twice:?}"))?;
        }
    }
    Ok(())
}

async fn messages_arrive_in_order(site: Site) -> Outcome {
    for role in Role::BOTH {
        let pair = pair(&site, role).await?;
        let asked = varied(&site, 60);
        for (from, to) in pair.ways() {
            let order: Vec<_> = carry(&site, from, to, &asked).await?.iter().map(number_of).collect();
            let wanted: Vec<_> = asked.iter().map(number_of).collect();
            expect_equal("the order of arrival", &order, &wanted)?;
        }
    }
    Ok(())
}

async fn an_empty_message_arrives(site: Site) -> Outcome {
    for role in Role::BOTH {
        let pair = pair(&site, role).await?;
        for (from, to) in pair.ways() {
            pass(&site, from, to, "an empty message", &Message::default()).await?;
            pass(&site, from, to, "the one after it", &message(b"after")).await?;
        }
    }
    Ok(())
}

async fn bodies_of_every_size_arrive(site: Site) -> Outcome {
    let ends = Ends::new(&site).await?;
    for role in Role::BOTH {
        let pair = ends.connect(&site, role).await?;
        for size in SIZES {
            // Both ways of one connection are enough for what takes long.
            if size > 1 << 20 && role == Role::Accepting {
                continue;
            }
            let sent = message(&body(size));
            for way in 0..pair.ways().len() {
                if size <= largest(&site) {
                    let (from, to) = pair.ways()[way];
                    pass(&site, from, to, &format!("a body of {size} bytes"), &sent).await?;
                } else {
                    // A refusal may end the connection.
                    let pair = ends.connect(&site, role).await?;
                    arrives_or_is_refused(&site, pair.ways()[way], &sent).await?;
                }
            }
        }
    }
    Ok(())
}

async fn the_largest_body_arrives(site: Site) -> Outcome {
    let pair = pair(&site, Role::Dialling).await?;
    let most = largest(&site);
    for (from, to) in pair.ways() {
        for size in [most.saturating_sub(1), most] {
            pass(&site, from, to, &format!("a body of {size} bytes"), &message(&body(size))).await?;
        }
    }
    Ok(())
}
