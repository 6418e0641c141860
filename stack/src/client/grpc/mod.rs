pub use crate::client::rpc::RpcClient as GrpcClient;
