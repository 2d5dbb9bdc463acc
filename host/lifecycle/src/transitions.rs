//! Which states may follow which, printed for the docs: [`markdown`] is `host/lifecycle/TRANSITIONS.md`.

use crate::plan::work_markdown;
use crate::state::IdentityState;
use crate::table;

/// How one state of an identity follows another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Time passes.
    Time(&'static str),
    /// Only when facts change: what the sources said before is no longer so.
    Facts(&'static str),
    /// Only when a person asks for it.
    Person(&'static str),
}

/// How `to` follows `from`; `None` when it never does.
pub const fn transition(from: IdentityState, to: IdentityState) -> Option<Transition> {
    use IdentityState::{Active, Departed, Erased, Leaving, Staged, Suspended};
    use Transition::{Facts, Person, Time};
    Some(match (from, to) {
        (Staged, Staged)
        | (Active, Active)
        | (Suspended, Suspended)
        | (Leaving, Leaving)
        | (Departed, Departed)
        | (Erased, Erased) => return None,
        // What is erased stays so: whoever comes back is a new identity.
        (Erased, Staged | Active | Suspended | Leaving | Departed) => return None,
        (Staged | Active | Suspended | Leaving, Erased) => return None,

        (Staged, Active) => Time("a contract starts"),
        (Staged, Suspended) => Time("a contract starts, during leave or a hold"),
        (Staged, Leaving) => Time("a contract starts that contradicts itself, or is over before it began"),
        (Staged, Departed) => Time("a contract is over before it began, without retention"),

        (Active, Staged) => Facts("every start is put off"),
        (Active, Suspended) => Time("leave or a hold begins"),
        (Active, Leaving) => Time("the last contract that runs ends"),
        (Active, Departed) => Time("the last contract that runs ends, without retention"),

        (Suspended, Staged) => Facts("every start is put off"),
        (Suspended, Active) => Time("leave or hold is over"),
        (Suspended, Leaving) => Time("the last contract that runs ends"),
        (Suspended, Departed) => Time("the last contract that runs ends, without retention"),

        (Leaving, Staged) => Facts("nothing has ended any more, because an end or a start is put off"),
        (Leaving, Active) => Time("another contract starts (a rehire)"),
        (Leaving, Suspended) => Time("another contract starts, during leave or a hold"),
        (Leaving, Departed) => Time("retention is over"),

        (Departed, Staged) => Facts("nothing has ended any more, because an end or a start is put off"),
        (Departed, Active) => Time("another contract starts (a rehire)"),
        (Departed, Suspended) => Time("another contract starts, during leave or a hold"),
        (Departed, Leaving) => Time("a contract starts that contradicts itself"),
        (Departed, Erased) => Person("no account is left, and a person erases"),
    })
}

/// All tables as Markdown with a Mermaid diagram, made from the code.
pub fn markdown() -> String {
    format!(
        "# States and what follows them\n\n\
         Made by `usher_lifecycle::transitions::markdown`; a test holds this file and the code together.\n\n\
         ## Identities\n\n\
         What time alone does, and what only a person does. The state is derived from facts, so a corrected fact may lead from any state but\n\
         *erased* to any other but that.\n\n\
         ```mermaid\n{}```\n\n{}\n\
         ## Accounts\n\n\
         *Retained* is suspended and stripped of entitlements. *Absent* is reached by disabling first. The next step:\n\n{}\n\
         The whole way, for an account whose attributes and entitlements all differ from what is wanted:\n\n{}",
        diagram(),
        matrix(),
        table::markdown(),
        work_markdown()
    )
}

fn diagram() -> String {
    let mut text = String::from("stateDiagram-v2\n    [*] --> staged: a source names somebody new\n");
    for (from, to, transition) in all() {
        match transition {
            Transition::Time(why) | Transition::Person(why) => {
                text += &format!("    {from} --> {to}: {why}\n");
            }
            Transition::Facts(_) => {}
        }
    }
    text + "    erased --> [*]\n"
}

fn matrix() -> String {
    let mut text = String::from("| from | to | when |\n|---|---|---|\n");
    for (from, to, transition) in all() {
        let when = match transition {
            Transition::Time(why) | Transition::Person(why) => why.to_owned(),
            Transition::Facts(why) => format!("*only when facts change:* {why}"),
        };
        text += &format!("| {from} | {to} | {when} |\n");
    }
    text
}

/// Every transition there is, in the order of a life.
fn all() -> impl Iterator<Item = (IdentityState, IdentityState, Transition)> {
    IdentityState::ALL.into_iter().flat_map(|from| {
        let follows = move |to| Some((from, to, transition(from, to)?));
        IdentityState::ALL.into_iter().filter_map(follows)
    })
}

#[cfg(test)]
mod tests;
