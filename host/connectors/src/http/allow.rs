//! Whether a request is granted. Deny by default: scheme, host, port, method and path must all match one grant.

use http::{Method, Uri};
use percent_encoding::percent_decode_str;
use usher_lifecycle::targets::{HttpGrant, HttpScheme};

use super::missing;
use crate::journal::Refusal;

/// How often a path is percent-decoded while looking for dot segments: servers behind proxies decode more than once.
const DECODE_ROUNDS: usize = 3;

/// The HTTP grants of one target.
#[derive(Clone, Debug)]
pub(crate) struct Allowlist {
    target: String,
    grants: Vec<HttpGrant>,
}

/// Where a request goes, as far as the connection is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) scheme: HttpScheme,
    /// Lower case, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Endpoint {
    /// Of an absolute URI; an error says what is wrong with it.
    pub(crate) fn of(uri: &Uri) -> Result<Self, String> {
        let scheme = match uri.scheme_str() {
            Some("https") => HttpScheme::Https,
            Some("http") => HttpScheme::Http,
            _ => return Err("only https and http are possible".to_owned()),
        };
        let authority = uri.authority().ok_or("the request names no host")?;
        if authority.as_str().contains('@') {
            return Err("user information in the address is not allowed".to_owned());
        }
        let host = bare_host(authority.host());
        if host.is_empty() {
            return Err("the request names no host".to_owned());
        }
        let written_port = &authority.as_str()[authority.host().len()..];
        // Digits only: `+8080` would be read as a number here, and by the next one on the way perhaps not.
        let is_plain = written_port
            .trim_start_matches(':')
            .bytes()
            .all(|byte| byte.is_ascii_digit());
        let port = match authority.port_u16().filter(|_| is_plain) {
            Some(port) => port,
            None if written_port.is_empty() => default_port(scheme),
            None => return Err("the port is not a number".to_owned()),
        };
        Ok(Self { scheme, host, port })
    }
}

fn bare_host(host: &str) -> String {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .to_ascii_lowercase()
}

fn default_port(scheme: HttpScheme) -> u16 {
    match scheme {
        HttpScheme::Https => 443,
        HttpScheme::Http => 80,
    }
}

pub(super) fn scheme_name(scheme: HttpScheme) -> &'static str {
    match scheme {
        HttpScheme::Https => "https",
        HttpScheme::Http => "http",
    }
}

fn leads_to(grant: &HttpGrant, endpoint: &Endpoint) -> bool {
    grant.scheme == endpoint.scheme
        && bare_host(&grant.host) == endpoint.host
        && grant.port.unwrap_or_else(|| default_port(grant.scheme)) == endpoint.port
}

impl Allowlist {
    pub(crate) fn new(target: String, grants: Vec<HttpGrant>) -> Self {
        Self { target, grants }
    }

    /// Decides on a request. A refusal says what to add to the targets document.
    pub(crate) fn decide(&self, method: &Method, uri: &Uri) -> Result<Endpoint, Refusal> {
        let endpoint = Endpoint::of(uri).map_err(|why| refusal(format!("HTTP request refused: {why}")))?;
        // In any case of letters: what comes next on the way may not mind.
        let never = [Method::CONNECT, Method::TRACE];
        if never
            .iter()
            .any(|name| method.as_str().eq_ignore_ascii_case(name.as_str()))
        {
            return Err(refusal(format!(
                "HTTP request refused: the method {method} is never allowed"
            )));
        }
        if dot_segments(uri.path()) {
            return Err(refusal(
                "HTTP request refused: the path holds `.` or `..` segments".to_owned(),
            ));
        }
        let allowed = self.grants.iter().any(|grant| {
            leads_to(grant, &endpoint) && has_method(grant, method) && under_prefix(grant, uri.path())
        });
        if allowed {
            Ok(endpoint)
        } else {
            Err(self.not_granted(method, &endpoint, uri.path()))
        }
    }

    /// Whether connections to an endpoint may end at loopback and private addresses.
    pub(crate) fn private_addresses(&self, endpoint: &Endpoint) -> bool {
        self.grants
            .iter()
            .any(|grant| grant.private_addresses && leads_to(grant, endpoint))
    }

    /// The refusal of an address that a granted name led to.
    pub(crate) fn private_not_granted(&self, endpoint: &Endpoint) -> Refusal {
        Refusal {
            what: format!(
                "`{}` leads to a loopback or private address, which target `{}` does not grant",
                endpoint.host, self.target
            ),
            grant: Some(format!(
                "{}private-addresses = true\n",
                missing::grant(&self.target, endpoint)
            )),
        }
    }

    fn not_granted(&self, method: &Method, endpoint: &Endpoint, path: &str) -> Refusal {
        let same_endpoint = self.grants.iter().filter(|grant| leads_to(grant, endpoint));
        missing::rule(
            &self.target,
            method,
            endpoint,
            path,
            &same_endpoint.collect::<Vec<_>>(),
        )
    }
}

fn refusal(what: String) -> Refusal {
    Refusal { what, grant: None }
}

/// Methods are told apart by case (RFC 9110, section 9.1): `PoST` is another one, whatever a server makes of it.
pub(super) fn has_method(grant: &HttpGrant, method: &Method) -> bool {
    grant.methods.is_empty() || grant.methods.iter().any(|allowed| allowed == method.as_str())
}

/// The prefix ends at a `/`: `/scim` allows `/scim` and `/scim/Users`, not `/scimitar`.
pub(super) fn under_prefix(grant: &HttpGrant, path: &str) -> bool {
    let Some(prefix) = grant.path_prefix.as_deref() else {
        return true;
    };
    match path.strip_prefix(prefix) {
        Some(rest) => prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

/// Whether any decoding of the path has a `.` or `..` segment, by which a server could be led out of the prefix. What stands
/// after a `;` is a parameter to some servers, and `\` a separator.
fn dot_segments(path: &str) -> bool {
    let mut path = path.to_owned();
    for _ in 0..=DECODE_ROUNDS {
        let dots = path.split(['/', '\\']).any(|segment| {
            let name = segment.split(';').next().unwrap_or_default();
            name == "." || name == ".."
        });
        if dots {
            return true;
        }
        let decoded = percent_decode_str(&path).decode_utf8_lossy().into_owned();
        if decoded == path {
            return false;
        }
        path = decoded;
    }
    // Still not fully decoded after several rounds: nobody writes such a path in good faith.
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowlist() -> Allowlist {
        let grant = |scheme, host: &str, port, methods: &[&str], prefix: Option<&str>| HttpGrant {
            scheme,
            host: host.to_owned(),
            port,
            methods: methods.iter().map(|&m| m.to_owned()).collect(),
            path_prefix: prefix.map(str::to_owned),
            private_addresses: false,
        };
        Allowlist::new(
            "directory".to_owned(),
            vec![
                grant(HttpScheme::Https, "scim.example.com", None, &[], Some("/scim/v2")),
                grant(HttpScheme::Http, "127.0.0.1", Some(8080), &["GET"], None),
                grant(HttpScheme::Https, "[2606:4700::1]", None, &[], None),
            ],
        )
    }

    #[test]
    fn only_what_a_grant_names_passes() {
        let good = [
            ("GET", "https://scim.example.com/scim/v2"),
            (
                "DELETE",
                "https://scim.example.com:443/scim/v2/Users/7?filter=a%2e%2e/b",
            ),
            ("POST", "https://SCIM.example.COM/scim/v2/Users"),
            ("GET", "https://scim.example.com/scim/v2/Users/a%2Fb"),
            ("GET", "http://127.0.0.1:8080/anything"),
            ("GET", "https://[2606:4700::1]/"),
        ];
        for (method, uri) in good {
            let decision = allowlist().decide(&method.parse().unwrap(), &uri.parse().unwrap());
            assert!(decision.is_ok(), "{method} {uri}: {decision:?}");
        }
        let bad = [
            ("GET", "http://scim.example.com/scim/v2"),
            ("GET", "https://scim.example.com:8443/scim/v2"),
            ("GET", "https://scim.example.com/scim/v2evil"),
            ("GET", "https://scim.example.com/other"),
            ("GET", "https://scim.example.com/SCIM/v2"),
            ("GET", "https://scim.example.com./scim/v2"),
            ("GET", "https://xscim.example.com/scim/v2"),
            ("GET", "https://scim.example.com.evil.org/scim/v2"),
            ("GET", "https://evil@scim.example.com/scim/v2"),
            ("GET", "https://scim.example.com@evil.org/scim/v2"),
            ("POST", "http://127.0.0.1:8080/"),
            ("GET", "http://127.0.0.1/"),
            ("GET", "http://127.1:8080/"),
            ("GET", "http://2130706433:8080/"),
            ("gET", "http://127.0.0.1:8080/"),
            ("TRACE", "https://scim.example.com/scim/v2"),
            ("CONNECT", "https://scim.example.com/scim/v2"),
            ("GET", "https://scim.example.com/scim/v2/../../admin"),
            ("GET", "https://scim.example.com/scim/v2/%2e%2e/admin"),
            ("GET", "https://scim.example.com/scim/v2/%2E./admin"),
            ("GET", "https://scim.example.com/scim/v2/..%2fadmin"),
            ("GET", "https://scim.example.com/scim/v2/..%5cadmin"),
            ("GET", "https://scim.example.com/scim/v2/%252e%252e/admin"),
            ("GET", "https://scim.example.com/scim/v2/..;x=1/admin"),
            ("GET", "ftp://scim.example.com/scim/v2"),
        ];
        for (method, uri) in bad {
            let Ok(uri) = uri.parse::<Uri>() else { continue };
            let decision = allowlist().decide(&method.parse().unwrap(), &uri);
            assert!(decision.is_err(), "{method} {uri}");
        }
    }

    #[test]
    fn a_refusal_can_be_pasted() {
        let refused = allowlist()
            .decide(&Method::POST, &"https://api.example.org/v1/x".parse().unwrap())
            .unwrap_err();
        assert_eq!(
            refused.what,
            "HTTP POST https://api.example.org:443/v1/x is not granted to target `directory`"
        );
        assert_eq!(
            refused.grant.unwrap(),
            "[[targets.directory.grants.http]]\nscheme = \"https\"\nhost = \"api.example.org\"\nport = 443\n"
        );
    }
}
