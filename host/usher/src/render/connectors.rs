//! Connectors: what was added, and what a component is.

use usher_connectors::{Access, Inspection};
use usher_lifecycle::connector::{Capabilities, Creation};
use usher_store::ArtifactInfo;

use super::escape::{safe, word};
use super::identity::heading;
use super::ink::{Ink, Style};
use super::settings::settings;
use super::table::{Align, Table, grouped, styled};

/// The connectors of a data folder, newest first.
pub(crate) fn list(artifacts: &[ArtifactInfo], ink: &Ink) -> String {
    if artifacts.is_empty() {
        return "no connectors; `usher connector add FILE.wasm` adds one\n".to_owned();
    }
    let mut table = Table::new(&[
        ("connector", Align::Left),
        ("version", Align::Left),
        ("bytes", Align::Right),
        ("added", Align::Left),
        ("sha256", Align::Left),
    ]);
    for artifact in artifacts {
        table.row([
            safe(&artifact.name).into(),
            safe(&artifact.version).into(),
            grouped(u64::try_from(artifact.size_bytes).unwrap_or(0)).into(),
            ink.time(artifact.added_at).into(),
            safe(&artifact.digest).into(),
        ]);
    }
    table.render(0, ink)
}

/// What a component is, before any target uses it.
pub(crate) fn inspection(found: &Inspection, ink: &Ink) -> String {
    let descriptor = &found.descriptor;
    let title = format!("{} {}", safe(&descriptor.name), safe(&descriptor.version));
    let mut out = format!("{}\n", ink.paint(Style::Bold, &title));
    out.push_str(&format!(
        "  sha256:{}, {} bytes\n",
        safe(&found.digest),
        grouped(found.size_bytes as u64)
    ));
    if let Some(url) = &descriptor.docs_url {
        out.push_str(&format!("  documentation: {}\n", safe(url)));
    }
    out.push_str(&format!(
        "  without settings it can: {}\n",
        capabilities(descriptor.capabilities)
    ));
    out.push_str(&format!(
        "  and recognises what it created by {}\n",
        creation(&descriptor.creation)
    ));
    out.push_str(&heading("Exports", ink));
    for export in &found.exports {
        out.push_str(&format!("  {}\n", safe(export)));
    }
    out.push_str(&heading("Imports", ink));
    let mut table = Table::new(&[("interface", Align::Left), ("needs", Align::Left)]);
    for import in &found.imports {
        let (style, needs) = access(import.access);
        table.row([safe(&import.name).into(), styled(style, needs)]);
    }
    out.push_str(&if table.is_empty() {
        "  nothing\n".to_owned()
    } else {
        table.render(2, ink)
    });
    let stubbed = found.stubbed();
    if !stubbed.is_empty() {
        let stubbed: Vec<_> = stubbed.into_iter().map(safe).collect();
        out.push_str(&format!(
            "  interpreter profile: {} stubbed; every use ends the call\n",
            stubbed.join(", ")
        ));
    }
    out.push_str(&to_grant(found, &descriptor.name, ink));
    out.push_str(&heading("Settings", ink));
    out.push_str(&settings(&descriptor.settings_schema, ink));
    out
}

/// What a target must be granted to use it, ready to paste.
pub(crate) fn to_grant(found: &Inspection, target: &str, ink: &Ink) -> String {
    let grants = found.grants(&safe(target));
    if grants.is_empty() {
        return String::new();
    }
    let lines: Vec<String> = grants
        .lines()
        .map(|line| {
            if line.is_empty() {
                "\n".to_owned()
            } else {
                format!("  {line}\n")
            }
        })
        .collect();
    format!("{}{}", heading("To be granted by a target", ink), lines.concat())
}

fn capabilities(can: Capabilities) -> String {
    let all = [
        (true, "create, update"),
        (can.disable, "disable, enable"),
        (can.delete, "delete"),
        (can.entitlements, "entitlements"),
    ];
    all.iter()
        .filter(|(yes, _)| *yes)
        .map(|(_, what)| *what)
        .collect::<Vec<_>>()
        .join(", ")
}

fn creation(creation: &Creation) -> String {
    match creation {
        Creation::Marker => "our mark, which the target keeps".to_owned(),
        Creation::ClientId(attribute) => format!("its id, which we choose: {}", word(attribute)),
        Creation::UniqueKey(attributes) => {
            let all: Vec<_> = attributes.iter().map(|attribute| word(attribute)).collect();
            format!("what is unique: {}", all.join(" + "))
        }
        Creation::None => "nothing: a creation that is cut off waits for a person".to_owned(),
    }
}

const fn access(access: Access) -> (Style, &'static str) {
    match access {
        Access::Always => (Style::Dim, "nothing: always there, and harmless"),
        Access::Stubbed => (Style::Dim, "nothing: there, but every use is refused"),
        Access::HttpGrant => (Style::Warn, "grants.http in the targets document"),
        Access::SqlGrant => (Style::Warn, "grants.sql in the targets document"),
        Access::Unknown => (Style::Bad, "what this host does not offer: it cannot be loaded"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn a_component_says_what_it_needs() {
        insta::assert_snapshot!(inspection(&samples::inspection(), &Ink::plain()));
    }

    #[test]
    fn added_connectors_are_listed() {
        let artifact = ArtifactInfo {
            digest: "ab".repeat(32),
            name: "sql".into(),
            version: "0.1.0".into(),
            size_bytes: 123_456,
            added_at: samples::at(),
        };
        let text = list(&[artifact], &Ink::plain());
        assert!(
            text.contains("sql        0.1.0    123,456  2026-03-02 08:00:00 +00:00  abab"),
            "{text}"
        );
        assert!(list(&[], &Ink::plain()).contains("no connectors"));
    }
}
