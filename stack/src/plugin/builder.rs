//! One method per interface that adds a plugin, for whatever has tables of plugins in a field `plugins`: the command
//! line and the main function of a test are such builders. A closure is enough for a factory.

/// Gives a builder with a field `plugins` of type [`Plugins`](super::Plugins) one method per interface.
#[doc(hidden)]
#[macro_export]
macro_rules! plugin_methods {
    ($builder:ty) => {
        $crate::plugin_methods! { @ $builder,
            transport transports ($crate::env::Env, $crate::plugin::Settings) dyn $crate::transport::Transport,
            codec codecs ($crate::env::Env, $crate::plugin::Settings) dyn $crate::codec::CodecFactory,
            registry registries ($crate::env::Env, $crate::plugin::Settings) dyn $crate::registry::Registry,
            selector selectors
                ($crate::env::Env, ::std::sync::Arc<dyn $crate::registry::Registry>, $crate::plugin::Settings)
                dyn $crate::selector::Selector,
            broker brokers
                ($crate::env::Env, ::std::sync::Arc<dyn $crate::registry::Registry>, $crate::plugin::Settings)
                dyn $crate::broker::Broker,
            client clients ($crate::env::Env, $crate::client::ClientParts, $crate::plugin::Settings)
                dyn $crate::client::Client,
            server servers ($crate::env::Env, $crate::server::ServerParts, $crate::plugin::Settings)
                dyn $crate::server::Server,
            service services ($crate::env::Env, $crate::service::ServiceOptions, $crate::plugin::Settings)
                dyn $crate::service::Service,
        }
    };
    (@ $builder:ty, $($method:ident $table:ident ($($argument:ty),+) $made:ty,)+) => {
        impl $builder {
            $(
                #[doc = concat!("Adds the ", stringify!($method), " `name`: what it promises, and what makes it.")]
                /// One of the same name is replaced.
                #[must_use]
                pub fn $method<F>(mut self, name: &str, promises: $crate::plugin::Promises, factory: F) -> Self
                where
                    F: Fn($($argument),+) -> $crate::plugin::Made<::std::sync::Arc<$made>> + Send + Sync + 'static,
                {
                    let factory = ::std::sync::Arc::new(factory);
                    self.plugins.$table.add(name, "given by this program", promises, factory);
                    self
                }
            )+
        }
    };
}

#[cfg(test)]
#[expect(dead_code, unreachable_pub, reason = "the macro writes eight methods, this test calls one")]
mod tests {
    use crate::plugin::{Plugins, Promises};
    use crate::{Error, ErrorKind};

    struct Builder {
        plugins: Plugins,
    }

    plugin_methods!(Builder);

    #[test]
    fn a_closure_becomes_a_plugin_of_its_table() {
        let refuse = || Error::new(ErrorKind::Unsupported, "make registry");
        let builder = Builder { plugins: Plugins::empty() }
            .registry("mine", Promises::default(), move |_, _| Box::pin(std::future::ready(Err(refuse()))));
        assert_eq!(builder.plugins.registries.names().collect::<Vec<_>>(), ["mine"]);
        assert_eq!(builder.plugins.brokers.names().count(), 0);
    }
}
