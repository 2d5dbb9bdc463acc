//! Which network addresses a connector may be taken to. A name is only as good as the address it leads to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is, as far as egress is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressClass {
    /// On the public internet.
    Public,
    /// Loopback or a private range: only where the grant says `private-addresses`.
    Private,
    /// Never: link-local, cloud metadata, multicast, and forms that hide another address.
    Never,
}

/// Cloud metadata services that live inside otherwise private or public ranges.
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16)];
/// The same in IPv6, as the first two segments of what the cloud keeps for itself: Amazon, Google, Oracle, Scaleway.
const METADATA_V6: [(u16, u16); 4] = [(0xfd00, 0xec2), (0xfd20, 0xce), (0xfd00, 0xc1), (0xfd00, 0x42)];
/// The prefix under which a network without IPv4 shows all of it (RFC 6052).
const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

/// Classifies an address.
pub(crate) fn classify(address: IpAddr) -> AddressClass {
    match address {
        IpAddr::V4(address) => classify_v4(address),
        IpAddr::V6(address) => classify_v6(address),
    }
}

fn classify_v4(address: Ipv4Addr) -> AddressClass {
    let [a, b, c, _] = address.octets();
    if METADATA_V4.contains(&address) {
        return AddressClass::Never;
    }
    match (a, b, c) {
        // Loopback; RFC 1918; shared space of carriers (RFC 6598); benchmarking networks.
        (127 | 10, ..) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) | (198, 18 | 19, _) => {
            AddressClass::Private
        }
        // "This network"; link-local and most metadata; IETF protocol assignments (metadata too); documentation; 6to4 relays;
        // multicast, reserved, broadcast.
        (0, ..)
        | (169, 254, _)
        | (192, 0, 0 | 2)
        | (198, 51, 100)
        | (203, 0, 113)
        | (192, 88, 99)
        | (224..=255, ..) => AddressClass::Never,
        _ => AddressClass::Public,
    }
}

fn classify_v6(address: Ipv6Addr) -> AddressClass {
    let segments = address.segments();
    if address == Ipv6Addr::LOCALHOST {
        return AddressClass::Private;
    }
    if segments.starts_with(&NAT64) {
        return classify_nat64(segments);
    }
    match (segments[0], segments[1]) {
        network if METADATA_V6.contains(&network) => AddressClass::Never,
        // Unique local addresses.
        (0xfc00..=0xfdff, _) => AddressClass::Private,
        // Protocol assignments (Teredo, ORCHID, benchmarks), documentation and 6to4 carry or hide other addresses.
        (0x2001, 0..=0x1ff | 0xdb8) | (0x2002, _) | (0x3fff, 0..=0xfff) => AddressClass::Never,
        (0x2000..=0x3fff, _) => AddressClass::Public,
        // All else: unspecified, v4-mapped and v4-compatible, a network's own NAT64 (64:ff9b:1), discard, link-local, site-local, multicast.
        _ => AddressClass::Never,
    }
}

/// Where there is only IPv6, this is how a public IPv4 address looks. Any other has no business behind that prefix.
fn classify_nat64(segments: [u16; 8]) -> AddressClass {
    let [.., high, low] = segments;
    match classify_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))) {
        AddressClass::Public => AddressClass::Public,
        AddressClass::Private | AddressClass::Never => AddressClass::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_sorted_as_the_grant_rules_need() {
        let cases = [
            (
                AddressClass::Public,
                &[
                    "93.184.216.34",
                    "8.8.8.8",
                    "172.32.0.1",
                    "100.128.0.1",
                    "2606:4700::1111",
                    "2001:4860::1",
                    "64:ff9b::808:808",
                ][..],
            ),
            (
                AddressClass::Private,
                &[
                    "127.0.0.1",
                    "127.9.9.9",
                    "10.1.2.3",
                    "172.16.0.1",
                    "172.31.255.255",
                    "192.168.1.1",
                    "100.64.0.1",
                    "198.18.0.1",
                    "::1",
                    "fd12::1",
                    "fc00::1",
                ],
            ),
            (
                AddressClass::Never,
                &[
                    "0.0.0.0",
                    "0.1.2.3",
                    "169.254.169.254",
                    "169.254.0.1",
                    "192.0.0.192",
                    "192.0.2.1",
                    "198.51.100.1",
                    "203.0.113.9",
                    "224.0.0.1",
                    "239.1.1.1",
                    "240.0.0.1",
                    "255.255.255.255",
                    "100.100.100.200",
                    "168.63.129.16",
                    "192.88.99.1",
                    "::",
                    "::ffff:127.0.0.1",
                    "::ffff:8.8.8.8",
                    "::127.0.0.1",
                    "64:ff9b::7f00:1",
                    "64:ff9b:1::1",
                    "fe80::1",
                    "fec0::1",
                    "ff02::1",
                    "2002:7f00:1::",
                    "2001::1",
                    "2001:db8::1",
                    "100::1",
                    "fd00:ec2::254",
                    "fd20:ce::254",
                    "fd00:ec2::23",
                    "fd00:c1::a9fe:a9fe",
                    "fd00:42::42",
                    "64:ff9b::a00:1",
                    "64:ff9b::a9fe:a9fe",
                    "64:ff9b:0:0:1::808:808",
                    "2001:2::1",
                    "2001:20::1",
                    "3fff:1::1",
                    "5f00::1",
                    "::ffff:169.254.169.254",
                    "::ffff:0:127.0.0.1",
                ],
            ),
        ];
        for (class, addresses) in cases {
            for address in addresses {
                assert_eq!(classify(address.parse().unwrap()), class, "{address}");
            }
        }
    }
}
