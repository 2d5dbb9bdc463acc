//! What the operator sets.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use usher_sdk::Error;

/// Largest page asked for: with a few KiB for a user a page stays far below what one answer may have.
const MAX_PAGE_SIZE: u32 = 1_000;

/// The settings of the `scim` connector.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Settings {
    /// Where SCIM begins, for example `https://api.example.com/scim/v2`.
    pub(crate) base_url: String,
    /// Whether `externalId` may hold Usher's id of the creation, so that a lost one is recognised beyond doubt. Set it to
    /// false when something else writes `externalId`.
    #[serde(default = "yes")]
    pub(crate) marker: bool,
    /// How policies name groups.
    #[serde(default)]
    pub(crate) group_key: GroupKey,
    /// Users or groups asked for at a time.
    #[serde(default = "page_size")]
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) page_size: u32,
    /// How the groups of one user are read.
    #[serde(default)]
    pub(crate) held: Held,
    /// Whether accounts may be deleted.
    #[serde(default = "yes")]
    pub(crate) delete: bool,
}

fn yes() -> bool {
    true
}

fn page_size() -> u32 {
    100
}

/// How policies name groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
pub(crate) enum GroupKey {
    /// By the name people see.
    #[default]
    #[serde(rename = "displayName")]
    DisplayName,
    /// By the system's id.
    #[serde(rename = "id")]
    Id,
}

/// How the groups of one user are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Held {
    /// By asking for the groups that have this member.
    #[default]
    GroupFilter,
    /// From the user's own attribute `groups`, for systems that keep it and cannot filter groups by member.
    UserGroups,
}

impl Settings {
    /// What no type can say.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let rest = self
            .base_url
            .strip_prefix("https://")
            .or_else(|| self.base_url.strip_prefix("http://"));
        if rest.is_none_or(|rest| rest.is_empty() || rest.contains(['?', '#', '@', ' '])) {
            let why = "must be an http or https URL without user, query or fragment";
            return Err(Error::misconfigured(format!("settings: `base-url`: {why}")));
        }
        if self.page_size == 0 || self.page_size > MAX_PAGE_SIZE {
            return Err(Error::misconfigured(format!(
                "settings: `page-size`: must be 1 to {MAX_PAGE_SIZE}"
            )));
        }
        Ok(())
    }
}
