//! What each request does. Knows nothing of HTTP beyond method, path and status; an error has changed nothing.

use serde_json::{Map, Value, json};

use crate::answer::{Answer, Query, configuration};
use crate::attribute::{get, key_of};
use crate::directory::{Directory, Kind, etag, members};
use crate::error::ScimError;
use crate::filter::Filter;
use crate::patch;

/// The URN of a list answer.
const LIST_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
/// Resources on one page at most, as `ServiceProviderConfig` says.
pub(crate) const PAGE_MAX: usize = 200;

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

impl Directory {
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
}

#[cfg(test)]
#[path = "requests_tests.rs"]
mod tests;
