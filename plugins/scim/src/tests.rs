//! The connector against answers real systems give.

mod accounts;
mod dialects;
mod groups;
mod setup;

use usher_sdk::http::{Failure, Response};
use usher_sdk::prelude::*;
use usher_sdk::testing::{HttpGuard, Target, answer, empty, scripted};

use super::Scim;

fn settings() -> Value {
    json!({ "base-url": "https://scim.test/v2/" })
}

fn target() -> Target<Scim> {
    Target::new(settings())
}

/// A target whose settings differ in one.
fn target_with(name: &str, value: Value) -> Target<Scim> {
    let mut settings = settings();
    settings[name] = value;
    Target::new(settings)
}

/// Answers in this order.
fn answers(answers: impl IntoIterator<Item = Response>) -> HttpGuard {
    scripted(answers.into_iter().map(Ok::<_, Failure>).collect::<Vec<_>>())
}

fn zoe() -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": "u1",
        "externalId": "intent-1",
        "userName": "zoe@example.com",
        "name": { "givenName": "Zoë", "familyName": "佐枝" },
        "displayName": "Zoë 佐枝",
        "emails": [
            { "value": "home@example.com", "type": "home", "primary": true },
            { "value": "zoe@example.com", "type": "work" },
        ],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
            "department": "R&D", "employeeNumber": "007", "manager": { "value": "u9" },
        },
        "active": true,
        "meta": { "version": "W/\"3\"" },
    })
}

fn list(resources: &[Value]) -> Response {
    answer(
        200,
        json!({ "totalResults": resources.len(), "startIndex": 1, "Resources": resources }),
    )
}
