//! Reads `depends-on`: in which order the accounts of a person are made.

use std::collections::{BTreeMap, BTreeSet};

use super::Target;
use crate::circle::circle;
use crate::document::hint::did_you_mean;
use crate::document::item::Item;
use crate::name::TargetName;

/// The targets one depends on, each once and in order. `names`: those of the document.
pub(super) fn read_depends_on(item: &Item<'_, '_>, names: &[String]) -> Option<Vec<TargetName>> {
    let mut all = BTreeSet::new();
    let mut whole = true;
    for item in item.list()? {
        let Some(text) = item.text() else {
            whole = false;
            continue;
        };
        match text.parse::<TargetName>() {
            Ok(name) if names.iter().any(|known| known == text) => drop(all.insert(name)),
            Ok(_) | Err(_) => {
                let hint = did_you_mean(text, names.iter());
                item.mistake(format!("there is no target `{text}` in this document{hint}"));
                whole = false;
            }
        }
    }
    whole.then(|| all.into_iter().collect())
}

/// Refuses targets that depend on themselves, through others too: no account would ever be made. `entries`: the targets of the document.
pub(super) fn refuse_circle(
    targets: &BTreeMap<TargetName, Target>,
    entries: &[(&str, Item<'_, '_>)],
) -> Option<()> {
    let depends: BTreeMap<&TargetName, BTreeSet<&TargetName>> = targets
        .values()
        .map(|target| (&target.name, target.depends_on.iter().collect()))
        .collect();
    let Some(members) = circle(&depends) else {
        return Some(());
    };
    let at = members
        .first()
        .and_then(|first| entries.iter().find(|(name, _)| *name == first.as_str()));
    let way: Vec<&str> = members.iter().map(|name| name.as_str()).collect();
    if let Some((_, item)) = at {
        item.mistake_of_key(format!("depends on itself: {}", way.join(" → ")));
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::targets::parse;

    fn targets(each: &[(&str, &str)]) -> String {
        each.iter()
            .map(|(name, on)| format!("[targets.{name}]\nconnector = 'sql'\ndepends-on = [{on}]\n"))
            .collect()
    }

    #[test]
    fn targets_depend_on_targets_of_the_document_and_never_on_themselves() {
        let read = parse("t.toml", &targets(&[("mail", "'app', 'app'"), ("app", "")])).unwrap();
        let on: Vec<_> = read
            .targets
            .values()
            .map(|target| target.depends_on.len())
            .collect();
        assert_eq!(on, [0, 1]);
        let unknown = parse("t.toml", &targets(&[("mail", "'ap'"), ("app", "")])).unwrap_err();
        insta::assert_snapshot!(unknown.to_string(), @r#"t.toml:3:15: targets.mail.depends-on[0]: there is no target `ap` in this document; did you mean `app`?"#);
        let round = parse(
            "t.toml",
            &targets(&[("mail", "'app'"), ("app", "'wiki'"), ("wiki", "'mail'")]),
        )
        .unwrap_err();
        insta::assert_snapshot!(round.to_string(), @r#"t.toml:4:10: targets.app: depends on itself: app → wiki → mail → app"#);
    }
}
