//! Generated from `wit/`: one small world per interface, so that [`export!`](crate::export) can merge exactly those a
//! connector names. Authors never need to look in here.
#![allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "generated: the canonical ABI of components is raw memory"
)]

pub mod base {
    wit_bindgen::generate!({
        path: "wit",
        world: "base",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "__export_base",
        default_bindings_module: "usher_sdk::bindings::base",
        runtime_path: "::usher_sdk::__rt",
    });
}

pub mod sql {
    wit_bindgen::generate!({
        path: "wit",
        world: "with-sql",
        generate_all,
        default_bindings_module: "usher_sdk::bindings::sql",
        runtime_path: "::usher_sdk::__rt",
    });
}

pub mod entitlements {
    wit_bindgen::generate!({
        path: "wit",
        world: "with-entitlements",
        // One set of Rust types for all worlds.
        with: { "usher:connector/types@0.1.0": crate::bindings::base::usher::connector::types },
        pub_export_macro: true,
        export_macro_name: "__export_entitlements",
        default_bindings_module: "usher_sdk::bindings::entitlements",
        runtime_path: "::usher_sdk::__rt",
    });
}
