//! Request paths and the endpoints that they mean. go-micro: `methodToGRPC` (client/grpc/grpc.go), `ServiceMethod`
//! (util/grpc/grpc.go).

/// The path of `endpoint` of `service`: `/<service>.<Type>/<Method>`. What is not `Type.Method` is used as it is.
pub(crate) fn of(service: &str, endpoint: &str) -> String {
    if endpoint.starts_with('/') {
        return endpoint.to_owned();
    }
    match endpoint.split_once('.') {
        Some((kind, method)) if !method.contains('.') && service.is_empty() => ["/", kind, "/", method].concat(),
        Some((kind, method)) if !method.contains('.') => ["/", service, ".", kind, "/", method].concat(),
        _ => ["/", endpoint].concat(),
    }
}

/// Type and method that `path` means: the package before the type is of no account.
pub(crate) fn target(path: &str) -> Option<(&str, &str)> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let kind = service.rsplit('.').next().filter(|kind| !kind.is_empty())?;
    (!method.is_empty() && !method.contains('/')).then_some((kind, method))
}

#[cfg(test)]
mod tests {
    use super::{of, target};

    #[test]
    fn endpoints_become_paths_and_paths_find_types() {
        for (service, endpoint, path) in [
            ("greeter", "Say.Hello", "/greeter.Say/Hello"),
            ("go.micro.srv", "Say.Hello", "/go.micro.srv.Say/Hello"),
            ("", "Say.Hello", "/Say/Hello"),
            ("greeter", "/pkg.Say/Hello", "/pkg.Say/Hello"),
        ] {
            assert_eq!(of(service, endpoint), path);
            assert_eq!(target(path), Some(("Say", "Hello")));
        }
        assert_eq!(of("greeter", "Hello"), "/Hello");
        for wrong in ["/Hello", "Say/Hello", "//Hello", "/Say/", "/a/b/c", ""] {
            assert_eq!(target(wrong), None, "{wrong}");
        }
    }
}
