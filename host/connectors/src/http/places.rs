//! Puts secrets where their placeholders stand, if they may stand there. Called after the decision, so that a request that is refused
//! never carries one. Only a whole value counts: in a JSON body the text at the pointer, in a form the field, or the header.

use std::collections::BTreeMap;

use aho_corasick::AhoCorasick;
use bytes::Bytes;
use http::request::Parts;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use usher_lifecycle::name::Name;
use usher_lifecycle::targets::{HttpScheme, SecretPlace, SecretPosition};
use zeroize::Zeroizing;

use super::allow::Endpoint;
use super::body_kind::{self, BodyKind};
use super::headers;
use super::pointers::pointers_to;
use crate::journal::Refusal;
use crate::placeholders::Placeholders;
use crate::secrets::SecretString;

/// Most placeholders in one body: a login has one, a change of password two or three.
const PLACED_MAX: usize = 8;

/// Why a request with placeholders does not leave.
#[derive(Debug)]
pub(crate) enum NotPlaced {
    /// A placeholder stands where it may not.
    Refused(Refusal),
    /// The secret cannot stand where it may.
    Unusable(String),
}

/// The placeholders of one request.
pub(crate) struct Places<'r> {
    target: &'r str,
    endpoint: &'r Endpoint,
    placeholders: &'r Placeholders,
    /// In the order of the finder's patterns.
    names: Vec<&'r Name>,
    finder: AhoCorasick,
}

/// A placeholder in a text.
struct Hit<'r> {
    name: &'r Name,
    start: usize,
    end: usize,
}

impl<'r> Places<'r> {
    /// Nothing when there are no placeholders.
    pub(crate) fn new(
        target: &'r str,
        endpoint: &'r Endpoint,
        placeholders: &'r Placeholders,
    ) -> Option<Self> {
        if placeholders.texts.is_empty() {
            return None;
        }
        Some(Self {
            target,
            endpoint,
            placeholders,
            names: placeholders.texts.keys().collect(),
            finder: AhoCorasick::new(placeholders.texts.values()).ok()?,
        })
    }

    /// The first ones; one more than there may be, at most.
    fn hits(&self, text: &[u8]) -> Vec<Hit<'r>> {
        let found = self.finder.find_iter(text);
        found
            .take(PLACED_MAX + 1)
            .map(|found| Hit {
                name: self.names[found.pattern().as_usize()],
                start: found.start(),
                end: found.end(),
            })
            .collect()
    }

    /// The names of the secrets the request asks for, wherever.
    pub(crate) fn asked(&self, parts: &Parts, body: &[u8]) -> Vec<&'r Name> {
        let headers = parts
            .headers
            .values()
            .flat_map(|value| self.hits(value.as_bytes()));
        headers.chain(self.hits(body)).map(|hit| hit.name).collect()
    }

    /// Puts the secrets in.
    pub(crate) fn fill(
        &self,
        parts: &mut Parts,
        body: Bytes,
        secrets: &BTreeMap<&Name, SecretString>,
    ) -> Result<Bytes, NotPlaced> {
        self.refuse_in_address(parts)?;
        let hits = self.hits(&body);
        let in_headers = parts
            .headers
            .values()
            .flat_map(|value| self.hits(value.as_bytes()))
            .next();
        if let Some(hit) = in_headers.as_ref().or(hits.first()) {
            self.refuse_unclear_body(hit, parts, &body)?;
            self.refuse_other_method(hit, parts, &body)?;
        }
        self.fill_headers(parts, secrets)?;
        match hits.first() {
            None => return Ok(body),
            Some(hit) if hits.len() > PLACED_MAX => {
                return Err(self.never(
                    hit,
                    &format!("in a body with more than {PLACED_MAX} placeholders"),
                ));
            }
            Some(_) => {}
        }
        match BodyKind::of(&parts.headers) {
            Some(BodyKind::Json) => match serde_json::from_slice::<Value>(&body) {
                Ok(document) => self.fill_json(parts, &body, &document, &hits, secrets),
                Err(_) => Err(self.never(&hits[0], "in a body whose content-type is JSON, but which is not")),
            },
            Some(BodyKind::Form) => self.fill_form(parts, &body, &hits, secrets),
            None => Err(self.never(
                &hits[0],
                "in a body whose content-type is neither application/json (or …+json) nor application/x-www-form-urlencoded, in UTF-8",
            )),
        }
    }

    /// What nobody can read here could be anything to the server, a request with another method too.
    fn refuse_unclear_body(&self, hit: &Hit<'_>, parts: &Parts, body: &[u8]) -> Result<(), NotPlaced> {
        if body.is_empty() {
            return Ok(());
        }
        match BodyKind::of(&parts.headers) {
            Some(BodyKind::Json) if serde_json::from_slice::<Value>(body).is_err() => {
                Err(self.never(hit, "in a request with a body whose content-type is JSON, but which is not"))
            }
            // Whatever else a form's text is, it has control characters only as `%XX`.
            Some(BodyKind::Form) if body.iter().any(u8::is_ascii_control) || std::str::from_utf8(body).is_err() => {
                Err(self.never(hit, "in a request with a body whose content-type is that of a form, but which is none"))
            }
            Some(_) => Ok(()),
            None => Err(self.never(
                hit,
                "in a request with a body whose content-type is neither application/json (or …+json) nor application/x-www-form-urlencoded, in UTF-8",
            )),
        }
    }

    /// A place is declared for one method: a request that many servers take for one with another method gets no secret.
    fn refuse_other_method(&self, hit: &Hit<'_>, parts: &Parts, body: &[u8]) -> Result<(), NotPlaced> {
        let overridden = headers::methods(&parts.method, &parts.headers).map_or(true, |methods| {
            methods.iter().any(|method| *method != parts.method)
        });
        let named = body_kind::names_method(&parts.headers, parts.uri.query(), body);
        if overridden || named {
            return Err(self.never(
                hit,
                "in a request that a header or a field `_method` may turn into one with another method",
            ));
        }
        Ok(())
    }

    fn refuse_in_address(&self, parts: &Parts) -> Result<(), NotPlaced> {
        let address = parts.uri.to_string();
        let names = parts.headers.keys().map(|name| name.as_str().as_bytes());
        let texts = std::iter::once(address.as_bytes()).chain(names);
        match texts.flat_map(|text| self.hits(text)).next() {
            None => Ok(()),
            Some(hit) => Err(self.never(&hit, "in the address or in the name of a header")),
        }
    }

    fn fill_headers(
        &self,
        parts: &mut Parts,
        secrets: &BTreeMap<&Name, SecretString>,
    ) -> Result<(), NotPlaced> {
        let mut filled = parts.headers.clone();
        for (header, value) in &mut filled {
            let hits = self.hits(value.as_bytes());
            let Some(hit) = hits.first() else { continue };
            if value.len() != hit.end - hit.start {
                return Err(self.never(hit, "inside a longer header; it must be the whole header"));
            }
            let right = |position: &SecretPosition| matches!(position, SecretPosition::Header(name) if header.as_str().eq_ignore_ascii_case(name));
            if !self.may(hit.name, parts, right) {
                return Err(self.not_declared(hit, parts, &SecretPosition::Header(header.to_string())));
            }
            *value = super::auth::sensitive(secret(secrets, hit)?.expose()).map_err(NotPlaced::Unusable)?;
        }
        parts.headers = filled;
        Ok(())
    }

    /// Changes nothing of the body but the texts at the pointers: not the order, not a blank. What was found by its bytes is held against what
    /// the document means before and after, so that a body read in two ways (a member twice, an escaped text) gets no secret.
    fn fill_json(
        &self,
        parts: &Parts,
        body: &[u8],
        document: &Value,
        hits: &[Hit<'r>],
        secrets: &BTreeMap<&Name, SecretString>,
    ) -> Result<Bytes, NotPlaced> {
        let mut filled = Zeroizing::new(Vec::with_capacity(body.len() + 256));
        let mut copied = 0;
        for hit in hits {
            let text = &self.placeholders.texts[hit.name];
            let whole = body[..hit.start].ends_with(b"\"") && body[hit.end..].starts_with(b"\"");
            let pointers = pointers_to(document, text);
            if !whole || pointers.is_empty() {
                return Err(self.never(
                    hit,
                    "inside a longer text, or as the name of a member; it must be the whole text",
                ));
            }
            let stray = pointers.iter().find(|pointer| {
                !self.may(hit.name, parts, |position| {
                    matches!(position, SecretPosition::JsonPointer(declared) if declared == *pointer)
                })
            });
            if let Some(pointer) = stray {
                let position = SecretPosition::JsonPointer(pointer.clone());
                return Err(self.not_declared(hit, parts, &position));
            }
            let secret = Zeroizing::new(Value::from(secret(secrets, hit)?.expose()).to_string());
            filled.extend_from_slice(&body[copied..hit.start - 1]);
            filled.extend_from_slice(secret.as_bytes());
            copied = hit.end + 1;
        }
        filled.extend_from_slice(&body[copied..]);
        self.confirm(document, &filled, hits, secrets)?;
        Ok(Bytes::copy_from_slice(&filled))
    }

    /// Every secret stands where its placeholder stood, and there are as many as there were placeholders.
    fn confirm(
        &self,
        before: &Value,
        filled: &[u8],
        hits: &[Hit<'r>],
        secrets: &BTreeMap<&Name, SecretString>,
    ) -> Result<(), NotPlaced> {
        let after: Value = serde_json::from_slice(filled).unwrap_or_default();
        for hit in hits {
            let pointers = pointers_to(before, &self.placeholders.texts[hit.name]);
            let same = hits.iter().filter(|other| other.name == hit.name).count() == pointers.len();
            let secret = secret(secrets, hit)?.expose();
            if !same
                || pointers
                    .iter()
                    .any(|pointer| after.pointer(pointer) != Some(&Value::from(secret)))
            {
                return Err(self.never(hit, "in a body that can be read in two ways"));
            }
        }
        Ok(())
    }

    fn fill_form(
        &self,
        parts: &Parts,
        body: &[u8],
        hits: &[Hit<'r>],
        secrets: &BTreeMap<&Name, SecretString>,
    ) -> Result<Bytes, NotPlaced> {
        let mut filled = Zeroizing::new(Vec::with_capacity(body.len() + 256));
        let mut copied = 0;
        for hit in hits {
            let start = body[..hit.start]
                .iter()
                .rposition(|&byte| byte == b'&')
                .map_or(0, |at| at + 1);
            let ends = body.get(hit.end).is_none_or(|&byte| byte == b'&');
            let name = body[start..hit.start].strip_suffix(b"=").filter(|_| ends);
            let Some(name) = name.and_then(|name| std::str::from_utf8(name).ok()) else {
                return Err(self.never(
                    hit,
                    "in a body that is neither JSON nor a form, or inside a longer text",
                ));
            };
            let declared = |position: &SecretPosition| matches!(position, SecretPosition::FormField(field) if form_name(field) == name || field == name);
            if !self.may(hit.name, parts, declared) {
                return Err(self.not_declared(hit, parts, &SecretPosition::FormField(name.to_owned())));
            }
            let secret = secret(secrets, hit)?.expose();
            let secret = Zeroizing::new(utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string());
            filled.extend_from_slice(&body[copied..hit.start]);
            filled.extend_from_slice(secret.as_bytes());
            copied = hit.end;
        }
        filled.extend_from_slice(&body[copied..]);
        Ok(Bytes::copy_from_slice(&filled))
    }

    /// Whether a secret is declared for a position of this request.
    fn may(&self, name: &Name, parts: &Parts, position: impl Fn(&SecretPosition) -> bool) -> bool {
        self.placeholders.declared[name].places.iter().any(|place| {
            position(&place.position)
                && place.method == parts.method.as_str()
                && place.scheme == self.endpoint.scheme
                && place
                    .host
                    .as_deref()
                    .is_none_or(|host| host == self.endpoint.host)
                && is_path(place, parts.uri.path())
        })
    }

    fn never(&self, hit: &Hit<'_>, place: &str) -> NotPlaced {
        NotPlaced::Refused(Refusal {
            what: format!(
                "the placeholder of secret `{}` of target `{}` stands {place}",
                hit.name, self.target
            ),
            grant: None,
        })
    }

    fn not_declared(&self, hit: &Hit<'_>, parts: &Parts, position: &SecretPosition) -> NotPlaced {
        let (name, target) = (hit.name, self.target);
        let (key, at) = match position {
            SecretPosition::JsonPointer(pointer) => ("json-pointer", pointer),
            SecretPosition::FormField(field) => ("form-field", field),
            SecretPosition::Header(header) => ("header", header),
        };
        let (method, host, path) = (&parts.method, &self.endpoint.host, parts.uri.path());
        let (clear, scheme) = match self.endpoint.scheme {
            HttpScheme::Https => ("", ""),
            HttpScheme::Http => (" in the clear", "scheme = \"http\"\n"),
        };
        NotPlaced::Refused(Refusal {
            what: format!(
                "secret `{name}` of target `{target}` is not declared for {key} {} of {method} {host}{}{clear}",
                crate::guest_text::line_of(at, 200),
                crate::guest_text::line_of(path, 200)
            ),
            grant: Some(format!(
                "[[targets.{target}.secrets.{name}.places]]\nmethod = \"{method}\"\n{scheme}host = {}\npath = {}\n{key} = {}\n",
                toml_text(host),
                toml_text(path),
                toml_text(at)
            )),
        })
    }
}

fn secret<'s>(
    secrets: &'s BTreeMap<&Name, SecretString>,
    hit: &Hit<'_>,
) -> Result<&'s SecretString, NotPlaced> {
    secrets
        .get(hit.name)
        .ok_or_else(|| NotPlaced::Unusable(format!("secret `{}` was not looked up", hit.name)))
}

/// A JSON text is a TOML text.
fn toml_text(text: &str) -> String {
    Value::from(text.replace('\u{7f}', "")).to_string()
}

/// The name of a field as forms write it.
fn form_name(name: &str) -> String {
    const FORM: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');
    utf8_percent_encode(name, FORM).to_string()
}

/// A part of the declared path that is `*` stands for any one part.
fn is_path(place: &SecretPlace, path: &str) -> bool {
    let (mut declared, mut asked) = (place.path.split('/'), path.split('/'));
    loop {
        match (declared.next(), asked.next()) {
            (None, None) => return true,
            (Some("*"), Some(part)) if !part.is_empty() => {}
            (Some(declared), Some(part)) if declared == part => {}
            (_, _) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Request;
    use http::header::CONTENT_TYPE;
    use usher_lifecycle::targets::parse;

    use super::*;

    const TEXT: &str = "usher-secret-00112233445566778899aabbccddeeff";

    /// One secret, `admin`, with three places.
    fn placeholders() -> Placeholders {
        let place = |line: &str| {
            format!(
                "[[targets.a.secrets.admin.places]]\nmethod = \"POST\"\npath = \"/users/*/login\"\n{line}\n"
            )
        };
        let places: String = [
            "json-pointer = \"/a/0/pass~1word\"",
            "json-pointer = \"/second\"",
            "form-field = \"pass word\"",
            "header = \"X-Admin\"",
        ]
        .iter()
        .map(|line| place(line))
        .collect();
        let text = format!(
            "[targets.a]\nconnector = \"c\"\nsettings = {{ password = {{ secret = \"admin\" }} }}\n\
             [[targets.a.grants.http]]\nscheme = \"https\"\nhost = \"a.example\"\n\
             [targets.a.secrets.admin]\nvalue = {{ env = \"A\" }}\n{places}"
        );
        let target = parse("t.toml", &text).unwrap().targets.pop_first().unwrap().1;
        Placeholders {
            texts: BTreeMap::from([("admin".parse().unwrap(), TEXT.to_owned())]),
            declared: Arc::new(target.secrets),
        }
    }

    struct Sent {
        parts: Parts,
        body: String,
    }

    /// As the kind of body it looks like, where the request does not say.
    fn filled(request: http::request::Builder, body: &str) -> Result<Sent, NotPlaced> {
        let mut parts = request.body(()).unwrap().into_parts().0;
        let kind = if serde_json::from_str::<Value>(body).is_ok() {
            "application/json"
        } else {
            "application/x-www-form-urlencoded"
        };
        parts
            .headers
            .entry(CONTENT_TYPE)
            .or_insert(http::HeaderValue::from_static(kind));
        filled_as_it_is(HttpScheme::Https, parts, body)
    }

    fn filled_as_it_is(scheme: HttpScheme, mut parts: Parts, body: &str) -> Result<Sent, NotPlaced> {
        let placeholders = placeholders();
        let endpoint = Endpoint {
            scheme,
            host: "a.example".to_owned(),
            port: 443,
        };
        let places = Places::new("a", &endpoint, &placeholders).unwrap();
        let secrets = BTreeMap::from([(
            placeholders.texts.keys().next().unwrap(),
            SecretString::new("p\"s & s"),
        )]);
        let body = places.fill(&mut parts, Bytes::from(body.to_owned()), &secrets)?;
        let body = String::from_utf8(body.to_vec()).unwrap();
        Ok(Sent { parts, body })
    }

    fn login() -> http::request::Builder {
        Request::post("https://a.example/users/7/login?x=1")
    }

    #[test]
    fn a_secret_stands_where_it_is_declared_and_nothing_else_changes() {
        let body = format!(
            "{{ \"z\" : 1.50, \"a\":[{{\"pass/word\": \"{TEXT}\"}}],\"second\":\"{TEXT}\", \"b\":null}}\n"
        );
        let sent = filled(login().header("x-admin", TEXT), &body).unwrap();
        assert_eq!(
            sent.body,
            "{ \"z\" : 1.50, \"a\":[{\"pass/word\": \"p\\\"s & s\"}],\"second\":\"p\\\"s & s\", \"b\":null}\n"
        );
        assert_eq!(sent.parts.headers["x-admin"], "p\"s & s");
        assert!(sent.parts.headers["x-admin"].is_sensitive());
        for field in ["pass%20word", "pass word"] {
            let sent = filled(login(), &format!("user=me&{field}={TEXT}&x=1")).unwrap();
            assert_eq!(sent.body, format!("user=me&{field}=p%22s%20%26%20s&x=1"));
        }
        let sent = filled(login(), "nothing to do").unwrap();
        assert_eq!(sent.body, "nothing to do");
    }

    #[test]
    fn anywhere_else_it_is_refused_with_the_rule_that_is_missing() {
        let json = format!("{{\"second\":\"{TEXT}\"}}");
        let elsewhere = format!("{{\"q\\\"x\":[\"{TEXT}\"]}}");
        let cases = [
            (
                Request::put("https://a.example/users/7/login"),
                json.as_str(),
                "method = \"PUT\"",
            ),
            (
                Request::post("https://a.example/users/7/log"),
                &json,
                "path = \"/users/7/log\"",
            ),
            (
                Request::post("https://a.example/users/7/x/login"),
                &json,
                "path = \"/users/7/x/login\"",
            ),
            (
                Request::post("https://a.example/users//login"),
                &json,
                "path = \"/users//login\"",
            ),
            (login(), &elsewhere, "json-pointer = \"/q\\\"x/0\""),
            (login().header("x-other", TEXT), "", "header = \"x-other\""),
            (login(), &format!("user={TEXT}"), "form-field = \"user\""),
        ];
        for (request, body, rule) in cases {
            match filled(request, body) {
                Err(NotPlaced::Refused(refusal)) => {
                    let grant = refusal.grant.unwrap();
                    assert!(grant.contains(rule), "{rule}: {grant}");
                    assert!(grant.starts_with("[[targets.a.secrets.admin.places]]"), "{grant}");
                }
                other => panic!("{rule}: {}", other.is_ok()),
            }
        }
    }

    #[test]
    fn the_missing_rule_can_be_pasted() {
        let Err(NotPlaced::Refused(refusal)) = filled(login(), &format!("{{\"q\\\"\\u0001x\":\"{TEXT}\"}}"))
        else {
            panic!("not refused")
        };
        let document = format!(
            "[targets.a]\nconnector = \"c\"\nsettings = {{ p = {{ secret = \"admin\" }} }}\n[[targets.a.grants.http]]\nscheme = \"https\"\n\
             host = \"a.example\"\n[targets.a.secrets.admin]\nvalue = {{ env = \"A\" }}\n{}",
            refusal.grant.unwrap()
        );
        // The document's own rule against control characters is the only one that may stop it.
        let error = parse("t.toml", &document).unwrap_err().to_string();
        assert!(error.contains("control characters"), "{error}");
    }

    #[test]
    fn what_no_rule_allows_is_refused() {
        let bodies = [
            format!("{{\"second\":\"Bearer {TEXT}\"}}"),
            format!("{{\"{TEXT}\":1}}"),
            // A body that two readers read in two ways.
            format!("{{\"second\":\"{TEXT}\",\"second\":\"{TEXT}\"}}"),
            format!(
                "{{\"other\":\"{TEXT}\",\"other\":1,\"second\":\"\\u0075{}\"}}",
                &TEXT[1..]
            ),
            format!("{{\"second\":\"{TEXT}\",\"second\":\"\\u0075{}\"}}", &TEXT[1..]),
            format!("[\"{TEXT}\"").repeat(3),
            format!("<password>{TEXT}</password>"),
            format!("pass word={TEXT}x"),
            TEXT.to_owned(),
            format!("pass word=a{TEXT}"),
            format!("[{}]", vec![format!("\"{TEXT}\""); 100].join(",")),
        ];
        for body in bodies {
            let refused = filled(login(), &body);
            assert!(matches!(refused, Err(NotPlaced::Refused(_))), "{body}");
        }
        for request in [
            Request::post(format!("https://a.example/users/7/login?{TEXT}")),
            Request::post(format!("https://a.example/users/{TEXT}/login")),
            login().header("x-admin", format!("Bearer {TEXT}")),
            login().header(TEXT, "1"),
        ] {
            assert!(matches!(filled(request, ""), Err(NotPlaced::Refused(_))));
        }
    }

    fn refused(result: Result<Sent, NotPlaced>) -> Refusal {
        match result {
            Err(NotPlaced::Refused(refusal)) => refusal,
            Err(NotPlaced::Unusable(why)) => panic!("{why}"),
            Ok(sent) => panic!("sent: {}", sent.body),
        }
    }

    #[test]
    fn a_request_that_may_become_one_with_another_method_gets_none() {
        let json = format!("{{\"second\":\"{TEXT}\"}}");
        let form = format!("pass word={TEXT}");
        assert!(filled(login().header("x-http-method-override", "post"), &json).is_ok());
        for (request, body) in [
            (login().header("X-HTTP-Method-Override", "DELETE"), json.clone()),
            (login().header("X-HTTP-Method", "put"), form.clone()),
            (login().header("X-Method-Override", "a b"), json.clone()),
            (
                login().header("x-method-override", "GET").header("x-admin", TEXT),
                String::new(),
            ),
            (
                Request::post("https://a.example/users/7/login?a=1&_method=PUT"),
                json.clone(),
            ),
            (
                Request::post("https://a.example/users/7/login?%5Fmethod=PUT"),
                json,
            ),
            (
                Request::post("https://a.example/users/7/login?a=1;_method=PUT"),
                form.clone(),
            ),
            (
                Request::post("https://a.example/users/7/login?%20_method=PUT"),
                form.clone(),
            ),
            (login(), format!("_method=PUT&{form}")),
            (login(), format!("{form}&x;_method=PUT")),
            (login(), format!("+_method=PUT&{form}")),
            (login(), format!("+method=PUT&{form}")),
            (login(), format!(".method=PUT&{form}")),
            (login(), format!("[method=PUT&{form}")),
            (login(), format!("%5bmethod=PUT&{form}")),
            (login(), format!("_method[]=PUT&{form}")),
            (login(), format!("{{\" .method\":\"PUT\",\"second\":\"{TEXT}\"}}")),
            (login(), format!("{{\"_method\":\"PUT\",\"second\":\"{TEXT}\"}}")),
        ] {
            let refusal = refused(filled(request, &body));
            assert!(
                refusal.what.contains("another method"),
                "{body}: {}",
                refusal.what
            );
        }
    }

    #[test]
    fn none_goes_in_the_clear_unless_its_place_says_so() {
        let parts = |body: &str| {
            let request = Request::post("http://a.example/users/7/login").header(CONTENT_TYPE, body);
            request.body(()).unwrap().into_parts().0
        };
        let body = format!("{{\"second\":\"{TEXT}\"}}");
        let refusal = refused(filled_as_it_is(
            HttpScheme::Http,
            parts("application/json"),
            &body,
        ));
        assert!(refusal.what.ends_with("in the clear"), "{}", refusal.what);
        assert!(refusal.grant.unwrap().contains("\nscheme = \"http\"\n"));
        assert!(filled_as_it_is(HttpScheme::Https, parts("application/json"), &body).is_ok());
    }

    #[test]
    fn a_body_must_be_of_the_kind_it_says() {
        let json = format!("{{\"second\":\"{TEXT}\"}}");
        let form = format!("pass word={TEXT}");
        for (kind, body) in [
            ("application/json; charset=UTF-8", &json),
            ("application/scim+json", &json),
            ("application/x-www-form-urlencoded;charset=\"utf-8\"", &form),
        ] {
            assert!(filled(login().header(CONTENT_TYPE, kind), body).is_ok(), "{kind}");
        }
        for (kind, body) in [
            ("application/json", &form),
            ("application/x-www-form-urlencoded", &json),
            ("text/plain", &json),
            ("multipart/form-data; boundary=x", &form),
            ("application/json; charset=utf-7", &json),
            ("", &json),
        ] {
            refused(filled(login().header(CONTENT_TYPE, kind), body));
        }
        let twice = login()
            .header(CONTENT_TYPE, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        refused(filled(twice, &json));
        // Also where the secret stands in a header.
        for (kind, body) in [
            ("text/plain", "_method=PUT"),
            ("multipart/form-data; boundary=x", "--x"),
            ("application/json", "{"),
            ("application/x-www-form-urlencoded", "a\r\n\r\nb"),
        ] {
            let request = login().header("x-admin", TEXT).header(CONTENT_TYPE, kind);
            refused(filled(request, body));
        }
        let without = login().body(()).unwrap().into_parts().0;
        refused(filled_as_it_is(HttpScheme::Https, without, &json));
    }

    #[test]
    fn without_placeholders_nothing_is_looked_for() {
        let endpoint = Endpoint {
            scheme: HttpScheme::Https,
            host: "a.example".to_owned(),
            port: 443,
        };
        assert!(Places::new("a", &endpoint, &Placeholders::default()).is_none());
    }

    #[test]
    fn a_secret_that_cannot_stand_in_a_header_is_not_sent() {
        let placeholders = placeholders();
        let endpoint = Endpoint {
            scheme: HttpScheme::Https,
            host: "a.example".to_owned(),
            port: 443,
        };
        let mut parts = login().header("x-admin", TEXT).body(()).unwrap().into_parts().0;
        let secrets = BTreeMap::from([(
            placeholders.texts.keys().next().unwrap(),
            SecretString::new("a\nb"),
        )]);
        let places = Places::new("a", &endpoint, &placeholders).unwrap();
        let error = places.fill(&mut parts, Bytes::new(), &secrets).unwrap_err();
        assert!(matches!(error, NotPlaced::Unusable(_)));
        assert_eq!(parts.headers["x-admin"], TEXT);
    }
}
