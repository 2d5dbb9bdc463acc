//! Why a person has an account, or why not.

use usher_engine::views::{WhyRole, WhyView};

use super::account::{account_style, chain, identity_style, notes, person, queued, steps, wanted};
use super::escape::{message, safe, value};
use super::identity::heading;
use super::ink::{Ink, Style};
use super::timeline::timeline;

/// The answer as text.
pub(crate) fn why(view: &WhyView, ink: &Ink) -> String {
    let who = ink.paint(Style::Bold, &person(&view.key, view.name.as_deref()));
    let slot = view.slot.to_string();
    let mut out = format!(
        "{who}  {}\n{}  {}, wanted {}\n\n{}\n",
        ink.paint(
            identity_style(view.identity_state),
            &view.identity_state.to_string()
        ),
        ink.paint(Style::Bold, &slot),
        ink.paint(account_style(view.state), &view.state.to_string()),
        wanted(view.desired),
        message(&view.answer),
    );
    if !view.chain.is_empty() {
        out.push_str(&format!("  {}\n", chain(&view.chain)));
    }
    out.push_str(&heading("Roles that give this account", ink));
    if view.roles.is_empty() {
        out.push_str("  none: no role of the policy names it\n");
    }
    for one in &view.roles {
        out.push_str(&role(one, ink));
    }
    if !view.steps.is_empty() {
        out.push_str(&heading("Still to do", ink));
        out.push_str(&steps(&view.steps, &slot, &[], 2, ink));
    }
    if !view.open.is_empty() {
        out.push_str(&heading("In the queue", ink));
        for operation in &view.open {
            out.push_str(&queued(operation, 2, ink));
        }
    }
    if !view.notes.is_empty() {
        out.push('\n');
        out.push_str(&notes(&view.notes, 0, ink));
    }
    out.push_str(&heading("What happened to it", ink));
    out.push_str(&timeline(&view.timeline, ink));
    out
}

fn role(role: &WhyRole, ink: &Ink) -> String {
    let (mark, style) = match role.holds {
        Some(true) => ("yes", Style::Good),
        Some(false) if role.announced => ("not yet", Style::Warn),
        Some(false) => ("no ", Style::Dim),
        None => ("?  ", Style::Bad),
    };
    let mut out = format!(
        "  {} {}  {}\n",
        ink.paint(style, mark),
        role.name,
        message(
            role.rule
                .as_deref()
                .unwrap_or("no rule: by assignment, or with another role")
        )
    );
    if !role.reads.is_empty() {
        let reads = role
            .reads
            .iter()
            .map(|(name, one)| format!("{}={}", safe(name), value(one)));
        out.push_str(&format!(
            "      {}\n",
            ink.paint(Style::Dim, &reads.collect::<Vec<_>>().join(", "))
        ));
    }
    if let Some(error) = &role.error {
        out.push_str(&format!("      {}\n", ink.paint(Style::Bad, &message(error))));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn the_answer_comes_first_then_its_reasons() {
        insta::assert_snapshot!(why(&samples::why(), &Ink::plain()));
    }
}
