//! Many at once: tasks that share a socket, sockets that share a listener, and operations that are given up half-way.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::try_join_all;
use rand::Rng;
use shaketable_stack::transport::Message;
use tokio::sync::oneshot;

use super::tools::{
    End, Ends, KEEPS_ALL, LARGE_WITHIN, NOTHING_TWICE, ORDERED, Role, body, largest, listen, message, number_of,
    numbered, open, pair, pair_for_requests, pass, same,
};
use crate::Level::Must;
use crate::requirement::check;
use crate::{Finding, Need, Outcome, Requirement, Site, expect, expect_equal};

pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "TRA-029",
        level: Must,
        sentence: "Of several connections to one listener each end gets what its own peer has sent.",
        source: "go-micro transport/memory.go: Dial makes two pipes for each connection",
        needs: &[],
        check: check!(connections_do_not_mix),
    },
    Requirement {
        id: "TRA-030",
        level: Must,
        sentence: "An end that waits for a message can send meanwhile.",
        source: "go-micro pull request 884: the lock of Recv blocks Send; transport/http_client.go (v5.30.0): Send \
                 needs the lock that Recv holds while it reads",
        needs: &[],
        check: check!(a_waiting_end_can_send),
    },
    Requirement {
        id: "TRA-031",
        level: Must,
        sentence: "Both ends can send more than the connection holds at the same time, while both receive.",
        source: "decision of shaketable: two ends that each send before they read again would wait for each other for \
                 ever; go-micro pull request 884",
        needs: &[],
        check: check!(both_ends_send_at_once),
    },
    Requirement {
        id: "TRA-032",
        level: Must,
        sentence: "Messages that several tasks send on one end at once arrive whole.",
        source: "go-micro transport/http_client.go: Send writes to the connection without a lock",
        needs: &[KEEPS_ALL],
        check: check!(tasks_share_an_end_to_send),
    },
    Requirement {
        id: "TRA-033",
        level: Must,
        sentence: "Of several tasks that receive on one end each message reaches one.",
        source: "go-micro transport/http_client.go: Recv holds a lock while it reads; decision of shaketable: a \
                 message is the work of one task",
        needs: &[KEEPS_ALL],
        check: check!(tasks_share_an_end_to_receive),
    },
    Requirement {
        id: "TRA-034",
        level: Must,
        sentence: "A recv that is given up takes no message and no part of one with it.",
        source: "decision of shaketable: in Rust every time limit around a future drops it",
        needs: &[KEEPS_ALL, Need::InProcess("that a call is given up")],
        check: check!(a_recv_that_is_given_up_loses_nothing),
    },
    Requirement {
        id: "TRA-035",
        level: Must,
        sentence: "A send that is given up never gives the peer a part of a message.",
        source: "decision of shaketable: in Rust every time limit around a future drops it",
        needs: &[],
        check: check!(a_send_that_is_given_up_leaves_no_part),
    },
    Requirement {
        id: "TRA-074",
        level: Must,
        sentence: "When several tasks send on an end while one receives and one closes it, each call ends within twenty \
                   seconds, none panics, and the peer receives whole messages: of each task the first ones in their order \
                   where no loss and an order are promised, and none twice where that is.",
        source: "go-micro pull requests 2374, 2436 and 2441: Close, Recv and Send of one client race for its lock and its \
                 channels; issue 655: a part of a body is taken for a message",
        needs: &[],
        check: check!(sends_a_recv_and_a_close_at_once_end, "{}", ENDS_WITHIN),
    },
];

/// Within which a call must end that is made on an end while others are, or that is closed.
const ENDS_WITHIN: Duration = Duration::from_secs(20);

async fn connections_do_not_mix(site: Site) -> Outcome {
    let ends = Ends::new(&site).await?;
    let listener = listen(&site, &ends.second).await?;
    let mut pairs = Vec::new();
    for _ in 0..6 {
        pairs.push(open(&site, &ends.home, &listener).await?);
    }
    let talk = |(index, (near, far)): (usize, &(End, End))| {
        let (site, near, far) = (site.clone(), near.clone(), far.clone());
        async move {
            let mut random = site.env().random("pauses");
            for round in 0..8_u32 {
                site.let_pass(Duration::from_millis(random.random_range(0..4))).await;
                let said = numbered(index as u32 * 100 + round, 50);
                pass(&site, &near, &far, &format!("request {round} of connection {index}"), &said).await?;
                pass(&site, &far, &near, &format!("answer {round} of connection {index}"), &said).await?;
            }
            Ok::<_, Finding>(())
        }
    };
    try_join_all(pairs.iter().enumerate().map(talk)).await.map(drop)
}

async fn a_waiting_end_can_send(site: Site) -> Outcome {
    let [dialling, accepting] = Role::BOTH;
    let pairs = [pair(&site, dialling).await?, pair(&site, accepting).await?, pair_for_requests(&site).await?];
    for pair in pairs {
        let (question, answer) = (message(b"question"), message(b"answer"));
        // The answer comes only when the question has been heard.
        let own = async {
            let received = site.ask("receive what the peer answers", pair.own.recv()).await?;
            same("the answer", &received, &answer)
        };
        let ask = async {
            site.take_effect(Duration::from_millis(50)).await;
            site.ask("send while another task receives", pair.own.send(&question)).await
        };
        let peer = async {
            let received = site.ask("hear the question", pair.peer.recv()).await?;
            same("the question", &received, &question)?;
            site.ask("answer", pair.peer.send(&answer)).await
        };
        tokio::try_join!(own, ask, peer)?;
    }
    Ok(())
}

async fn both_ends_send_at_once(site: Site) -> Outcome {
    let pair = pair(&site, Role::Dialling).await?;
    let size = largest(&site).min(1 << 20);
    let sent: Vec<Message> = (0..3).map(|number| numbered(number, size)).collect();
    let send = |socket: End| {
        let (site, sent) = (&site, &sent);
        async move {
            for message in sent {
                site.within("send, while the peer sends, too", LARGE_WITHIN, socket.send(message)).await?.map_err(
                    |error| Finding::violated("'send' to succeed while the peer sends, too", error.to_string()),
                )?;
            }
            Ok::<_, Finding>(())
        }
    };
    let receive = |socket: End| {
        let (site, sent) = (&site, &sent);
        async move {
            // Only when both have filled what the connection holds.
            site.take_effect(site.slack()).await;
            for message in sent {
                let what = "receive, while both ends send";
                let received = site.within(what, LARGE_WITHIN, socket.recv()).await?;
                let received = received.map_err(|error| Finding::violated(what, error.to_string()))?;
                expect(received.body.len() == message.body.len(), "a whole message", || {
                    format!("{} bytes", received.body.len())
                })?;
            }
            Ok::<_, Finding>(())
        }
    };
    let (own, peer) = (&pair.own, &pair.peer);
    tokio::try_join!(send(own.clone()), send(peer.clone()), receive(own.clone()), receive(peer.clone())).map(drop)
}

async fn tasks_share_an_end_to_send(site: Site) -> Outcome {
    const TASKS: u32 = 8;
    const EACH: u32 = 6;
    for role in Role::BOTH {
        let pair = pair(&site, role).await?;
        let lengths: Vec<usize> = {
            let mut random = site.env().random("sizes");
            // What is written in several pieces is mixed sooner; on a bad network it only takes longer.
            let most = if site.is_simulated() { 30_000 } else { largest(&site).min(1 << 20) };
            (0..TASKS * EACH).map(|_| random.random_range(10..most)).collect()
        };
        let send = |task: u32| {
            let (site, own, lengths) = (&site, &pair.own, &lengths);
            async move {
                for number in (task * EACH)..((task + 1) * EACH) {
                    let message = numbered(number, lengths[number as usize]);
                    site.ask(&format!("send message {number}"), own.send(&message)).await?;
                }
                Ok::<_, Finding>(())
            }
        };
        let receive = async {
            let mut seen = BTreeSet::new();
            for count in 1..=TASKS * EACH {
                let what = format!("receive message {count} of {}", TASKS * EACH);
                let received = site.ask(&what, pair.peer.recv()).await?;
                let number = number_of(&received).filter(|number| *number < TASKS * EACH);
                let whole = number.is_some_and(|number| {
                    received.body == numbered(number, lengths[number as usize]).body && seen.insert(number)
                });
                expect(whole, "each message whole and once", || {
                    format!("{} bytes that begin with number {number:?}", received.body.len())
                })?;
            }
            Ok(())
        };
        tokio::try_join!(try_join_all((0..TASKS).map(send)), receive)?;
    }
    Ok(())
}

async fn tasks_share_an_end_to_receive(site: Site) -> Outcome {
    const COUNT: u32 = 24;
    for role in Role::BOTH {
        let pair = pair(&site, role).await?;
        let receive = |_| {
            let (site, own) = (&site, &pair.own);
            async move {
                let mut got = Vec::new();
                for _ in 0..COUNT / 4 {
                    got.push(number_of(&site.ask("receive beside others", own.recv()).await?));
                }
                Ok::<_, Finding>(got)
            }
        };
        let send = async {
            for number in 0..COUNT {
                site.ask(&format!("send message {number}"), pair.peer.send(&numbered(number, 500))).await?;
            }
            Ok(())
        };
        let (got, ()) = tokio::try_join!(try_join_all((0..4).map(receive)), send)?;
        let mut got: Vec<_> = got.into_iter().flatten().collect();
        got.sort_unstable();
        let wanted: Vec<_> = (0..COUNT).map(Some).collect();
        expect_equal("what all of them got", &got, &wanted)?;
    }
    Ok(())
}

async fn a_recv_that_is_given_up_loses_nothing(site: Site) -> Outcome {
    for role in Role::BOTH {
        let pair = pair(&site, role).await?;
        let sent = [numbered(1, largest(&site).min(300_000)), numbered(2, 10), numbered(3, 20_000)];
        let send = async {
            for message in &sent {
                site.let_pass(Duration::from_millis(3)).await;
                site.ask("send", pair.peer.send(message)).await?;
            }
            Ok::<_, Finding>(())
        };
        let receive = async {
            let mut got = Vec::new();
            while got.len() < sent.len() {
                // Waits for a millisecond, and gives up.
                if let Ok(received) = site.env().timeout(Duration::from_millis(1), pair.own.recv()).await {
                    got.push(received.map_err(|error| {
                        Finding::violated("'receive' to succeed after others were given up", error.to_string())
                    })?);
                }
            }
            Ok(got)
        };
        let both = async { tokio::try_join!(send, receive) };
        let ((), got) = site.within("receive three messages with an impatient recv", LARGE_WITHIN, both).await??;
        for (received, sent) in got.iter().zip(&sent) {
            same("a message after receives that were given up", received, sent)?;
        }
    }
    Ok(())
}

async fn a_send_that_is_given_up_leaves_no_part(site: Site) -> Outcome {
    for role in Role::BOTH {
        let pair = pair(&site, role).await?;
        let large = message(&body(largest(&site).min(1 << 20)));
        {
            // Begun, and given up at the first wait: some of it may be under way.
            let mut send = pin!(pair.own.send(&large));
            let _ = poll_fn(|context| Poll::Ready(send.as_mut().poll(context))).await;
        }
        let small = message(b"after");
        let send = site.env().timeout(site.slack() * 4, pair.own.send(&small));
        let receive = async {
            let mut got = Vec::new();
            while let Ok(Ok(received)) = site.env().timeout(site.slack() * 8, pair.peer.recv()).await {
                got.push(received);
            }
            got
        };
        // Whether the connection goes on is the transport's choice.
        let (_, got) =
            site.within("receive what there is", LARGE_WITHIN, async { tokio::join!(send, receive) }).await?;
        for received in got {
            let whole = received.body == large.body || received.body == small.body;
            expect(whole, "a whole message, or an error", || {
                format!("{} bytes; {} and {} were sent", received.body.len(), large.body.len(), small.body.len())
            })?;
        }
    }
    Ok(())
}

/// Runs `call` as a task; what it ends with is awaited.
fn begun(site: &Site, call: impl Future<Output = Outcome> + Send + 'static) -> impl Future<Output = Outcome> {
    let (done, outcome) = oneshot::channel();
    let task = site.env().spawn("check-call", async move {
        // Nobody waits any more when the check has ended meanwhile.
        let _ = done.send(call.await);
    });
    async move {
        let ended = outcome.await;
        task.join().await;
        ended.map_err(|_| Finding::violated("no panic", "a task that sends, receives or closes has panicked"))?
    }
}

async fn sends_a_recv_and_a_close_at_once_end(site: Site) -> Outcome {
    const TASKS: u32 = 6;
    const EACH: u32 = 30;
    let size = largest(&site).min(64 << 10);
    let early = Duration::from_millis(site.env().random("pauses").random_range(0..30));
    // While all are on their way, and when the senders wait for a peer that does not receive.
    for (role, pause) in Role::BOTH.into_iter().flat_map(|role| [(role, early), (role, site.slack())]) {
        let pair = pair(&site, role).await?;
        let mut calls = Vec::new();
        for task in 0..TASKS {
            let (there, own) = (site.clone(), pair.own.clone());
            let sends = async move {
                for number in task * EACH..(task + 1) * EACH {
                    let what = "a send beside others, a recv and a close to end";
                    if there.within(what, ENDS_WITHIN, own.send(&numbered(number, size))).await?.is_err() {
                        break;
                    }
                }
                Ok(())
            };
            calls.push(begun(&site, sends).boxed());
        }
        let (there, own) = (site.clone(), pair.own.clone());
        let receives = async move {
            while there.within("a recv beside sends and a close to end", ENDS_WITHIN, own.recv()).await?.is_ok() {}
            Ok(())
        };
        calls.push(begun(&site, receives).boxed());
        let (there, own) = (site.clone(), pair.own.clone());
        let closes = async move {
            there.let_pass(pause).await;
            // That it ends is what counts here.
            there.within("a close beside sends and a recv to end", ENDS_WITHIN, own.close()).await.map(drop)
        };
        calls.push(begun(&site, closes).boxed());
        let peer = async {
            for number in 0..3 {
                // Whether it still gets there is of no concern.
                let _ = site.env().timeout(site.slack(), pair.peer.send(&numbered(number, 100))).await;
            }
            site.let_pass(pause).await;
            let mut received = Vec::new();
            let until = "receive from an end that was closed, and see that it is";
            while let Ok(message) = site.within(until, LARGE_WITHIN, pair.peer.recv()).await? {
                received.push(message);
            }
            Ok::<_, Finding>(received)
        };
        let ((), received) = tokio::try_join!(async { try_join_all(calls).await.map(drop) }, peer)?;
        are_first_ones(&site, &received, (TASKS, EACH), size)?;
    }
    Ok(())
}

/// What was `received` are numbered messages of `size` bytes, `each` for each of the `tasks` at most: as far as that is
/// promised, of each task the first ones, in order, once.
fn are_first_ones(site: &Site, received: &[Message], (tasks, each): (u32, u32), size: usize) -> Outcome {
    let promised = |need: Need| matches!(need, Need::Promises(_, holds) if holds(site.promises()));
    let mut came = vec![Vec::new(); tasks as usize];
    for message in received {
        let number = number_of(message).filter(|number| *number < tasks * each);
        let Some(number) = number.filter(|number| message.body == numbered(*number, size).body) else {
            let what = format!("{} bytes that are none of them", message.body.len());
            return Err(Finding::violated("each body that is received to be one that was sent", what));
        };
        came[(number / each) as usize].push(number % each);
    }
    for numbers in &came {
        let different: BTreeSet<u32> = numbers.iter().copied().collect();
        if promised(NOTHING_TWICE) {
            expect(different.len() == numbers.len(), "no message twice", || format!("of one task {numbers:?}"))?;
        }
        if promised(ORDERED) && promised(KEEPS_ALL) {
            let first = different.iter().copied().eq(0..different.len() as u32);
            expect(first && numbers.is_sorted(), "the first messages of each task, in order", || {
                format!("of one task {numbers:?}")
            })?;
        }
    }
    Ok(())
}
