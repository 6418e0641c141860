//! The contract, and that a gRPC library understands both ends.

use std::sync::Arc;

use super::super::contract::{self, Traits};
use super::GrpcTransport;

#[tokio::test(start_paused = true)]
async fn grpc_meets_the_contract() {
    let traits = Traits { keeps_key_case: true, on_network: true };
    contract::check(traits, |env, options| Arc::new(GrpcTransport::new(env, options))).await;
}
