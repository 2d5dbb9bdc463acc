//! The connector that does nothing, and a target that uses it.

use usher_lifecycle::name::Name;
use usher_lifecycle::targets::{self, Target};

/// The component, built if need be.
pub(crate) fn component() -> Vec<u8> {
    usher_tests::component("usher-guest-noop")
}

/// The targets document with these targets, all served by the connector that does nothing.
pub(crate) fn targets_document(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| {
            format!(
                "[targets.{name}]\nconnector = \"noop\"\napply = \"auto\"\n[targets.{name}.settings]\n\
                 [targets.{name}.limits]\nconcurrency = 64\n"
            )
        })
        .collect()
}

/// One target out of [`targets_document`].
pub(crate) fn target(name: &str) -> anyhow::Result<Target> {
    let parsed = targets::parse("targets.toml", &targets_document(&[name]))?;
    let name: Name = name.parse()?;
    parsed
        .targets
        .get(&name)
        .cloned()
        .ok_or_else(|| anyhow::anyhow!("no target {name}"))
}
