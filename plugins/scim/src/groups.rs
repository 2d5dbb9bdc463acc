//! Entitlements as SCIM groups: one member is added or removed at a time.

use std::collections::BTreeSet;

use usher_sdk::ErrorKind;
use usher_sdk::prelude::*;

use crate::Scim;
use crate::client::{literal, scim_type, start_index};
use crate::settings::{GroupKey, Held};
use crate::user::text;

/// Most groups of one user: more than any policy names, and a stop for a system that does not.
const MAX_HELD: usize = 5_000;

/// Most groups of one name looked at: two are too many already.
const MAX_SAME_NAME: usize = 100;

impl Entitlements for Scim {
    fn list(&self, cursor: Option<&str>, limit: u32) -> Result<Page<Entitlement>, Error> {
        let count = limit.min(self.settings.page_size);
        let page = self.page(
            "Groups",
            start_index(cursor)?,
            count,
            &[("excludedAttributes", "members")],
        )?;
        let groups = page.resources.iter().filter_map(|group| {
            let id = self.key_of(group)?;
            let name = group
                .get("displayName")
                .and_then(text)
                .unwrap_or_else(|| id.clone());
            Some(Entitlement::group(id, name))
        });
        Ok(Page::new(
            groups.collect(),
            page.next.map(|next| next.to_string()),
        ))
    }

    fn members(&self, entitlement: &str, cursor: Option<&str>, limit: u32) -> Result<Page<Holding>, Error> {
        let id = self.group_id(entitlement)?;
        let request = Self::ask(Http::get(self.url("Groups", &id))).query("attributes", "members");
        let Some(answer) = request.send()?.found()? else {
            return Err(no_group(entitlement));
        };
        let group: Value = answer.json()?;
        let members = group
            .get("members")
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        let users = members.iter().filter(|member| {
            let kind = member.get("type").and_then(Value::as_str);
            kind.is_none_or(|kind| !kind.eq_ignore_ascii_case("group"))
        });
        // SCIM has no pages of members: each page reads the group and gives the ids after the cursor.
        let ids: BTreeSet<String> = users.filter_map(|member| text(member.get("value")?)).collect();
        let rest = ids
            .into_iter()
            .filter(|id| cursor.is_none_or(|cursor| id.as_str() > cursor));
        let mut page: Vec<String> = rest.take((limit as usize).saturating_add(1)).collect();
        let next = (page.len() > limit as usize).then(|| {
            page.truncate(limit as usize);
            page.last().cloned()
        });
        let holdings = page.into_iter().map(|account| Holding::new(account, entitlement));
        Ok(Page::new(holdings.collect(), next.flatten()))
    }

    fn held(&self, account: &str) -> Result<Vec<Holding>, Error> {
        let keys = match self.settings.held {
            Held::GroupFilter => self.groups_with(account)?,
            Held::UserGroups => self.groups_of(account)?,
        };
        Ok(keys.into_iter().map(|key| Holding::new(account, key)).collect())
    }

    fn grant(
        &self,
        _: &Write,
        account: &str,
        entitlement: &str,
        parameters: Option<&Value>,
    ) -> Result<(), Error> {
        if parameters
            .is_some_and(|value| !value.is_null() && value.as_object().is_none_or(|map| !map.is_empty()))
        {
            return Err(Error::invalid(format!(
                "group `{entitlement}` takes no parameters"
            )));
        }
        let id = self.group_id(entitlement)?;
        let operation = json!({ "op": "add", "path": "members", "value": [{ "value": account }] });
        let answer = self.patch("Groups", &id, &[operation]).send()?;
        match answer.status {
            404 | 410 => Err(no_group(entitlement)),
            // Some refuse to add who is in already.
            400 | 409 => {
                let refusal = Error::from_response(&answer);
                let held = self.held(account)?;
                if held.iter().any(|holding| holding.entitlement == entitlement) {
                    Ok(())
                } else {
                    Err(refusal)
                }
            }
            _ => answer.ok().map(|_| ()),
        }
    }

    fn revoke(&self, _: &Write, account: &str, entitlement: &str) -> Result<(), Error> {
        let id = match self.group_id(entitlement) {
            // Nobody is a member of a group that is gone.
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(()),
            id => id?,
        };
        // The member is named in the path: given as a value, some systems empty the group.
        let path = format!("members[value eq {}]", literal(account));
        let answer = self
            .patch("Groups", &id, &[json!({ "op": "remove", "path": path })])
            .send()?;
        match (answer.status, scim_type(&answer).as_deref()) {
            (404 | 410, _) | (400, Some("noTarget")) => Ok(()),
            _ => answer.ok().map(|_| ()),
        }
    }
}

impl Scim {
    /// The group's name in policies; `None` for one without a name where policies go by name.
    fn key_of(&self, group: &Value) -> Option<String> {
        match self.settings.group_key {
            GroupKey::DisplayName => group.get("displayName").and_then(text),
            GroupKey::Id => group.get("id").and_then(text),
        }
    }

    /// The system's id of the group that policies call so.
    fn group_id(&self, entitlement: &str) -> Result<String, Error> {
        if self.settings.group_key == GroupKey::Id {
            return if entitlement.is_empty() {
                Err(no_group(entitlement))
            } else {
                Ok(entitlement.to_owned())
            };
        }
        let filter = format!("displayName eq {}", literal(entitlement));
        let parameters = [("filter", filter.as_str()), ("attributes", "id,displayName")];
        let groups = self.all("Groups", MAX_SAME_NAME, &parameters)?;
        // Compared once more: names that differ in case are different entitlements to policies.
        let named = groups
            .iter()
            .filter(|group| self.key_of(group).as_deref() == Some(entitlement));
        let ids: BTreeSet<String> = named.filter_map(|group| text(group.get("id")?)).collect();
        match (ids.len(), ids.into_iter().next()) {
            (1, Some(id)) => Ok(id),
            (0, _) | (_, None) => Err(no_group(entitlement)),
            (count, Some(_)) => Err(Error::misconfigured(format!(
                "{count} groups are called `{entitlement}`; rename them, or name groups by id (settings: `group-key`)"
            ))),
        }
    }

    fn groups_with(&self, account: &str) -> Result<Vec<String>, Error> {
        let filter = format!("members.value eq {}", literal(account));
        let parameters = [("filter", filter.as_str()), ("attributes", "id,displayName")];
        let groups = self.all("Groups", MAX_HELD, &parameters)?;
        Ok(groups.iter().filter_map(|group| self.key_of(group)).collect())
    }

    fn groups_of(&self, account: &str) -> Result<Vec<String>, Error> {
        let request = Self::ask(Http::get(self.url("Users", account))).query("attributes", "groups");
        let Some(answer) = request.send()?.found()? else {
            return Ok(Vec::new());
        };
        let user: Value = answer.json()?;
        let groups = user
            .get("groups")
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        let mut keys = Vec::with_capacity(groups.len());
        // A user may be in a group through another one; that cannot be revoked here.
        let direct = groups.iter().filter(|group| {
            let kind = group.get("type").and_then(Value::as_str);
            kind.is_none_or(|kind| !kind.eq_ignore_ascii_case("indirect"))
        });
        for group in direct {
            let Some(id) = group.get("value").and_then(text) else {
                continue;
            };
            match (self.settings.group_key, group.get("display").and_then(text)) {
                (GroupKey::Id, _) => keys.push(id),
                (GroupKey::DisplayName, Some(name)) => keys.push(name),
                (GroupKey::DisplayName, None) => {
                    let request = Self::ask(Http::get(self.url("Groups", &id)));
                    let group: Value = request.query("attributes", "id,displayName").fetch()?;
                    keys.extend(self.key_of(&group));
                }
            }
        }
        Ok(keys)
    }
}

fn no_group(entitlement: &str) -> Error {
    Error::not_found(format!("there is no group `{entitlement}`"))
}
