//! The users and groups, and what each request does to them. Knows nothing of HTTP beyond method, path and status.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::answer::{Answer, Query, configuration};
use crate::attribute::{get, key_of};
use crate::error::ScimError;
use crate::filter::Filter;
use crate::patch;

/// The URN of a list answer.
const LIST_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
/// Resources on one page at most, as `ServiceProviderConfig` says.
pub(crate) const PAGE_MAX: usize = 200;

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

    const fn name(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
        }
    }

    const fn schema(self) -> &'static str {
        match self {
            Self::User => "urn:ietf:params:scim:schemas:core:2.0:User",
            Self::Group => "urn:ietf:params:scim:schemas:core:2.0:Group",
        }
    }

    const fn id_prefix(self) -> &'static str {
        match self {
            Self::User => "usr-",
            Self::Group => "grp-",
        }
    }

    /// What every resource of the kind must have.
    const fn required(self) -> &'static str {
        match self {
            Self::User => "userName",
            Self::Group => "displayName",
        }
    }
}

/// One resource: what the client sent, and its version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Resource {
    kind: Kind,
    version: u64,
    attributes: Map<String, Value>,
}

/// A request, read as far as HTTP goes.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub(crate) method: &'a str,
    /// Without the base.
    pub(crate) path: &'a str,
    /// What stands behind `?`.
    pub(crate) query: &'a Query,
    /// `If-Match`.
    pub(crate) if_match: Option<&'a str>,
    /// The body, if there was one.
    pub(crate) body: Option<&'a Value>,
}

/// Everything the server holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Directory {
    /// Ids are counted up and never used twice.
    next_number: u64,
    resources: BTreeMap<u64, Resource>,
    /// Who is in which group: member number → group numbers. Worked out from the groups.
    #[serde(skip)]
    groups_of: HashMap<u64, BTreeSet<u64>>,
    /// User names in lower case → number.
    #[serde(skip)]
    names: HashMap<String, u64>,
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

    /// Answers one request. An error has changed nothing.
    pub(crate) fn answer(&mut self, request: &Request<'_>) -> Result<Answer, ScimError> {
        let mut parts = request.path.trim_matches('/').split('/');
        let (endpoint, id, more) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let kind = match endpoint {
            "Users" => Kind::User,
            "Groups" => Kind::Group,
            "ServiceProviderConfig" if id.is_none() && request.method == "GET" => {
                return Ok(Answer::ok(configuration()));
            }
            "__dump" if id.is_none() && request.method == "GET" => return Ok(Answer::ok(self.dump())),
            other => return Err(ScimError::not_found(&format!("endpoint `{other}`"))),
        };
        if more.is_some() {
            return Err(ScimError::not_found("such endpoint"));
        }
        match (request.method, id) {
            ("GET", None) => self.list(kind, request.query),
            ("GET", Some(id)) => {
                let number = self.number(kind, id)?;
                Ok(self.one(number, 200, request.query))
            }
            ("POST", None) => self.create(kind, request),
            ("PUT", Some(id)) => self.replace(kind, id, request),
            ("PATCH", Some(id)) => self.patch(kind, id, request),
            ("DELETE", Some(id)) => self.delete(kind, id, request),
            _ => Err(ScimError::new(
                405,
                format!("{} is not for this address", request.method),
            )),
        }
    }

    fn create(&mut self, kind: Kind, request: &Request<'_>) -> Result<Answer, ScimError> {
        let attributes = self.accepted(kind, request.body, None)?;
        let number = self.insert(kind, attributes);
        Ok(self.one(number, 201, request.query))
    }

    fn replace(&mut self, kind: Kind, id: &str, request: &Request<'_>) -> Result<Answer, ScimError> {
        let number = self.number(kind, id)?;
        self.check_version(number, request.if_match)?;
        let attributes = self.accepted(kind, request.body, Some(number))?;
        self.write(number, attributes);
        Ok(self.one(number, 200, request.query))
    }

    fn patch(&mut self, kind: Kind, id: &str, request: &Request<'_>) -> Result<Answer, ScimError> {
        let number = self.number(kind, id)?;
        self.check_version(number, request.if_match)?;
        let body = request
            .body
            .ok_or_else(|| ScimError::bad("invalidSyntax", "the body is missing"))?;
        let current = self.resources.get(&number).map(|resource| &resource.attributes);
        let patched = patch::apply(current.unwrap_or(&Map::new()), body)?;
        self.check_attributes(kind, &patched, Some(number))?;
        self.write(number, patched);
        // Both answers are allowed (RFC 7644, 3.5.2); a group may be large, so it is only sent when asked for.
        match kind {
            Kind::Group if request.query.attributes.is_none() => Ok(Answer::empty(204)),
            Kind::Group | Kind::User => Ok(self.one(number, 200, request.query)),
        }
    }

    fn delete(&mut self, kind: Kind, id: &str, request: &Request<'_>) -> Result<Answer, ScimError> {
        let number = self.number(kind, id)?;
        self.check_version(number, request.if_match)?;
        for group in self.groups_of.get(&number).cloned().unwrap_or_default() {
            let Some(resource) = self.resources.get(&group) else {
                continue;
            };
            let mut attributes = resource.attributes.clone();
            if let Some(Value::Array(members)) = attributes.get_mut("members") {
                members.retain(|member| member.get("value").and_then(Value::as_str) != Some(id));
            }
            self.write(group, attributes);
        }
        self.unindex(number);
        self.resources.remove(&number);
        Ok(Answer::empty(204))
    }

    fn list(&self, kind: Kind, query: &Query) -> Result<Answer, ScimError> {
        let filter = query.filter.as_deref().map(Filter::parse).transpose()?;
        let matching: Vec<(u64, Map<String, Value>)> = self
            .resources
            .iter()
            .filter(|(_, resource)| resource.kind == kind)
            .map(|(number, resource)| (*number, self.shown(*number, resource)))
            .filter(|(_, shown)| filter.as_ref().is_none_or(|filter| filter.matches(shown)))
            .collect();
        let start = query.start_index.max(1);
        let page: Vec<Value> = matching
            .iter()
            .skip(start - 1)
            .take(query.count.unwrap_or(PAGE_MAX).min(PAGE_MAX))
            .map(|(_, shown)| Value::Object(query.selected(shown)))
            .collect();
        Ok(Answer::ok(json!({
            "schemas": [LIST_SCHEMA],
            "totalResults": matching.len(),
            "startIndex": start,
            "itemsPerPage": page.len(),
            "Resources": page,
        })))
    }

    /// What a client may write, taken from a POST or PUT body.
    fn accepted(
        &self,
        kind: Kind,
        body: Option<&Value>,
        own: Option<u64>,
    ) -> Result<Map<String, Value>, ScimError> {
        let body = body
            .and_then(Value::as_object)
            .ok_or_else(|| ScimError::bad("invalidSyntax", "the body is not a JSON object"))?;
        let named = get(body, "schemas").and_then(Value::as_array);
        if !named.is_some_and(|urns| urns.iter().any(|urn| urn == kind.schema())) {
            return Err(ScimError::bad(
                "invalidSyntax",
                format!("`schemas` does not name {}", kind.schema()),
            ));
        }
        let mut attributes = Map::new();
        for (name, value) in body {
            let server_side = ["id", "meta", "groups", "schemas"]
                .iter()
                .any(|own| name.eq_ignore_ascii_case(own));
            if !server_side && !value.is_null() {
                attributes.insert(name.clone(), value.clone());
            }
        }
        if kind == Kind::User && key_of(&attributes, "active").is_none() {
            attributes.insert("active".to_owned(), true.into());
        }
        self.check_attributes(kind, &attributes, own)?;
        Ok(attributes)
    }

    fn check_attributes(
        &self,
        kind: Kind,
        attributes: &Map<String, Value>,
        own: Option<u64>,
    ) -> Result<(), ScimError> {
        let invalid = |detail: String| Err(ScimError::bad("invalidValue", detail));
        let required = kind.required();
        let name = get(attributes, required)
            .and_then(Value::as_str)
            .unwrap_or_default();
        if name.trim().is_empty() {
            return invalid(format!("`{required}` is required and is a text"));
        }
        if let Some(active) = get(attributes, "active")
            && !active.is_boolean()
        {
            return invalid(format!("`active` is true or false, not {active}"));
        }
        if kind == Kind::User
            && self
                .names
                .get(&name.to_lowercase())
                .is_some_and(|taken| Some(*taken) != own)
        {
            return Err(ScimError::uniqueness(format!("userName `{name}` is taken")));
        }
        for member in members(attributes) {
            let known = member.and_then(|id| self.number(Kind::User, id).ok());
            if known.is_none() {
                return invalid(format!("the member {member:?} is not a user here"));
            }
        }
        Ok(())
    }

    fn check_version(&self, number: u64, if_match: Option<&str>) -> Result<(), ScimError> {
        let Some(wanted) = if_match.filter(|wanted| *wanted != "*") else {
            return Ok(());
        };
        let current = self
            .resources
            .get(&number)
            .map(|resource| resource.version)
            .unwrap_or_default();
        let matches =
            |tag: &str| tag.trim().trim_start_matches("W/").trim_matches('"') == current.to_string();
        if wanted.split(',').any(matches) {
            Ok(())
        } else {
            Err(ScimError::new(
                412,
                format!("the version is {} now", etag(current)),
            ))
        }
    }

    fn number(&self, kind: Kind, id: &str) -> Result<u64, ScimError> {
        id.strip_prefix(kind.id_prefix())
            .and_then(|number| number.parse().ok())
            .filter(|number| {
                self.resources
                    .get(number)
                    .is_some_and(|resource| resource.kind == kind)
            })
            .ok_or_else(|| ScimError::not_found(&format!("{} `{id}`", kind.name())))
    }

    fn insert(&mut self, kind: Kind, attributes: Map<String, Value>) -> u64 {
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
    fn write(&mut self, number: u64, attributes: Map<String, Value>) {
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

    fn unindex(&mut self, number: u64) {
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
    fn shown(&self, number: u64, resource: &Resource) -> Map<String, Value> {
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

    fn one(&self, number: u64, status: u16, query: &Query) -> Answer {
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
    fn dump(&self) -> Value {
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

fn etag(version: u64) -> String {
    format!("W/\"{version}\"")
}

/// The ids in `members`; `None` for an element without one.
fn members(attributes: &Map<String, Value>) -> impl Iterator<Item = Option<&str>> {
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

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
