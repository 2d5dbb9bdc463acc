//! Is it SCIM, what does it offer, and what does the credential see?

use usher_sdk::ErrorKind;
use usher_sdk::prelude::*;

use crate::Scim;
use crate::client::literal;
use crate::settings::Held;
use crate::user::truth;

/// A member no system has: whoever finds groups with it does not filter.
const NOBODY: &str = "usher-check-nobody";

pub(crate) fn check(scim: &Scim) -> CheckReport {
    let users = count(scim, "Users", "users");
    if users.is_err() {
        // Whatever else is asked now says the same, or something that misleads.
        return CheckReport::new().step("read users", users);
    }
    let report = CheckReport::new()
        .step("read users", users)
        .permission("read users")
        .step("read the service provider configuration", configuration(scim));
    let groups = count(scim, "Groups", "groups");
    if groups.is_err() {
        return report.step("read groups", groups);
    }
    let report = report.step("read groups", groups).permission("read groups");
    match scim.settings.held {
        Held::GroupFilter => report.step("find groups by member", member_filter(scim)),
        Held::UserGroups => report,
    }
}

/// Reads one resource, to learn how many there are.
fn count(scim: &Scim, kind: &str, what: &str) -> Result<String, Error> {
    let page = scim.page(kind, 1, 1, &[("attributes", "id")])?;
    Ok(match page.total {
        // A credential without rights is often answered with an empty list.
        Some(0) => format!("none are seen; if there are {what}, the credential may not read them"),
        Some(total) => format!("{total} are seen"),
        None => format!("{} are seen at least", page.resources.len()),
    })
}

fn configuration(scim: &Scim) -> Result<String, Error> {
    let request = Scim::ask(Http::get(scim.url("ServiceProviderConfig", "")));
    let Some(answer) = request.send()?.found()? else {
        return Ok("not offered; PATCH and filters are taken for granted".to_owned());
    };
    let configuration: Value = answer.json()?;
    let offers = |what: &str| {
        configuration
            .get(what)
            .and_then(|part| part.get("supported"))
            .and_then(truth)
    };
    for (what, why) in [
        ("patch", "changes are sent by PATCH"),
        ("filter", "accounts are found by filters"),
    ] {
        if offers(what) == Some(false) {
            return Err(Error::unsupported(format!(
                "the system says it has no {what}; {why}"
            )));
        }
    }
    let versions = if offers("etag") == Some(true) {
        "with"
    } else {
        "without"
    };
    Ok(format!("PATCH and filters, {versions} versions"))
}

fn member_filter(scim: &Scim) -> Result<String, Error> {
    let filter = format!("members.value eq {}", literal(NOBODY));
    let advice = "set `held` to `user-groups`";
    match scim.page(
        "Groups",
        1,
        1,
        &[("filter", &filter), ("attributes", "id,displayName")],
    ) {
        Ok(page) if page.resources.is_empty() => Ok("works".to_owned()),
        Ok(_) => Err(Error::unsupported(format!(
            "the system ignores the filter; {advice}"
        ))),
        Err(error) if is_refusal(&error) => {
            Err(error.context(format!("the system refuses the filter; {advice}")))
        }
        Err(error) => Err(error),
    }
}

/// Whether the system understood the question and will not answer it (400, 501), rather than having some trouble.
fn is_refusal(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::InvalidRequest | ErrorKind::Unsupported)
}
