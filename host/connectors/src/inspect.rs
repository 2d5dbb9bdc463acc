//! What a component is, before any target uses it: for `usher connector inspect`.

use serde::Serialize;
use usher_lifecycle::connector::Descriptor;

/// What was found.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Inspection {
    /// SHA-256 of the component, lower-case hexadecimal.
    pub digest: String,
    /// Its size.
    pub size_bytes: usize,
    /// Names of the interfaces it exports.
    pub exports: Vec<String>,
    /// What it imports, and what each import needs.
    pub imports: Vec<Import>,
    /// What it says of itself without settings: name, version, settings schema, capabilities.
    pub descriptor: Descriptor,
}

/// One import of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Import {
    /// The interface, with its version.
    pub name: String,
    /// What it takes to have it.
    pub access: Access,
}

/// What it takes to have an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Always there, and harmless.
    Always,
    /// There, but every use is refused: interpreters import it without need.
    Stubbed,
    /// Needs `grants.http`.
    HttpGrant,
    /// Needs `grants.sql`.
    SqlGrant,
    /// Not offered by this host: the component cannot be loaded.
    Unknown,
}
