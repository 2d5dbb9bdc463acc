//! The users and groups, and how they are shown.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::answer::{Answer, Query};
use crate::attribute::get;
use crate::error::ScimError;

/// The two kinds of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Kind {
    User,
    Group,
}

impl Kind {
    /// The last part of the endpoint.
    pub(crate) const fn endpoint(self) -> &'static str {
        match self {
            Self::User => "Users",
            Self::Group => "Groups",
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
        }
    }

    pub(crate) const fn schema(self) -> &'static str {
        match self {
            Self::User => "urn:ietf:params:scim:schemas:core:2.0:User",
            Self::Group => "urn:ietf:params:scim:schemas:core:2.0:Group",
        }
    }

    pub(crate) const fn id_prefix(self) -> &'static str {
        match self {
            Self::User => "usr-",
            Self::Group => "grp-",
        }
    }

    /// What every resource of the kind must have.
    pub(crate) const fn required(self) -> &'static str {
        match self {
            Self::User => "userName",
            Self::Group => "displayName",
        }
    }
}

/// One resource: what the client sent, and its version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Resource {
    pub(crate) kind: Kind,
    pub(crate) version: u64,
    pub(crate) attributes: Map<String, Value>,
}

/// Everything the server holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Directory {
    /// Ids are counted up and never used twice.
    next_number: u64,
    pub(crate) resources: BTreeMap<u64, Resource>,
    /// Who is in which group: member number → group numbers. Worked out from the groups.
    #[serde(skip)]
    pub(crate) groups_of: HashMap<u64, BTreeSet<u64>>,
    /// User names in lower case → number.
    #[serde(skip)]
    pub(crate) names: HashMap<String, u64>,
}

impl Directory {
    /// Works out what is not saved.
    pub(crate) fn reindexed(mut self) -> Self {
        self.groups_of.clear();
        self.names.clear();
        let numbers: Vec<u64> = self.resources.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.index(number));
        self
    }

    /// Makes a group unless one has this name: for a test's or demo's start.
    pub(crate) fn seed_group(&mut self, name: &str) {
        let exists = self.resources.values().any(|resource| {
            resource.kind == Kind::Group
                && get(&resource.attributes, "displayName") == Some(&Value::from(name))
        });
        if !exists {
            self.insert(
                Kind::Group,
                Map::from_iter([("displayName".to_owned(), name.into())]),
            );
        }
    }

    pub(crate) fn number(&self, kind: Kind, id: &str) -> Result<u64, ScimError> {
        id.strip_prefix(kind.id_prefix())
            .and_then(|number| number.parse().ok())
            .filter(|number| {
                self.resources
                    .get(number)
                    .is_some_and(|resource| resource.kind == kind)
            })
            .ok_or_else(|| ScimError::not_found(&format!("{} `{id}`", kind.name())))
    }

    pub(crate) fn insert(&mut self, kind: Kind, attributes: Map<String, Value>) -> u64 {
        self.next_number += 1;
        let number = self.next_number;
        self.resources.insert(
            number,
            Resource {
                kind,
                version: 1,
                attributes,
            },
        );
        self.index(number);
        number
    }

    /// Writes and counts the version up, if anything differs.
    pub(crate) fn write(&mut self, number: u64, attributes: Map<String, Value>) {
        self.unindex(number);
        if let Some(resource) = self.resources.get_mut(&number)
            && resource.attributes != attributes
        {
            resource.attributes = attributes;
            resource.version += 1;
        }
        self.index(number);
    }

    fn index(&mut self, number: u64) {
        let Some(resource) = self.resources.get(&number) else {
            return;
        };
        match resource.kind {
            Kind::User => {
                let name = get(&resource.attributes, "userName")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                self.names.insert(name.to_lowercase(), number);
            }
            Kind::Group => {
                for member in member_numbers(&resource.attributes) {
                    self.groups_of.entry(member).or_default().insert(number);
                }
            }
        }
    }

    pub(crate) fn unindex(&mut self, number: u64) {
        let Some(resource) = self.resources.get(&number) else {
            return;
        };
        match resource.kind {
            Kind::User => {
                let name = get(&resource.attributes, "userName")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                self.names.remove(&name.to_lowercase());
            }
            Kind::Group => {
                for member in member_numbers(&resource.attributes) {
                    if let Some(groups) = self.groups_of.get_mut(&member) {
                        groups.remove(&number);
                    }
                }
            }
        }
    }

    /// The resource as a client sees it.
    pub(crate) fn shown(&self, number: u64, resource: &Resource) -> Map<String, Value> {
        let mut shown = resource.attributes.clone();
        let id = format!("{}{number}", resource.kind.id_prefix());
        let mut schemas = vec![Value::from(resource.kind.schema())];
        schemas.extend(
            shown
                .keys()
                .filter(|key| key.starts_with("urn:"))
                .map(|key| Value::from(key.as_str())),
        );
        shown.insert("schemas".to_owned(), schemas.into());
        if resource.kind == Kind::User {
            let groups: Vec<Value> = self
                .groups_of
                .get(&number)
                .into_iter()
                .flatten()
                .map(|g| self.group(*g))
                .collect();
            if !groups.is_empty() {
                shown.insert("groups".to_owned(), groups.into());
            }
        }
        let location = format!("/{}/{id}", resource.kind.endpoint());
        shown.insert(
            "meta".to_owned(),
            json!({"resourceType": resource.kind.name(), "version": etag(resource.version), "location": location}),
        );
        shown.insert("id".to_owned(), id.into());
        shown
    }

    fn group(&self, number: u64) -> Value {
        let name = self
            .resources
            .get(&number)
            .and_then(|group| get(&group.attributes, "displayName"));
        json!({"value": format!("{}{number}", Kind::Group.id_prefix()), "display": name, "type": "direct"})
    }

    pub(crate) fn one(&self, number: u64, status: u16, query: &Query) -> Answer {
        let Some(resource) = self.resources.get(&number) else {
            return Answer::empty(404);
        };
        let shown = self.shown(number, resource);
        Answer {
            status,
            etag: Some(etag(resource.version)),
            location: (status == 201).then(|| {
                format!(
                    "/{}/{}{number}",
                    resource.kind.endpoint(),
                    resource.kind.id_prefix()
                )
            }),
            body: Some(Value::Object(query.selected(&shown))),
        }
    }

    /// Everything, for a test to look at.
    pub(crate) fn dump(&self) -> Value {
        let of = |kind: Kind| -> Vec<Value> {
            let all = self
                .resources
                .iter()
                .filter(|(_, resource)| resource.kind == kind);
            all.map(|(number, resource)| Value::Object(self.shown(*number, resource)))
                .collect()
        };
        json!({"users": of(Kind::User), "groups": of(Kind::Group)})
    }
}

pub(crate) fn etag(version: u64) -> String {
    format!("W/\"{version}\"")
}

/// The ids in `members`; `None` for an element without one.
pub(crate) fn members(attributes: &Map<String, Value>) -> impl Iterator<Item = Option<&str>> {
    let members = get(attributes, "members")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    members
        .iter()
        .map(|member| member.get("value").and_then(Value::as_str))
}

fn member_numbers(attributes: &Map<String, Value>) -> Vec<u64> {
    let number = |id: &str| {
        id.strip_prefix(Kind::User.id_prefix())
            .and_then(|number| number.parse().ok())
    };
    members(attributes).flatten().filter_map(number).collect()
}
