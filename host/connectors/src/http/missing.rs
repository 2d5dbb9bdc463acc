//! The rule that was missing, narrow and ready to paste.

use http::Method;
use usher_lifecycle::targets::HttpGrant;

use super::allow::{Endpoint, has_method, scheme_name, under_prefix};
use crate::guest_text::line_of;
use crate::journal::Refusal;

/// Longest path shown and longest prefix proposed, in bytes.
const PATH_BYTES_MAX: usize = 200;
/// Methods the targets document can name.
const METHODS: [Method; 7] = [
    Method::DELETE,
    Method::GET,
    Method::HEAD,
    Method::OPTIONS,
    Method::PATCH,
    Method::POST,
    Method::PUT,
];

/// What is said of a request that no grant allows. `same_endpoint` are the grants of its endpoint, which then allow other methods or paths.
pub(super) fn rule(
    target: &str,
    method: &Method,
    endpoint: &Endpoint,
    path: &str,
    same_endpoint: &[&HttpGrant],
) -> Refusal {
    let what = format!(
        "HTTP {method} {}://{}:{}{} is not granted to target `{target}`",
        scheme_name(endpoint.scheme),
        endpoint.host,
        endpoint.port,
        line_of(path, PATH_BYTES_MAX)
    );
    let lines = grant(target, endpoint);
    if same_endpoint.is_empty() {
        return Refusal {
            what,
            grant: Some(lines),
        };
    }
    // A grant that has the path lacks the method; the new rule then is for that path and the method alone.
    let has_path: Vec<_> = same_endpoint
        .iter()
        .filter(|grant| under_prefix(grant, path))
        .collect();
    let (mismatch, prefix) = match has_path.first() {
        Some(grant) => ("not the method", grant.path_prefix.clone()),
        None if same_endpoint.iter().any(|grant| has_method(grant, method)) => ("not the path", folder(path)),
        None => ("neither the path nor the method", folder(path)),
    };
    let methods = if METHODS.contains(method) {
        format!("methods = [\"{method}\"]\n")
    } else {
        String::new()
    };
    let prefix = prefix.map_or_else(String::new, |prefix| format!("path-prefix = \"{prefix}\"\n"));
    Refusal {
        what: format!("{what}: `{}` is granted, but {mismatch}", endpoint.host),
        grant: Some(format!("{lines}{methods}{prefix}")),
    }
}

/// The lines that grant an endpoint.
pub(super) fn grant(target: &str, endpoint: &Endpoint) -> String {
    format!(
        "[[targets.{target}.grants.http]]\nscheme = \"{}\"\nhost = \"{}\"\nport = {}\n",
        scheme_name(endpoint.scheme),
        // A host comes from the guest; the URI parser admits no quote, but TOML must not depend on that.
        endpoint.host.replace(['"', '\\'], ""),
        endpoint.port
    )
}

/// The folder of a path, as far as it has only characters that mean the same to everybody: what comes last is mostly somebody's id.
fn folder(path: &str) -> Option<String> {
    let plain = |part: &&str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~'))
    };
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let folders = match parts.len() {
        // `/token` has no folder but everything; it is proposed itself.
        1 => &parts[..],
        count => &parts[..count.saturating_sub(1)],
    };
    let kept: Vec<&str> = folders.iter().copied().take_while(plain).collect();
    let prefix = format!("/{}", kept.join("/"));
    (!kept.is_empty() && prefix.len() <= PATH_BYTES_MAX).then_some(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use usher_lifecycle::targets::HttpScheme;

    fn missing(method: &str, path: &str, same_endpoint: &[(&[&str], Option<&str>)]) -> (String, String) {
        let endpoint = Endpoint {
            scheme: HttpScheme::Https,
            host: "api.example".to_owned(),
            port: 443,
        };
        let grants: Vec<_> = same_endpoint
            .iter()
            .map(|(methods, prefix)| HttpGrant {
                scheme: HttpScheme::Https,
                host: "api.example".to_owned(),
                port: None,
                methods: methods.iter().map(|&method| method.to_owned()).collect(),
                path_prefix: prefix.map(str::to_owned),
                private_addresses: false,
            })
            .collect();
        let grants: Vec<_> = grants.iter().collect();
        let refusal = rule("app", &method.parse().unwrap(), &endpoint, path, &grants);
        let lines = refusal.grant.unwrap();
        let document = format!("[targets.app]\nconnector = \"c\"\n{lines}");
        usher_lifecycle::targets::parse("t", &document).expect("what is proposed can be pasted");
        let rest = lines.split_once("port = 443\n").unwrap().1.to_owned();
        (refusal.what, rest)
    }

    #[test]
    fn an_unknown_endpoint_is_proposed_whole() {
        let (what, rest) = missing("POST", "/v1/x", &[]);
        assert_eq!(
            what,
            "HTTP POST https://api.example:443/v1/x is not granted to target `app`"
        );
        assert_eq!(rest, "");
    }

    #[test]
    fn it_is_said_which_part_did_not_match_and_only_that_is_proposed() {
        let (what, rest) = missing("DELETE", "/v1/users/7", &[(&["GET"], Some("/v1"))]);
        assert!(
            what.ends_with("`api.example` is granted, but not the method"),
            "{what}"
        );
        assert_eq!(rest, "methods = [\"DELETE\"]\npath-prefix = \"/v1\"\n");
        let (what, rest) = missing("GET", "/v2/users/7", &[(&["GET"], Some("/v1"))]);
        assert!(
            what.ends_with("`api.example` is granted, but not the path"),
            "{what}"
        );
        assert_eq!(rest, "methods = [\"GET\"]\npath-prefix = \"/v2/users\"\n");
        let (what, rest) = missing("PUT", "/token", &[(&["GET"], Some("/v1"))]);
        assert!(what.ends_with("but neither the path nor the method"), "{what}");
        assert_eq!(rest, "methods = [\"PUT\"]\npath-prefix = \"/token\"\n");
        let (_, rest) = missing("DELETE", "/v1/users/7", &[(&["GET"], None)]);
        assert_eq!(rest, "methods = [\"DELETE\"]\n");
    }

    #[test]
    fn what_a_guest_puts_into_a_path_does_not_reach_the_proposal() {
        for path in ["/v2/\"]\u{1b}/x", "/v2/%2e%2e/x", "/v2//x", "/v2/a b/c"] {
            let (_, rest) = missing("GET", path, &[(&["GET"], Some("/v1"))]);
            assert_eq!(rest, "methods = [\"GET\"]\npath-prefix = \"/v2\"\n", "{path}");
        }
        let (_, rest) = missing("PURGE", "/x/y", &[(&["GET"], Some("/v1"))]);
        assert_eq!(rest, "path-prefix = \"/x\"\n");
        let (_, rest) = missing("GET", "/", &[(&["GET"], Some("/v1"))]);
        assert_eq!(rest, "methods = [\"GET\"]\n");
    }
}
