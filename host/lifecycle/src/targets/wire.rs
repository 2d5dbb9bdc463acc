//! How the HTTP connections of a target are made: its TLS and its proxy.

use super::SecretReference;
use super::grants::read_host;
use super::parse::read_absolute_path;
use super::secrets::read_secret;
use crate::document::item::Item;
use crate::policy::LABEL_CHARS_MAX;

/// TLS of a target's HTTP connections, where the public certificate authorities alone do not do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Path of the certificate authorities to trust, in PEM. They replace the public ones.
    pub ca: Option<String>,
    /// Trusts the public certificate authorities beside `ca`.
    pub public_roots: bool,
    /// What the host identifies itself with.
    pub client: Option<ClientCertificate>,
    /// The oldest version spoken.
    pub minimum_version: TlsVersion,
}

/// A certificate of the host for one target, and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Path of the certificate and those between it and its authority, in PEM.
    pub certificate: String,
    /// The private key, in PEM.
    pub key: SecretReference,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// The HTTP proxy that a target is reached through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Host name or IP literal, lower case.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Allows the proxy's own address to be loopback or private.
    pub private_addresses: bool,
    /// What the host identifies itself with (Basic).
    pub auth: Option<ProxyAuth>,
}

/// Credentials for a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyAuth {
    /// User name.
    pub username: String,
    /// Password.
    pub password: SecretReference,
}

/// The `tls` of a target.
pub(super) fn read_tls(item: &Item<'_, '_>) -> Option<Tls> {
    let table = item.table()?;
    let ca = read_optional(table.take("ca"), |item| read_absolute_path(&item));
    let roots_item = table.take("public-roots");
    let public_roots = read_optional(roots_item.as_ref(), Item::flag);
    let certificate_item = table.take("client-certificate");
    let certificate = read_optional(certificate_item.as_ref(), read_absolute_path);
    let key_item = table.take("client-key");
    let key = read_optional(key_item.as_ref(), read_secret);
    let minimum_version = read_optional(table.take("minimum-version"), |item| {
        item.choice(&[("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)])
    });
    table.finish();
    let mut whole = true;
    match (&certificate_item, &key_item) {
        (Some(item), None) => {
            item.mistake_of_key("needs its key: client-key = { file = \"/path\" }, or { store = \"name\" }");
            whole = false;
        }
        (None, Some(item)) => {
            item.mistake_of_key("needs its certificate: client-certificate = \"/path\"");
            whole = false;
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
    let (ca, public_roots) = (ca?, public_roots?);
    if let (None, Some(item)) = (&ca, &roots_item) {
        item.mistake_of_key("says whether the public authorities count beside `ca`, and there is no `ca`");
        whole = false;
    }
    let (certificate, key, minimum_version) = (certificate?, key?, minimum_version?);
    whole.then(|| Tls {
        ca,
        public_roots: public_roots.unwrap_or_default(),
        client: certificate
            .zip(key)
            .map(|(certificate, key)| ClientCertificate { certificate, key }),
        minimum_version: minimum_version.unwrap_or_default(),
    })
}

/// The `proxy` of a target.
pub(super) fn read_proxy(item: &Item<'_, '_>) -> Option<Proxy> {
    let table = item.table()?;
    let address = table
        .need(
            "url",
            "the proxy's address, like url = \"http://proxy.example.com:3128\"",
        )
        .and_then(|item| read_proxy_url(&item));
    let private_addresses = read_optional(table.take("private-addresses"), |item| item.flag());
    let username_item = table.take("username");
    let username = read_optional(username_item.as_ref(), |item| {
        let text = item.label(LABEL_CHARS_MAX)?;
        if text.contains(':') {
            item.mistake("a user name must not contain a colon");
            return None;
        }
        Some(text.to_owned())
    });
    let password_item = table.take("password");
    let password = read_optional(password_item.as_ref(), read_secret);
    table.finish();
    let mut whole = true;
    match (&username_item, &password_item) {
        (Some(item), None) => {
            item.mistake_of_key("needs `password`, like password = { env = \"PROXY_PASSWORD\" }");
            whole = false;
        }
        (None, Some(item)) => {
            item.mistake_of_key("needs `username`");
            whole = false;
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
    let ((host, port), private_addresses) = (address?, private_addresses?);
    let auth = username?.zip(password?);
    whole.then(|| Proxy {
        host,
        port,
        private_addresses: private_addresses.unwrap_or_default(),
        auth: auth.map(|(username, password)| ProxyAuth { username, password }),
    })
}

/// `http://host:port`. What is written is not shown: it may hold a password.
fn read_proxy_url(item: &Item<'_, '_>) -> Option<(String, u16)> {
    let text = item.label(LABEL_CHARS_MAX)?;
    let read = text
        .strip_prefix("http://")
        .map(|rest| rest.strip_suffix('/').unwrap_or(rest))
        .and_then(|authority| authority.rsplit_once(':'))
        .and_then(|(host, port)| Some((host, port.parse::<u16>().ok().filter(|&port| port > 0)?)));
    let Some((host, port)) = read.filter(|(host, _)| !host.contains('@')) else {
        item.mistake(
            "must be http://, a host and a port, like \"http://proxy.example.com:3128\"; a user and a password have their own keys",
        );
        return None;
    };
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .filter(|host| host.contains(':'));
    if bare.is_none() && host.contains(':') {
        item.mistake("an IPv6 address stands in brackets, like \"http://[fd00::1]:3128\"");
        return None;
    }
    read_host(item, bare.unwrap_or(host)).map(|host| (host, port))
}

/// Something that may be missing: nothing inside then; nothing at all when it is wrong.
fn read_optional<I, T>(item: Option<I>, read: impl FnOnce(I) -> Option<T>) -> Option<Option<T>> {
    item.map_or(Some(None), |item| read(item).map(Some))
}

#[cfg(test)]
mod tests {
    use super::super::{Target, parse};
    use super::*;

    fn with(lines: &str) -> Result<Target, String> {
        let text = format!(
            "[targets.a]\nconnector = \"c\"\n[[targets.a.grants.http]]\nscheme = \"https\"\nhost = \"a.example\"\n{lines}"
        );
        parse("t.toml", &text)
            .map(|mut targets| targets.targets.pop_first().unwrap().1)
            .map_err(|errors| errors.to_string())
    }

    #[test]
    fn tls_of_a_target_reads() {
        let target = with(
            "[targets.a.tls]\nca = \"/etc/usher/ca.pem\"\npublic-roots = true\nclient-certificate = \"/etc/usher/me.pem\"\n\
             client-key = { store = \"my-key\" }\nminimum-version = \"1.3\"\n",
        );
        let tls = target.unwrap().tls;
        assert_eq!(tls.ca.as_deref(), Some("/etc/usher/ca.pem"));
        assert!(tls.public_roots);
        assert_eq!(tls.minimum_version, TlsVersion::V1_3);
        let client = tls.client.unwrap();
        assert_eq!(client.certificate, "/etc/usher/me.pem");
        assert_eq!(client.key, SecretReference::Store("my-key".parse().unwrap()));
        assert_eq!(with("").unwrap().tls, Tls::default());
    }

    #[test]
    fn what_is_wrong_with_tls_is_said() {
        for (lines, said) in [
            ("ca = \"ca.pem\"", "absolute path"),
            ("client-certificate = \"/c.pem\"", "client-key"),
            ("client-key = { env = \"KEY\" }", "client-certificate"),
            (
                "client-certificate = \"/c.pem\"\nclient-key = \"s3cr3t\"",
                "a reference",
            ),
            ("minimum-version = \"1.1\"", "1.2"),
            ("public-roots = true", "there is no `ca`"),
            ("verify = false", "verify"),
        ] {
            let error = with(&format!("[targets.a.tls]\n{lines}\n")).unwrap_err();
            assert!(
                error.contains(said) && !error.contains("s3cr3t"),
                "{lines}: {error}"
            );
        }
    }

    #[test]
    fn the_proxy_of_a_target_reads() {
        let proxy =
            |lines: &str| with(&format!("[targets.a.proxy]\n{lines}\n")).map(|target| target.proxy.unwrap());
        let plain = proxy("url = \"http://proxy.example.com:3128/\"").unwrap();
        assert_eq!((plain.host.as_str(), plain.port), ("proxy.example.com", 3128));
        assert!(!plain.private_addresses && plain.auth.is_none());
        let full = proxy(
            "url = \"http://[fd00::1]:80\"\nprivate-addresses = true\nusername = \"u\"\npassword = { env = \"P\" }",
        );
        let full = full.unwrap();
        assert_eq!(full.host, "fd00::1");
        assert!(full.private_addresses);
        assert_eq!(full.auth.unwrap().password, SecretReference::Env("P".to_owned()));
        for (lines, said) in [
            ("private-addresses = true", "url"),
            ("url = \"http://proxy\"", "a port"),
            ("url = \"http://proxy:0\"", "a port"),
            ("url = \"https://proxy:3128\"", "must be http://"),
            ("url = \"socks5://proxy:1080\"", "must be http://"),
            ("url = \"http://me:s3cr3t@proxy:3128\"", "their own keys"),
            ("url = \"http://Proxy:3128\"", "lower case"),
            ("url = \"http://proxy:3128/x\"", "a port"),
            ("url = \"http://fd00::1:3128\"", "in brackets"),
            ("url = \"http://proxy:3128\"\nusername = \"u\"", "password"),
            (
                "url = \"http://proxy:3128\"\npassword = { env = \"P\" }",
                "username",
            ),
            (
                "url = \"http://proxy:3128\"\nusername = \"a:b\"\npassword = { env = \"P\" }",
                "colon",
            ),
        ] {
            let error = proxy(lines).unwrap_err();
            assert!(
                error.contains(said) && !error.contains("s3cr3t"),
                "{lines}: {error}"
            );
        }
    }

    #[test]
    fn both_need_an_http_grant() {
        for lines in [
            "[targets.a.tls]\nca = \"/ca.pem\"",
            "[targets.a.proxy]\nurl = \"http://p:1\"",
        ] {
            let text = format!("[targets.a]\nconnector = \"c\"\n{lines}\n");
            let error = parse("t.toml", &text).unwrap_err().to_string();
            assert!(error.contains("no HTTP endpoint is granted"), "{error}");
        }
    }
}
