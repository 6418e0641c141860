pub use crate::server::rpc::server;
