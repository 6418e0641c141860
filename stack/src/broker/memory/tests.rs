//! What only the memory broker has: topics that outlive a host.

use std::sync::Arc;

use super::MemoryBroker;
use super::topics::Topics;
use crate::broker::testing::{Recorder, message};
use crate::broker::{Broker, PublishOptions, SubscribeOptions};
use crate::env::testing::Hosts;

#[test]
fn a_host_that_crashes_leaves_nobody_whom_the_next_message_finds() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (crashing, living) = (runtime(), runtime());
    let hosts = Hosts::default();
    let topics = hosts.host(1).namespace().shared::<Topics>();
    let broker = MemoryBroker::new(hosts.host(1));
    let recorder = Arc::new(Recorder::default());
    let handles = crashing.block_on(async {
        broker.connect().await.unwrap();
        let queue = SubscribeOptions { queue: Some("q".into()), ..SubscribeOptions::default() };
        [
            broker.subscribe("t", recorder.clone(), queue).await.unwrap(),
            broker.subscribe("t", recorder.clone(), SubscribeOptions::default()).await.unwrap(),
        ]
    });
    assert_eq!(topics.names(), ["t"]);
    // All tasks of the host end; the values that the test holds do not.
    drop(crashing);
    living.block_on(async {
        let other = MemoryBroker::new(hosts.host(2));
        other.connect().await.unwrap();
        other.publish("t", &message("x"), PublishOptions::default()).await.unwrap();
    });
    assert!(topics.names().is_empty());
    assert_eq!(recorder.count(), 0);
    drop((handles, broker));
}
