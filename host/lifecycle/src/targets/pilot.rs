//! A target in its pilot: `pilot = "identity.department == 'IT'"` names the people for whom anything is done there.
//!
//! The expression is about people, so the policy says what it may read: it is kept as text and compiled against the policy it is used with.

use std::collections::BTreeMap;

use super::Targets;
use crate::document::item::Item;
use crate::document::{DocumentError, DocumentErrors};
use crate::expr::{Rule, SOURCE_BYTES_MAX, Strictness};
use crate::name::TargetName;
use crate::policy::Policy;

/// The pilot of a target, as its document gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PilotText {
    expression: String,
    line: usize,
    column: usize,
}

impl PilotText {
    /// The expression.
    pub fn expression(&self) -> &str {
        &self.expression
    }
}

pub(super) fn read_pilot(item: &Item<'_, '_>) -> Option<PilotText> {
    let expression = item.text()?;
    if expression.trim().is_empty() || expression.len() > SOURCE_BYTES_MAX {
        item.mistake(format!(
            "must be an expression of at most {SOURCE_BYTES_MAX} bytes, like \"identity.department == 'IT'\""
        ));
        return None;
    }
    let place = item.place();
    Some(PilotText {
        expression: expression.to_owned(),
        line: place.line,
        column: place.column,
    })
}

impl Targets {
    /// The pilots of all targets, ready to be asked. `file` is the targets document, shown in errors. `strictly`: the document is to come into
    /// force, so also what fails, or is never true, for some people is a mistake.
    ///
    /// # Errors
    /// Every mistake found, in the order of their lines: an attribute that no source of the policy has, an expression that is none.
    pub fn pilots(
        &self,
        policy: &Policy,
        file: &str,
        strictly: bool,
    ) -> Result<BTreeMap<TargetName, Rule>, DocumentErrors> {
        let strictness = if strictly {
            Strictness::New
        } else {
            Strictness::Stored
        };
        let (mut pilots, mut errors) = (BTreeMap::new(), Vec::new());
        for (target, text) in &self.pilots {
            let path = format!("targets.{target}.pilot");
            match Rule::compile_as(&path, &text.expression, &policy.declared, strictness) {
                Ok(rule) => drop(pilots.insert(target.clone(), rule)),
                Err(mistakes) => errors.extend(mistakes.into_iter().map(|mistake| DocumentError {
                    file: file.to_owned(),
                    line: text.line,
                    column: text.column,
                    path: path.clone(),
                    expression: Some(text.expression.clone()),
                    message: mistake.message,
                })),
            }
        }
        if errors.is_empty() {
            return Ok(pilots);
        }
        errors.sort_by_key(|error| (error.line, error.column));
        Err(DocumentErrors(errors))
    }
}

#[cfg(test)]
mod tests {
    use crate::policy;
    use crate::targets::parse;

    const POLICY: &str =
        "zone = 'UTC'\n[sources.hr]\nkey = 'id'\n[sources.hr.columns]\nid = { attribute = 'department' }\n";

    fn check(pilot: &str) -> Result<Vec<String>, String> {
        let policy = policy::parse("policy.toml", POLICY).unwrap();
        let text = format!(
            "[targets.app]\nconnector = 'sql'\npilot = {pilot}\n[targets.other]\nconnector = 'sql'\n"
        );
        let targets = parse("targets.toml", &text).map_err(|errors| errors.to_string())?;
        let pilots = targets
            .pilots(&policy, "targets.toml", true)
            .map_err(|errors| errors.to_string())?;
        Ok(pilots
            .iter()
            .map(|(target, rule)| format!("{target}: {}", rule.source()))
            .collect())
    }

    #[test]
    fn a_pilot_is_an_expression_about_people_of_the_policy() {
        assert_eq!(
            check(r#""has(identity.department) && identity.department == 'IT'""#).unwrap(),
            ["app: has(identity.department) && identity.department == 'IT'"]
        );
        let wrong = [
            r#""identity.departmnt == 'IT'""#,
            r#""identity.department""#,
            r#""identity.department == 7""#,
            "''",
            "true",
        ];
        let errors: Vec<String> = wrong.iter().map(|pilot| check(pilot).unwrap_err()).collect();
        insta::assert_snapshot!(errors.join("\n"));
    }
}
