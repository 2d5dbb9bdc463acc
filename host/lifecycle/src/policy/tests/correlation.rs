use super::*;
use crate::name::Name;
use crate::policy::{
    MissingReaction, Reactions, UnlinkedReaction, UnmatchedReaction, check_against, check_schemas,
};
use crate::schema::AccountSchema;

const SOURCES: &str = r#"zone = "UTC"
[sources.hr]
key = "id"
[sources.hr.columns]
id = { attribute = "id" }
mail = { attribute = "mail" }
"#;

fn mistakes(rules: &str) -> Vec<String> {
    let text = format!("{SOURCES}{rules}");
    let errors = parse_strictly("p", &text).unwrap_err();
    errors.0.iter().map(ToString::to_string).collect()
}

#[test]
fn every_mistake_in_rules_and_reactions_names_its_place() {
    let rules = r#"[[correlation.app]]
exact = { mail = "identity.mial" }
[[correlation.app]]
exact = {}
[[correlation.app]]
weighted = [{ account = "mail", identity = "identity.mail", weight = 50 }]
link = 60
ask = 40
[[correlation.app]]
weighted = [{ account = "mail", identity = "identity.mail", weight = 50 }]
link = 40
ask = 45
[[correlation.app]]
weighted = [{ account = "", identity = "identity.mail", weight = 0, odd = 1 }]
link = 1
[[correlation.app]]
[reactions.app]
unmatched = "delete"
disputed = "link"
unmatched-max = -1
odd = 1
[reactions.A]
"#;
    insta::assert_snapshot!(mistakes(rules).join("\n"));
    assert!(mistakes("[correlation]\nApp = []\n")[0].contains("must be a target"));
    assert!(mistakes("[correlation]\napp = []\n")[0].contains("from 1 to 20 rules"));
}

#[test]
fn everything_is_only_reported_unless_said() {
    let quiet = parse("p", SOURCES).unwrap();
    let app: Name = "app".parse().unwrap();
    assert_eq!(quiet.reactions(&app), Reactions::default());
    assert_eq!(quiet.correlation_of(&app).count(), 0);
    let text = format!(
        "{SOURCES}[reactions.app]\nunlinked = \"link\"\nunmatched = \"disable\"\nunmatched-max = 3\nmissing = \"create\"\n\
         ambiguous = \"report\"\ndisputed = \"report\"\n"
    );
    assert_eq!(
        parse_strictly("p", &text).unwrap().reactions(&app),
        Reactions {
            unlinked: UnlinkedReaction::Link,
            unmatched: UnmatchedReaction::Disable,
            unmatched_max: 3,
            missing: MissingReaction::Create,
        }
    );
}

#[test]
fn rules_for_what_is_not_there_are_mistakes() {
    let text = format!(
        "{SOURCES}[[correlation.ap]]\nexact = {{ mail = \"identity.mail\" }}\n[[correlation.app]]\nexact = {{ maill = \"identity.mail\", \
         \"emails.value\" = \"identity.mail\" }}\n[[correlation.app]]\nexact = {{ pin = \"identity.mail\" }}\n[reactions.apq]\n"
    );
    let policy = parse_strictly("p", &text).unwrap();
    let targets = crate::targets::parse("t", "[targets.app]\nconnector = \"sim\"\n").unwrap();
    let errors = check_against(&policy, "p", &targets).unwrap_err();
    let schema =
        serde_json::json!({"properties": {"mail": {}, "emails": {}, "pin": {"x-usher-secret": true}}});
    let schema = AccountSchema::parse(&schema).unwrap();
    let schemas = [("app".parse().unwrap(), schema)].into_iter().collect();
    let more = check_schemas(&policy, "p", &schemas).unwrap_err();
    insta::assert_snapshot!(format!("{errors}\n{more}"));
}
