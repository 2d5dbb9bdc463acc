//! Accounts in an application's own database: a table of users, and a table of memberships.
//!
//! Names of tables and columns come from the settings and are quoted; values are always bound. The database should have a
//! unique constraint on the key: it is the only thing that holds against writers other than Usher.

mod accounts;
mod check;
mod entitlements;
mod new_account;
mod settings;
mod tables;
mod values;

#[cfg(test)]
mod tests;

use usher_sdk::prelude::*;
use usher_sdk::sql::Sql;

use settings::{Delete, Settings};
use tables::Tables;

struct SqlTables {
    settings: Settings,
    endpoint: Sql,
}

impl Connector for SqlTables {
    type Settings = Settings;
    const NAME: &'static str = "sql";

    fn new(settings: Settings) -> Result<Self, Error> {
        settings.validate()?;
        let endpoint = Sql::endpoint(&settings.endpoint);
        Ok(Self { settings, endpoint })
    }

    fn capabilities(settings: Option<&Settings>) -> Vec<Capability> {
        let disable = settings.is_none_or(|settings| settings.users.status.is_some());
        let delete = settings.is_none_or(|settings| settings.delete == Delete::Row);
        let known = [(disable, Capability::Disable), (delete, Capability::Delete)];
        known
            .into_iter()
            .filter(|(can, _)| *can)
            .map(|(_, capability)| capability)
            .collect()
    }

    fn creation(settings: Option<&Settings>) -> Creation {
        match settings {
            None => Creation::None,
            Some(Settings { users, .. }) if users.marker.is_some() => Creation::Marker,
            Some(Settings { users, key, .. }) => match &users.id_from {
                Some(attribute) => Creation::ClientId(attribute.clone()),
                None => Creation::UniqueKey(key.clone()),
            },
        }
    }

    fn check(&self) -> Result<CheckReport, Error> {
        check::check(self)
    }
}

impl SqlTables {
    /// The tables, in the SQL the endpoint speaks.
    fn tables(&self) -> Result<Tables<'_>, Error> {
        Tables::new(&self.settings, self.endpoint.dialect()?)
    }
}

usher_sdk::export!(SqlTables: entitlements);
