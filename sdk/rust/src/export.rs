//! The one line that turns a type into a component.

/// Exports a connector: `connector` and `accounts` always, and the optional interfaces named after the colon.
///
/// ```ignore
/// usher_sdk::export!(Csv);
/// usher_sdk::export!(Directory: entitlements);
/// ```
/// What is named must be implemented: [`Accounts`](crate::Accounts) always, [`Entitlements`](crate::Entitlements) for
/// `entitlements`.
#[macro_export]
macro_rules! export {
    ($connector:ident $(: $($optional:ident),+ $(,)?)?) => {
        impl $crate::Package for $connector {
            const VERSION: &'static str = env!("CARGO_PKG_VERSION");
        }
        // Says "`Csv` is not `Accounts`" instead of naming generated code.
        const _: fn() = || {
            fn needs<T: $crate::Accounts>() {}
            needs::<$connector>();
        };
        $crate::bindings::base::__export_base!($connector with_types_in $crate::bindings::base);
        $($($crate::__export_optional!($connector $optional);)+)?
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_optional {
    ($connector:ident entitlements) => {
        const _: fn() = || {
            fn needs<T: $crate::Entitlements>() {}
            needs::<$connector>();
        };
        $crate::bindings::entitlements::__export_entitlements!(
            $connector with_types_in $crate::bindings::entitlements
        );
    };
    ($connector:ident $other:ident) => {
        compile_error!(concat!("usher-sdk: there is no optional interface `", stringify!($other), "`"));
    };
}
