//! What a connector found when it tried its target.

use usher_lifecycle::connector::CheckReport;
use usher_lifecycle::name::TargetName;

use super::escape::{message, message_lines, word};
use super::ink::{Ink, Style};

/// The report as text.
pub(crate) fn check(target: &TargetName, report: &CheckReport, ink: &Ink) -> String {
    let mut out = format!("{}\n", ink.paint(Style::Bold, &format!("Target {target}")));
    for step in &report.steps {
        let mark = if step.ok {
            ink.paint(Style::Good, "ok    ")
        } else {
            ink.paint(Style::Bad, "failed")
        };
        out.push_str(&format!("  {mark}  {}", message(&step.name)));
        if !step.detail.is_empty() {
            out.push_str(&format!(": {}", message_lines(&step.detail, "          ")));
        }
        out.push('\n');
    }
    if report.permissions.is_empty() {
        out.push_str("  permissions: the connector could not tell\n");
    } else {
        let found: Vec<_> = report
            .permissions
            .iter()
            .map(|permission| word(permission))
            .collect();
        out.push_str(&format!("  permissions: {}\n", found.join(", ")));
    }
    out
}

#[cfg(test)]
mod tests {
    use usher_lifecycle::connector::CheckStep;

    use super::*;

    #[test]
    fn a_missing_grant_can_be_pasted() {
        let detail = "HTTP GET x is not granted; if it should be allowed, add:\n[[targets.app.grants.http]]\nhost = \"a.example\"\n";
        let report = CheckReport {
            steps: vec![CheckStep {
                name: "stay within the grants".into(),
                ok: false,
                detail: detail.into(),
            }],
            permissions: vec![],
        };
        let text = check(&"app".parse().unwrap(), &report, &Ink::plain());
        assert!(!text.contains("\\n"), "{text}");
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        assert_eq!(
            lines[2..4],
            ["[[targets.app.grants.http]]", "host = \"a.example\""],
            "{text}"
        );
    }

    #[test]
    fn steps_and_permissions() {
        let step = |name: &str, ok, detail: &str| CheckStep {
            name: name.into(),
            ok,
            detail: detail.into(),
        };
        let report = CheckReport {
            steps: vec![
                step("reach", true, ""),
                step("read users", false, "403\u{1b}[31m"),
            ],
            permissions: vec!["groups:read".into(), "all users".into()],
        };
        insta::assert_snapshot!(check(&"app".parse().unwrap(), &report, &Ink::plain()), @r#"
        Target app
          ok      reach
          failed  read users: 403\u{1b}[31m
          permissions: groups:read, "all users"
        "#);
    }
}
