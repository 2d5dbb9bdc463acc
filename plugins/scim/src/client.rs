//! Requests of RFC 7644, and answers read with patience.

use usher_sdk::http::Request;
use usher_sdk::prelude::*;

use crate::Scim;
use crate::user::text;

const MEDIA_TYPE: &str = "application/scim+json";
const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// A page of resources.
pub(crate) struct Found {
    pub(crate) resources: Vec<Value>,
    /// Where the next page begins; `None` after the last.
    pub(crate) next: Option<u64>,
    /// How many there are in all, as far as the system says.
    pub(crate) total: Option<u64>,
}

/// A text as a value of a filter: RFC 7644 takes JSON for it, so nothing in it can end it.
pub(crate) fn literal(value: &str) -> String {
    Value::from(value).to_string()
}

impl Scim {
    /// The URL of a resource, or of all of a kind when `id` is empty.
    pub(crate) fn url(&self, kind: &str, id: &str) -> String {
        match id {
            "" => format!("{}/{kind}", self.base),
            id => format!("{}/{kind}/{}", self.base, encode(id)),
        }
    }

    pub(crate) fn ask(request: Request) -> Request {
        request.header("Accept", MEDIA_TYPE)
    }

    pub(crate) fn tell(request: Request, body: &Value) -> Request {
        Self::ask(request).header("Content-Type", MEDIA_TYPE).json(body)
    }

    /// A PATCH with these operations.
    pub(crate) fn patch(&self, kind: &str, id: &str, operations: &[Value]) -> Request {
        let body = json!({ "schemas": [PATCH_OP], "Operations": operations });
        Self::tell(Http::patch(self.url(kind, id)), &body)
    }

    /// One page, from `start` (counted from 1), at most `count`; `parameters` are filter, attributes and so on.
    pub(crate) fn page(
        &self,
        kind: &str,
        start: u64,
        count: u32,
        parameters: &[(&str, &str)],
    ) -> Result<Found, Error> {
        let mut request = Self::ask(Http::get(self.url(kind, "")));
        for (name, value) in parameters {
            request = request.query(name, value);
        }
        let request = request
            .query("startIndex", start.to_string())
            .query("count", count.to_string());
        let mut body: Value = request.fetch()?;
        let resources = match body.get_mut("Resources").map(Value::take) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(resources)) => resources,
            Some(_) => {
                return Err(Error::other(
                    "unreadable-answer",
                    format!("{kind}: `Resources` is not a list"),
                ));
            }
        };
        let number = |name: &str| text(body.get(name)?)?.parse::<u64>().ok();
        if !resources.is_empty() && number("startIndex").is_some_and(|begun| begun != start) {
            let why = format!("{kind}: the system does not begin its page where it was asked to ({start})");
            return Err(Error::other("paging-ignored", why));
        }
        // What came counts, not what was asked for: a system may give fewer. An empty page is the end whatever the total.
        let next = start + resources.len() as u64;
        let total = number("totalResults");
        let more = !resources.is_empty() && total.is_none_or(|total| next <= total);
        Ok(Found {
            resources,
            next: more.then_some(next),
            total,
        })
    }

    /// Everything a query finds, for queries that find little.
    pub(crate) fn all(
        &self,
        kind: &str,
        limit: usize,
        parameters: &[(&str, &str)],
    ) -> Result<Vec<Value>, Error> {
        let (mut start, mut all) = (1, Vec::new());
        loop {
            let page = self.page(kind, start, self.settings.page_size, parameters)?;
            all.extend(page.resources);
            if all.len() > limit {
                return Err(Error::other(
                    "too-many",
                    format!("{kind}: the query finds more than {limit}"),
                ));
            }
            match page.next {
                Some(next) => start = next,
                None => return Ok(all),
            }
        }
    }
}

/// The `scimType` of an error answer.
pub(crate) fn scim_type(answer: &Response) -> Option<String> {
    let body: Value = usher_sdk::serde_json::from_slice(&answer.body).ok()?;
    body.get("scimType").and_then(text)
}

/// The cursor of a page, as the number it was made from.
pub(crate) fn start_index(cursor: Option<&str>) -> Result<u64, Error> {
    let Some(cursor) = cursor else { return Ok(1) };
    cursor
        .parse()
        .map_err(|_| Error::invalid("list: the cursor is not one this connector gave"))
}
