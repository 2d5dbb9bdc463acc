//! Secrets and keys, by their names.

use usher_store::{KeyStatus, SecretInfo};

use super::ink::Ink;
use super::table::{Align, Table};

/// All secrets, by name.
pub(crate) fn secrets(secrets: &[SecretInfo], ink: &Ink) -> String {
    if secrets.is_empty() {
        return "The store holds no secret; set one with `usher secret set NAME`\n".to_owned();
    }
    let mut table = Table::new(&[
        ("name", Align::Left),
        ("version", Align::Right),
        ("set", Align::Left),
    ]);
    for secret in secrets {
        table.row([
            secret.name.to_string().into(),
            secret.version.to_string().into(),
            ink.time(secret.updated_at).into(),
        ]);
    }
    table.render_rows(0, ink)
}

/// Which keys there are.
pub(crate) fn keys(status: &KeyStatus, source: &str, ink: &Ink) -> String {
    let mut text = format!(
        "Key          {} (from {source})\nData key     since {}\n",
        status.fingerprint,
        ink.time(status.data_key_since)
    );
    if status.data_keys > 1 {
        text.push_str(
            "             a change of it was cut short: finish it with `usher key rotate --data-key`\n",
        );
    }
    match status.signing_key {
        Some(key) => text.push_str(&format!(
            "Signing key  {key} (public; checkpoints of the audit)\n"
        )),
        None => text.push_str("Signing key  none yet; the first checkpoint makes it\n"),
    }
    text.push_str("\nBackups do not hold the key: keep a copy of it where you do not keep them.\n");
    text
}

#[cfg(test)]
mod tests {
    use usher_store::OperatorKey;

    use super::*;

    #[test]
    fn secrets_are_listed_without_their_values() {
        let list = vec![SecretInfo {
            name: "app-token".parse().unwrap(),
            version: 3,
            updated_at: "2026-03-02T08:00:00Z".parse().unwrap(),
        }];
        insta::assert_snapshot!(secrets(&list, &Ink::plain()));
        insta::assert_snapshot!(secrets(&[], &Ink::plain()));
    }

    #[test]
    fn the_keys_by_their_names() {
        let status = KeyStatus {
            fingerprint: OperatorKey::from_bytes([7; 32]).fingerprint(),
            data_keys: 2,
            data_key_since: "2026-03-02T08:00:00Z".parse().unwrap(),
            signing_key: Some("ab".repeat(32).parse().unwrap()),
        };
        insta::assert_snapshot!(keys(&status, "the file usher-data/usher.key", &Ink::plain()));
    }
}
