//! Where requests may go.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::{Method, Uri};
use usher_connectors::fuzzing;
use usher_lifecycle::targets::{HttpGrant, HttpScheme};

use crate::head_and_rest;

fn grant(scheme: HttpScheme, host: &str, port: Option<u16>, prefix: Option<&str>) -> HttpGrant {
    HttpGrant {
        scheme,
        host: host.to_owned(),
        port,
        methods: vec!["GET".to_owned(), "POST".to_owned()],
        path_prefix: prefix.map(str::to_owned),
        private_addresses: false,
    }
}

/// A method on the first line, a URI after it. Whatever is allowed satisfies another reading of the grants: of the URI as it is
/// written, with string operations only.
pub(crate) fn uri(data: &[u8]) {
    let text = crate::text(data);
    let (method, written) = head_and_rest(&text);
    let (Ok(method), Ok(uri)) = (method.parse::<Method>(), written.parse::<Uri>()) else {
        return;
    };
    let grants = [
        grant(HttpScheme::Https, "api.example.com", None, Some("/scim/v2")),
        grant(HttpScheme::Http, "10.0.0.1", Some(8080), None),
        grant(HttpScheme::Https, "[2001:db8::1]", Some(8443), Some("/")),
    ];
    let Ok((scheme, host, port)) = fuzzing::decide(&grants, &method, &uri) else {
        return;
    };
    assert!(matches!(method.as_str(), "GET" | "POST"), "{method}");
    let lower = written.to_ascii_lowercase();
    let starts = [
        ("https://api.example.com", 443, "/scim/v2"),
        ("http://10.0.0.1", 8080, ""),
        ("https://[2001:db8::1]", 8443, ""),
    ];
    let (start, granted_port, prefix) = starts
        .into_iter()
        .find(|(start, ..)| lower.starts_with(start))
        .expect("allowed, and no grant begins like it");
    assert_eq!(port, granted_port);
    assert!(
        start.ends_with(&host) || start.ends_with(&format!("[{host}]")),
        "{host}"
    );
    assert_eq!(start.starts_with("https:"), scheme == HttpScheme::Https);
    // After the host comes the port, if any, and then the path.
    let rest = &written[start.len()..];
    let path = match rest.strip_prefix(':') {
        Some(rest) => {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            assert_eq!(
                rest[..digits].parse::<u16>().ok(),
                Some(granted_port),
                "{written}"
            );
            &rest[digits..]
        }
        None => rest,
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    assert!(path.is_empty() || path.starts_with('/'), "{written}");
    let beyond = path.strip_prefix(prefix).expect("outside the prefix");
    assert!(
        prefix.is_empty() || beyond.is_empty() || beyond.starts_with('/'),
        "{written}"
    );
    // However often somebody on the way decodes it, no segment leads up.
    let mut decoded = path.as_bytes().to_vec();
    for _ in 0..3 {
        let leads_up = decoded
            .split(|byte| matches!(byte, b'/' | b'\\'))
            .any(|segment| matches!(segment, b".." | b"."));
        assert!(!leads_up, "{written}");
        decoded = once_decoded(&decoded);
    }
}

fn once_decoded(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes
            .get(at + 1..at + 3)
            .and_then(|two| std::str::from_utf8(two).ok());
        let value = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        match (bytes[at], value) {
            (b'%', Some(value)) if digits.is_some_and(|two| !two.starts_with('+')) => {
                decoded.push(value);
                at += 3;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

/// Sixteen bytes are an IPv6 address, four an IPv4 address.
pub(crate) fn address(data: &[u8]) {
    if let Some(four) = data.first_chunk::<4>() {
        check(IpAddr::V4(Ipv4Addr::from(*four)));
    }
    if let Some(sixteen) = data.first_chunk::<16>() {
        check(IpAddr::V6(Ipv6Addr::from(*sixteen)));
    }
}

/// What is reached without a grant of private addresses is public by what the standard library knows of the registries.
fn check(address: IpAddr) {
    let (freely, with_private) = fuzzing::reachable(address);
    assert!(with_private || !freely);
    if freely {
        assert!(!is_special(address), "{address}");
    }
    let never = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_multicast() || v4.is_broadcast() || v4.is_unspecified(),
        // Forms that carry an IPv4 address would get around what is said of that.
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local()
                || v6.is_multicast()
                || v6.is_unspecified()
                || v6.to_ipv4_mapped().is_some()
        }
    };
    assert!(!(never && with_private), "{address}");
}

fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_documentation()
                || v4.is_multicast()
                || v4.is_broadcast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
        }
        // A translator's prefix: as what it carries.
        IpAddr::V6(v6) if v6.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0] => {
            let [.., a, b, c, d] = v6.octets();
            is_special(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
        }
        IpAddr::V6(v6) => {
            let carried =
                v6.to_ipv4().is_some() || v6.segments()[..2] == [0x64, 0xff9b] || v6.segments()[0] == 0x2002;
            carried
                || v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || v6.is_multicast()
        }
    }
}
