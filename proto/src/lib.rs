//! Every interface definition of the project, by service and version, and the code that is generated from it: messages,
//! clients and servers. Nothing here knows what a message is used for.

pub mod json;

/// The API of etcd.
pub mod etcd {
    /// Version 3.
    pub mod v3 {
        // The generated services look for the package `mvccpb` beside them.
        use kv as mvccpb;

        /// Stored data (`mvccpb`).
        #[allow(missing_docs, unused_qualifications, clippy::all, reason = "generated from etcd/v3/kv.proto")]
        pub mod kv {
            tonic::include_proto!("mvccpb");
        }

        /// Services and their messages (`etcdserverpb`).
        #[allow(missing_docs, unused_qualifications, clippy::all, reason = "generated from etcd/v3/rpc.proto")]
        pub mod rpc {
            tonic::include_proto!("etcdserverpb");
        }
    }
}

/// What go-micro's components say to each other.
pub mod micro {
    /// The gRPC transport.
    pub mod transport {
        /// Version 1 (`go.micro.transport.grpc`).
        #[allow(missing_docs, unused_qualifications, clippy::all, reason = "generated from transport.proto")]
        pub mod v1 {
            tonic::include_proto!("go.micro.transport.grpc");
        }
    }

    /// Errors in the details of a gRPC status.
    pub mod errors {
        /// Version 1 (`errors`).
        #[allow(missing_docs, unused_qualifications, clippy::all, reason = "generated from errors.proto")]
        pub mod v1 {
            tonic::include_proto!("errors");
        }
    }
}

/// What simulated services say to each other.
pub mod probe {
    /// Version 1.
    #[allow(missing_docs, unused_qualifications, clippy::all, reason = "generated from probe.proto")]
    pub mod v1 {
        tonic::include_proto!("probe.v1");
    }
}

/// What the harness says to adapters of plugins in other languages.
pub mod subject {
    /// Version 1.
    #[allow(missing_docs, unused_qualifications, clippy::all, reason = "generated from subject.proto")]
    pub mod v1 {
        tonic::include_proto!("subject.v1");
    }
}
