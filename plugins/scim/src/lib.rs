//! Accounts and group membership in any system that speaks SCIM 2.0 (RFC 7643, RFC 7644).
//!
//! Only what changed is sent, by PATCH; members are added and removed one at a time. Answers are read with patience:
//! truth values as texts, lists without `Resources`, changes answered without a body.

mod accounts;
mod check;
mod client;
mod groups;
mod settings;
mod user;

#[cfg(test)]
mod tests;

use usher_sdk::prelude::*;

use settings::Settings;

struct Scim {
    settings: Settings,
    /// The base URL without a slash at the end.
    base: String,
}

impl Connector for Scim {
    type Settings = Settings;
    const NAME: &'static str = "scim";

    fn new(settings: Settings) -> Result<Self, Error> {
        settings.validate()?;
        let base = settings.base_url.trim_end_matches('/').to_owned();
        Ok(Self { settings, base })
    }

    fn capabilities(settings: Option<&Settings>) -> Vec<Capability> {
        let mut can = vec![Capability::Disable];
        if settings.is_none_or(|settings| settings.delete) {
            can.push(Capability::Delete);
        }
        can
    }

    fn creation(settings: Option<&Settings>) -> Creation {
        if settings.is_none_or(|settings| settings.marker) {
            Creation::Marker
        } else {
            Creation::UniqueKey(vec!["userName".to_owned()])
        }
    }

    fn check(&self) -> Result<CheckReport, Error> {
        Ok(check::check(self))
    }
}

usher_sdk::export!(Scim: entitlements);
