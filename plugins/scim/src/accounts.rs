//! Accounts as SCIM users.

use usher_sdk::prelude::*;
use usher_sdk::{Effect, http};

use crate::client::{literal, scim_type, start_index};
use crate::{Scim, user};

/// Accounts asked for by `find`: more than one is ambiguous anyway.
const FIND_COUNT: u32 = 10;

impl Accounts for Scim {
    fn schema(&self) -> Result<Schema, Error> {
        Ok(user::schema())
    }

    fn create(&self, write: &Write, attributes: &Attributes) -> Result<Account, Error> {
        let external_id = self.settings.marker.then_some(write.intent_id.as_str());
        let body = user::resource(attributes, external_id)?;
        let answer = Self::tell(Http::post(self.url("Users", "")), &body).send()?;
        let taken = answer.status == 409 || scim_type(&answer).as_deref() == Some("uniqueness");
        if !answer.is_success() && taken {
            return self.in_the_way(write, attributes, Error::from_response(&answer));
        }
        let answer = answer.ok()?;
        let created: Value = answer.json()?;
        user::account(&created, answer.header("etag")).map_err(Error::effect_applied)
    }

    fn update(&self, _: &Write, id: &str, request: &UpdateRequest) -> Result<Account, Error> {
        let current = match user::needs_current(request) {
            true => Some(Self::ask(Http::get(self.url("Users", id))).fetch::<Value>()?),
            false => None,
        };
        let operations = user::operations(request, current.as_ref())?;
        if operations.is_empty() {
            let there = current.map(|user| user::account(&user, None)).transpose()?;
            let there = there.map_or_else(|| self.get(id), |account| Ok(Some(account)))?;
            return there.ok_or_else(|| Error::not_found(format!("there is no user `{id}`")));
        }
        let mut patch = self.patch("Users", id, &operations);
        if let Some(version) = &request.version {
            patch = patch.header("If-Match", version.as_str());
        }
        self.patched(id, patch)
    }

    fn set_enabled(&self, _: &Write, id: &str, enabled: bool) -> Result<Account, Error> {
        // Without a version: making sign-in impossible must not wait for somebody else's change to be seen.
        let operation = json!({ "op": "replace", "path": "active", "value": enabled });
        self.patched(id, self.patch("Users", id, &[operation]))
    }

    fn delete(&self, _: &Write, id: &str) -> Result<(), Error> {
        if !self.settings.delete {
            return Err(Error::unsupported(
                "settings: `delete`: accounts are never deleted",
            ));
        }
        Self::ask(Http::delete(self.url("Users", id)))
            .send()?
            .found()
            .map(|_| ())
    }

    fn get(&self, id: &str) -> Result<Option<Account>, Error> {
        if id.is_empty() {
            return Ok(None);
        }
        match Self::ask(Http::get(self.url("Users", id))).send()?.found()? {
            Some(answer) => user::account(&answer.json()?, answer.header("etag")).map(Some),
            None => Ok(None),
        }
    }

    fn find(&self, query: &Find) -> Result<Vec<Account>, Error> {
        match query {
            Find::Marker(intent) if self.settings.marker => self.by_external_id(intent),
            Find::Marker(_) => Err(Error::unsupported(
                "settings: `marker`: no marker is kept without it",
            )),
            Find::Unique(key) => match (key.iter().count(), key.text("userName")?) {
                (1, Some(name)) => self.by_user_name(name),
                _ => Err(Error::invalid("find: only `userName` is unique here")),
            },
        }
    }

    fn list(&self, cursor: Option<&str>, limit: u32) -> Result<Page<Account>, Error> {
        let count = limit.min(self.settings.page_size);
        let page = self.page("Users", start_index(cursor)?, count, &[])?;
        let accounts = page
            .resources
            .iter()
            .map(|resource| user::account(resource, None));
        Ok(Page::new(
            accounts.collect::<Result<_, _>>()?,
            page.next.map(|next| next.to_string()),
        ))
    }
}

impl Scim {
    /// Sends a PATCH of a user and tells what the user is now; a system need not answer with it.
    fn patched(&self, id: &str, patch: http::Request) -> Result<Account, Error> {
        let answer = patch.send()?.ok()?;
        if let Ok(user) = answer.json::<Value>()
            && user.get("userName").is_some()
        {
            return user::account(&user, answer.header("etag")).map_err(Error::effect_applied);
        }
        let read = self.get(id).map_err(Error::effect_applied)?;
        read.ok_or_else(|| {
            let why = format!("user `{id}` was changed and is not there any more");
            Error::not_found(why).effect(Effect::Applied)
        })
    }

    /// Who keeps a user from being created: another user, or the one an earlier attempt of the same intent made.
    fn in_the_way(&self, write: &Write, attributes: &Attributes, refusal: Error) -> Result<Account, Error> {
        let mut found = self.by_user_name(attributes.required_text("userName")?)?;
        if found.is_empty() && self.settings.marker {
            found = self.by_external_id(&write.intent_id)?;
        }
        let conflict = Error::conflict(refusal.message);
        match found.into_iter().next() {
            Some(own) if self.settings.marker && own.marker.as_deref() == Some(write.intent_id.as_str()) => {
                Ok(own)
            }
            Some(other) => Err(conflict.existing(other.id)),
            None => Err(conflict),
        }
    }

    fn by_external_id(&self, intent: &str) -> Result<Vec<Account>, Error> {
        let filter = format!("externalId eq {}", literal(intent));
        self.filtered(&filter, |account| account.marker.as_deref() == Some(intent))
    }

    fn by_user_name(&self, name: &str) -> Result<Vec<Account>, Error> {
        let filter = format!("userName eq {}", literal(name));
        let folded = name.to_lowercase();
        self.filtered(&filter, |account| {
            let held = account.attributes.text("userName").ok().flatten();
            held.is_some_and(|held| held.to_lowercase() == folded)
        })
    }

    /// The users a filter finds. Some systems ignore what they do not understand and answer with everybody: nobody may be
    /// taken for somebody else then.
    fn filtered(&self, filter: &str, matches: impl Fn(&Account) -> bool) -> Result<Vec<Account>, Error> {
        let page = self.page("Users", 1, FIND_COUNT, &[("filter", filter)])?;
        let accounts = page
            .resources
            .iter()
            .map(|resource| user::account(resource, None));
        let (right, wrong): (Vec<_>, Vec<_>) = accounts
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .partition(matches);
        if wrong.len() > 1 {
            return Err(Error::unsupported(
                "the system answers a filter with users that do not match it",
            ));
        }
        Ok(right)
    }
}
