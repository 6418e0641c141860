//! `Debug` for types whose insides are tasks, closures or connections: the name, and the few fields that tell people which
//! one it is. It knows no type.

/// Gives a type such a `Debug`: `opaque!(Hook);`, `opaque!(Namespace { name });`.
macro_rules! opaque {
    ($type:ident $({ $($field:ident),+ })?) => {
        impl ::std::fmt::Debug for $type {
            fn fmt(&self, formatter: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                let mut shown = formatter.debug_struct(stringify!($type));
                $($(shown.field(stringify!($field), &self.$field);)+)?
                shown.finish_non_exhaustive()
            }
        }
    };
}
pub(crate) use opaque;
