//! Stand-ins for secrets. A connector that must send a secret finds in its settings a random text in its place, new for each call; the host
//! puts the secret there when the request leaves, at the declared places only ([`crate::http`] does that). The text is worth nothing anywhere else.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use usher_lifecycle::name::Name;
use usher_lifecycle::targets::{DeclaredSecret, Target, secret_named};

use crate::secrets::{PLACEHOLDER_BYTES, Secrets};

/// What every placeholder begins with: says to whoever meets one what it is.
const PREFIX: &str = "usher-secret-";

/// The settings of a target, with holes where secrets are meant.
pub(crate) struct Settings {
    document: Value,
    /// As text, where there are no holes: that is the same for every call.
    plain: Option<Arc<str>>,
    declared: Arc<BTreeMap<Name, DeclaredSecret>>,
    secrets: Arc<dyn Secrets>,
}

/// The placeholders of one call.
#[derive(Clone, Default)]
pub(crate) struct Placeholders {
    pub(crate) texts: BTreeMap<Name, String>,
    pub(crate) declared: Arc<BTreeMap<Name, DeclaredSecret>>,
}

impl Settings {
    pub(crate) fn new(target: &Target, secrets: Arc<dyn Secrets>) -> Self {
        let plain = target.secrets.is_empty();
        Self {
            document: target.settings.clone(),
            plain: plain.then(|| target.settings.to_string().into()),
            declared: Arc::new(target.secrets.clone()),
            secrets,
        }
    }

    /// The settings for one call as JSON, and the placeholders in them.
    pub(crate) fn for_call(&self) -> (Arc<str>, Placeholders) {
        match &self.plain {
            Some(text) => (Arc::clone(text), Placeholders::default()),
            None => {
                let placeholders = self.placeholders();
                let document = filled(&self.document, &placeholders.texts);
                (document.to_string().into(), placeholders)
            }
        }
    }

    /// The settings as a call could get them: what the connector's schema is held against.
    pub(crate) fn example(&self) -> Value {
        filled(&self.document, &self.placeholders().texts)
    }

    fn placeholders(&self) -> Placeholders {
        let texts = self.declared.keys().map(|name| {
            let bytes: [u8; PLACEHOLDER_BYTES] = self.secrets.placeholder_bytes();
            let random: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            (name.clone(), format!("{PREFIX}{random}"))
        });
        Placeholders {
            texts: texts.collect(),
            declared: Arc::clone(&self.declared),
        }
    }
}

fn filled(value: &Value, texts: &BTreeMap<Name, String>) -> Value {
    let named = secret_named(value).and_then(|name| texts.iter().find(|(known, _)| known.as_str() == name));
    match (named, value) {
        (Some((_, text)), _) => Value::String(text.clone()),
        (None, Value::Object(members)) => members
            .iter()
            .map(|(name, value)| (name.clone(), filled(value, texts)))
            .collect(),
        (None, Value::Array(items)) => items.iter().map(|item| filled(item, texts)).collect(),
        (None, Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use usher_lifecycle::targets::parse;

    use super::*;
    use crate::secrets::FixedSecrets;

    #[test]
    fn each_call_gets_placeholders_of_its_own() {
        let text = "[targets.a]\nconnector = \"c\"\nsettings = { url = \"x\", login = [{ password = { secret = \"admin\" } }] }\n\
            [[targets.a.grants.http]]\nscheme = \"https\"\nhost = \"a.example\"\n\
            [targets.a.secrets.admin]\nvalue = { env = \"A\" }\n\
            [[targets.a.secrets.admin.places]]\nmethod = \"POST\"\npath = \"/login\"\njson-pointer = \"/password\"\n";
        let target = parse("t.toml", text).unwrap().targets.pop_first().unwrap().1;
        let settings = Settings::new(&target, Arc::new(FixedSecrets::none()));
        let read = || {
            let (text, placeholders) = settings.for_call();
            let document: Value = serde_json::from_str(&text).unwrap();
            let placed = document["login"][0]["password"].as_str().unwrap().to_owned();
            assert_eq!(placeholders.texts.values().collect::<Vec<_>>(), [&placed]);
            assert_eq!(document["url"], "x");
            placed
        };
        let (first, second) = (read(), read());
        assert!(
            first.starts_with(PREFIX) && first.len() == PREFIX.len() + 32,
            "{first}"
        );
        assert_ne!(first, second);
    }
}
