//! Whether the secrets of a target can be had: told when it is loaded and when it is checked, in words that say what to do.

use std::sync::Arc;

use usher_lifecycle::connector::CheckStep;
use usher_lifecycle::targets::{SecretReference, Target};

use crate::http::SCANNED_BYTES_MIN;
use crate::secrets::Secrets;

/// Said of a secret that is good for the target but not for us.
const TOO_SHORT: &str = "too short for answers to be searched for it";

/// The secrets of one target, each with the key it stands under.
pub(crate) struct SecretCheck {
    target: String,
    references: Vec<(String, SecretReference)>,
    secrets: Arc<dyn Secrets>,
}

impl SecretCheck {
    pub(crate) fn new(target: &Target, secrets: Arc<dyn Secrets>) -> Self {
        let references = target.secret_references();
        Self {
            target: target.name.to_string(),
            references: references
                .into_iter()
                .map(|(key, reference)| (key, reference.clone()))
                .collect(),
            secrets,
        }
    }

    /// A step for each secret.
    pub(crate) async fn steps(&self) -> Vec<CheckStep> {
        let mut steps = Vec::with_capacity(self.references.len());
        for (key, reference) in &self.references {
            let found = self.secrets.resolve(reference).await;
            let (ok, detail) = match found {
                Err(why) => (false, format!("{reference}: {why}")),
                Ok(secret) if secret.expose().is_empty() => {
                    (false, format!("{reference}: it is empty; set it to the secret"))
                }
                Ok(secret) if secret.expose().len() < SCANNED_BYTES_MIN => (
                    true,
                    format!("{reference}: {TOO_SHORT}; use one of at least {SCANNED_BYTES_MIN} bytes"),
                ),
                Ok(_) => (true, reference.to_string()),
            };
            steps.push(CheckStep {
                name: format!("secret of {key}"),
                ok,
                detail,
            });
        }
        steps
    }

    /// Says what is wrong in the log. The target is loaded all the same: a secret may come later, and others have theirs.
    pub(crate) async fn warn(&self) {
        let target = self.target.as_str();
        for step in self.steps().await {
            let what = if step.ok {
                "has a secret that is too short"
            } else {
                "will not work"
            };
            if !step.ok || step.detail.contains(TOO_SHORT) {
                tracing::warn!(target, "target {target} {what}: {}: {}", step.name, step.detail);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::FixedSecrets;

    #[tokio::test]
    async fn each_secret_is_told_with_its_place_and_what_to_do() {
        let text = "[targets.a]\nconnector = \"c\"\nsettings = { p = { secret = \"admin\" } }\n\
            [[targets.a.grants.http]]\nscheme = \"https\"\nhost = \"a.example\"\n\
            [targets.a.http-auth.oauth2]\ntoken-url = \"https://l.example/t\"\nclient-id = \"u\"\nclient-secret = { env = \"C\" }\n\
            refresh-token = { store = \"refresh\" }\n\
            [targets.a.secrets.admin]\nvalue = { file = \"/run/admin\" }\n\
            [[targets.a.secrets.admin.places]]\nmethod = \"POST\"\npath = \"/x\"\nheader = \"X-A\"\n";
        let target = usher_lifecycle::targets::parse("t.toml", text).unwrap();
        let target = target.targets.into_values().next().unwrap();
        let secrets = FixedSecrets::none()
            .with("C", "long enough")
            .with("/run/admin", "12345");
        let steps = SecretCheck::new(&target, Arc::new(secrets)).steps().await;
        let told: Vec<_> = steps
            .iter()
            .map(|step| format!("{} {}: {}", step.ok, step.name, step.detail))
            .collect();
        assert_eq!(
            told,
            [
                "true secret of http-auth.oauth2.client-secret: { env = \"C\" }",
                "false secret of http-auth.oauth2.refresh-token: { store = \"refresh\" }: there is no secret `refresh`",
                "true secret of secrets.admin: { file = \"/run/admin\" }: too short for answers to be searched for it; use one of at least 6 bytes",
            ]
        );
        assert!(!format!("{steps:?}").contains("12345"));
    }
}
