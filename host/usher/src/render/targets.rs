//! What the targets of a document resolve to.

use std::collections::BTreeMap;

use usher_engine::ports::ResolvedTarget;
use usher_lifecycle::name::TargetName;

use super::escape::safe;
use super::ink::Ink;
use super::table::{Align, Table};

/// Targets with the connector each would use.
pub(crate) fn resolved(targets: &BTreeMap<TargetName, ResolvedTarget>, ink: &Ink) -> String {
    if targets.is_empty() {
        return "no targets\n".to_owned();
    }
    let mut table = Table::new(&[
        ("target", Align::Left),
        ("connector", Align::Left),
        ("sha256", Align::Left),
    ]);
    for (name, target) in targets {
        let connector = format!(
            "{} {}",
            safe(&target.descriptor.name),
            safe(&target.descriptor.version)
        );
        table.row([
            name.to_string().into(),
            connector.into(),
            safe(&target.digest).into(),
        ]);
    }
    table.render(0, ink)
}
