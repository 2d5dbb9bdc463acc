//! The targets document: which systems are connected, through which connector, with which settings, grants and limits.
//!
//! `pilot = "identity.department == 'IT'"` limits a target to some people: for the others nothing is queued there but what a security hold asks for,
//! and the plan says what would be done ([`PilotText`]).

mod auth;
mod dependencies;
mod grants;
mod oauth2;
mod parse;
mod pilot;
mod protected;
mod secrets;
mod sql;
mod wire;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::name::{Name, TargetName};

pub use auth::{HttpAuth, belongs_to_connection};
pub use grants::ENDPOINTS_MAX;
pub use oauth2::{ClientAuth, OAuth2, TokenUrl};
pub use parse::{LIMITS_MAX, TARGETS_MAX, parse, parse_strictly};
pub use pilot::PilotText;
pub use protected::{PROTECTED_MAX, Protected, Protection, check_protected};
pub use secrets::{DeclaredSecret, SecretPlace, SecretPosition, SecretReference, secret_named};
pub use sql::{SqlAddress, SqlDatabase, SqlGrant, SqlServer, SqlTls};
pub use wire::{ClientCertificate, Proxy, ProxyAuth, Tls, TlsVersion};

/// What part of the known accounts may be missing from a list when the document says nothing, in percent.
pub const SHRINK_MAX_PERCENT_DEFAULT: u8 = 30;

/// All targets, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Targets {
    /// Each target.
    pub targets: BTreeMap<TargetName, Target>,
    /// For whom anything is done in a target; where nothing is said, for everybody.
    pub pilots: BTreeMap<TargetName, PilotText>,
}

/// One connected system.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Its name.
    pub name: TargetName,
    /// Which connector serves it: `sql`, `sql@0.1.0` or `sha256:…`. Resolved to a digest when the document is activated.
    pub connector: ConnectorReference,
    /// What may be done without a person.
    pub apply: ApplyMode,
    /// Targets whose primary account a person must be able to use before one is made here.
    pub depends_on: Vec<TargetName>,
    /// How its accounts are compared with what is remembered.
    pub reconcile: Reconcile,
    /// The connector's settings: a JSON object.
    pub settings: Value,
    /// What the connector may reach.
    pub grants: Grants,
    /// How HTTP requests are authenticated, by the host.
    pub http_auth: Option<HttpAuth>,
    /// TLS of its HTTP connections.
    pub tls: Tls,
    /// The proxy its HTTP connections go through.
    pub proxy: Option<Proxy>,
    /// Secrets whose placeholders the connector may write, by name.
    pub secrets: BTreeMap<Name, DeclaredSecret>,
    /// Accounts that are never changed.
    pub protected: Protected,
    /// Limits on each call.
    pub limits: Limits,
}

impl Target {
    /// A target that only observes, with no rights and everything else as it is unless said.
    pub fn new(name: TargetName, connector: ConnectorReference) -> Self {
        Self {
            name,
            connector,
            apply: ApplyMode::default(),
            depends_on: Vec::new(),
            protected: Protected::default(),
            reconcile: Reconcile::default(),
            settings: Value::Object(serde_json::Map::new()),
            grants: Grants::default(),
            http_auth: None,
            tls: Tls::default(),
            proxy: None,
            secrets: BTreeMap::new(),
            limits: Limits::default(),
        }
    }

    /// The secrets that leave in requests, each with the key it stands under.
    pub fn sent_secrets(&self) -> Vec<(String, &SecretReference)> {
        let auth = self.http_auth.iter().flat_map(HttpAuth::secrets);
        let proxy = self.proxy.iter().filter_map(|proxy| proxy.auth.as_ref());
        auth.map(|(key, reference)| (key.to_owned(), reference))
            .chain(proxy.map(|auth| ("proxy.password".to_owned(), &auth.password)))
            .chain(
                self.secrets
                    .iter()
                    .map(|(name, secret)| (format!("secrets.{name}"), &secret.value)),
            )
            .collect()
    }

    /// All secrets it uses, each with the key it stands under.
    pub fn secret_references(&self) -> Vec<(String, &SecretReference)> {
        let key = self.tls.client.iter().map(|client| &client.key);
        let sql = self.grants.sql.iter().filter_map(|grant| match &grant.database {
            SqlDatabase::Postgresql(server) | SqlDatabase::Mysql(server) => {
                let password = server.password.as_ref()?;
                Some((format!("grants.sql.{}.password", grant.endpoint), password))
            }
            SqlDatabase::Sqlite(_) => None,
        });
        let mut all = self.sent_secrets();
        all.extend(sql);
        all.extend(key.map(|key| ("tls.client-key".to_owned(), key)));
        all
    }
}

/// How a target's accounts are compared with what is remembered of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconcile {
    /// How often a serving host does it, in minutes; never when not said.
    pub every_minutes: Option<u32>,
    /// More of the known accounts than this (in percent) not in the list, and the list is not believed.
    pub shrink_max_percent: u8,
}

impl Default for Reconcile {
    fn default() -> Self {
        Self {
            every_minutes: None,
            shrink_max_percent: SHRINK_MAX_PERCENT_DEFAULT,
        }
    }
}

/// Which connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectorReference {
    /// By name, and by version if said; else the newest added.
    Name {
        /// The connector's name.
        name: Name,
        /// Its version.
        version: Option<String>,
    },
    /// By the SHA-256 of its bytes, lower-case hexadecimal.
    Digest(String),
}

/// What may be done to a target without a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApplyMode {
    /// Plans only; nothing is written.
    #[default]
    Observe,
    /// Operations run when a person applies.
    Manual,
    /// Operations run by themselves.
    Auto,
}

/// What a connector may reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grants {
    /// HTTP endpoints.
    pub http: Vec<HttpGrant>,
    /// SQL endpoints.
    pub sql: Vec<SqlGrant>,
}

/// One HTTP endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HttpGrant {
    /// `https` or `http`.
    pub scheme: HttpScheme,
    /// Exact host name or IP literal, lower case.
    pub host: String,
    /// Port; the scheme's own when not given.
    pub port: Option<u16>,
    /// Methods allowed; all when empty.
    #[serde(default)]
    pub methods: Vec<String>,
    /// What the path must start with; `/` unless said.
    #[serde(default)]
    pub path_prefix: Option<String>,
    /// Allows addresses that are loopback or private. Link-local and metadata addresses are never allowed.
    #[serde(default)]
    pub private_addresses: bool,
}

/// The scheme of an HTTP endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HttpScheme {
    /// TLS.
    Https,
    /// In the clear.
    Http,
}

/// Limits on each call. The defaults suit connectors in Rust, and those with an interpreter inside (JavaScript, Python).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Limits {
    /// Time the guest itself may compute, in milliseconds.
    pub cpu_ms: u32,
    /// Time the whole call may take, in milliseconds.
    pub wall_ms: u32,
    /// Linear memory, in MiB.
    pub memory_mib: u32,
    /// HTTP requests and SQL statements in one call.
    pub requests: u32,
    /// Bytes of one HTTP answer, in KiB.
    pub response_kib: u32,
    /// Bytes of all HTTP requests and answers of one call, in KiB.
    pub transfer_kib: u32,
    /// Calls at the same time on this target.
    pub concurrency: u32,
    /// How long after an unknown `create` the target may still hide the account, in milliseconds.
    pub settle_ms: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu_ms: 1_000,
            wall_ms: 30_000,
            memory_mib: 64,
            requests: 100,
            response_kib: 4_096,
            transfer_kib: 65_536,
            concurrency: 8,
            settle_ms: 2_000,
        }
    }
}

#[cfg(test)]
mod tests;
