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

impl Inspection {
    /// What a targets document must say for a target called `target` to use it, with places to fill in; empty when nothing needs a grant.
    pub fn grants(&self, target: &str) -> String {
        let mut grants: Vec<String> = Vec::new();
        for import in &self.imports {
            if let Some(grant) = import.access.grant(target)
                && !grants.contains(&grant)
            {
                grants.push(grant);
            }
        }
        grants.join("\n")
    }

    /// The parts of WASI that are there but refuse every use: `filesystem`, `sockets`. Interpreters ask for them whether the connector does or not.
    pub fn stubbed(&self) -> Vec<&str> {
        let stubs = self
            .imports
            .iter()
            .filter(|import| import.access == Access::Stubbed);
        let mut packages: Vec<&str> = stubs
            .filter_map(|import| import.name.strip_prefix("wasi:")?.split('/').next())
            .collect();
        packages.dedup();
        packages
    }
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

impl Access {
    /// Lines for the targets document that grant it, with places to fill in.
    pub fn grant(self, target: &str) -> Option<String> {
        let (kind, rest) = match self {
            Self::HttpGrant => ("http", "scheme = \"https\"\nhost = \"host.example.com\"\n"),
            Self::SqlGrant => (
                "sql",
                "endpoint = \"app\"\nsqlite = \"/path/to/the/database.db\"\n",
            ),
            Self::Always | Self::Stubbed | Self::Unknown => return None,
        };
        Some(format!("[[targets.{target}.grants.{kind}]]\n{rest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn import(name: &str, access: Access) -> Import {
        Import {
            name: name.to_owned(),
            access,
        }
    }

    #[test]
    fn grants_are_told_once_and_stubs_by_package() {
        let found = Inspection {
            digest: String::new(),
            size_bytes: 0,
            exports: vec![],
            imports: vec![
                import("wasi:filesystem/types@0.2.6", Access::Stubbed),
                import("wasi:filesystem/preopens@0.2.6", Access::Stubbed),
                import("wasi:http/types@0.2.6", Access::HttpGrant),
                import("wasi:http/outgoing-handler@0.2.6", Access::HttpGrant),
                import("wasi:sockets/tcp@0.2.6", Access::Stubbed),
                import("usher:host/sql@0.1.0", Access::SqlGrant),
            ],
            descriptor: Descriptor {
                name: "a".to_owned(),
                version: "1.0.0".to_owned(),
                docs_url: None,
                settings_schema: serde_json::Value::Null,
                capabilities: usher_lifecycle::connector::Capabilities {
                    disable: false,
                    delete: false,
                    entitlements: false,
                },
                creation: usher_lifecycle::connector::Creation::None,
            },
        };
        assert_eq!(found.stubbed(), ["filesystem", "sockets"]);
        assert_eq!(
            found.grants("crm"),
            "[[targets.crm.grants.http]]\nscheme = \"https\"\nhost = \"host.example.com\"\n\n\
             [[targets.crm.grants.sql]]\nendpoint = \"app\"\nsqlite = \"/path/to/the/database.db\"\n"
        );
    }
}
