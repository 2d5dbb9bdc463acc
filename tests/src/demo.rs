//! The demo: three days of an HR file, played with the commands a user has, with a kill in the middle. The end-to-end test
//! plays the same steps and looks at every account after each.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::rehearsal::{DAYS, Day, Rehearsal, SET_UP, import_arguments};

/// After so many users in the directory the host is killed: early enough that most of the work is still to do.
const KILL_AFTER_USERS: usize = 60;
/// SIGKILL.
const KILLED: i32 = 9;
/// Lines of an answer that are shown; the rest is counted.
const SHORT: usize = 14;
/// Lines of an answer that is worth reading whole.
const WHOLE: usize = 40;

/// What the demo tells the one who watches.
#[derive(Clone, Copy, Debug)]
pub enum Scene<'a> {
    /// A new part begins.
    Part(&'a str),
    /// A command, as typed.
    Command(&'a str),
    /// What it printed, and how many lines of it to show.
    Answer(&'a str, usize),
    /// What there is to see.
    Note(&'a str),
}

/// Who watches.
pub trait Audience {
    /// Something happened.
    fn see(&mut self, scene: Scene<'_>);
    /// A day is over: its accounts are as they must be, or this fails.
    fn day_over(&mut self, days: usize, rehearsal: &Rehearsal) -> anyhow::Result<()>;
}

/// Plays it all.
pub fn play(rehearsal: &Rehearsal, audience: &mut impl Audience) -> anyhow::Result<()> {
    let mut stage = Stage { rehearsal, audience };
    stage.set_up()?;
    stage.first_day()?;
    stage.killed_and_taken_up_again()?;
    stage.over(1)?;
    stage.second_day()?;
    stage.over(2)?;
    stage.third_day()?;
    stage.over(3)?;
    stage.questions()
}

struct Stage<'a, A> {
    rehearsal: &'a Rehearsal,
    audience: &'a mut A,
}

impl<A: Audience> Stage<'_, A> {
    fn set_up(&mut self) -> anyhow::Result<()> {
        self.part("Setting up: a data folder, two connectors, two documents");
        SET_UP
            .iter()
            .try_for_each(|arguments| self.run(arguments, SHORT).map(drop))
    }

    fn first_day(&mut self) -> anyhow::Result<()> {
        self.part("Monday 2 March: the first HR file");
        self.import(DAYS[0])?;
        self.run(&["plan"], SHORT)?;
        Ok(())
    }

    fn killed_and_taken_up_again(&mut self) -> anyhow::Result<()> {
        self.part("Applying, and pulling the plug");
        self.audience.see(Scene::Command("usher apply"));
        let mut process = self.rehearsal.start(&["apply"])?;
        let came_so_far = self.rehearsal.directory.await_creations(KILL_AFTER_USERS);
        process.kill().context("killing usher")?;
        let ended = process.wait()?;
        ensure!(
            came_so_far,
            "usher made fewer than {KILL_AFTER_USERS} users in the directory"
        );
        ensure!(
            ended.signal() == Some(KILLED),
            "usher had ended before it could be killed: {ended}"
        );
        let counts = Counts::of(self.rehearsal)?;
        self.note(&format!(
            "kill -9 after {} accounts in the directory and {} in the application, with calls under way",
            counts.directory, counts.application
        ));
        self.run(&["status"], WHOLE)?;
        self.note("What was under way is looked up in the targets before anything is written again.");
        self.run(&["apply", "--wait", "30"], SHORT)?;
        let counts = Counts::of(self.rehearsal)?;
        self.note(&format!(
            "{} accounts in the directory, {} in the application; each was made exactly once, by their own journals",
            counts.directory, counts.application
        ));
        self.nothing_left()
    }

    fn second_day(&mut self) -> anyhow::Result<()> {
        self.part("Tuesday 3 March: joiners, movers, leavers, a leave, a new name");
        self.import(DAYS[1])?;
        self.run(&["plan", "--out", "tuesday.plan"], WHOLE)?;
        self.run(&["apply", "tuesday.plan", "--wait", "30"], SHORT)?;
        self.note("A saved plan is done once, exactly; it is refused when anything has changed since:");
        self.run_expecting(&["apply", "tuesday.plan"], &[4], SHORT)?;
        self.nothing_left()
    }

    fn third_day(&mut self) -> anyhow::Result<()> {
        self.part("Wednesday 15 April: six weeks later");
        self.import(DAYS[2])?;
        self.run(&["plan"], WHOLE)?;
        self.run(&["apply", "--wait", "30"], SHORT)?;
        self.nothing_left()
    }

    fn questions(&mut self) -> anyhow::Result<()> {
        self.part("Asking why");
        self.run(&["identity", "show", "E1029"], WHOLE)?;
        self.run(&["why", "E1029", "app"], WHOLE)?;
        self.run(&["why", "E1010", "directory"], WHOLE)?;
        self.run(&["audit", "verify"], SHORT)?;
        self.run(&["status"], WHOLE)?;
        Ok(())
    }

    /// The further plan is empty, and nothing was done twice.
    fn nothing_left(&mut self) -> anyhow::Result<()> {
        self.run(&["plan"], SHORT)?;
        let plan = self.rehearsal.json(&["plan"])?;
        ensure!(
            operations_of(&plan)? == 0,
            "there is still something to do: {plan}"
        );
        nothing_doubled(self.rehearsal)
    }

    fn import(&mut self, day: Day) -> anyhow::Result<()> {
        self.run(&import_arguments(&day), SHORT).map(drop)
    }

    fn run(&mut self, arguments: &[&str], lines: usize) -> anyhow::Result<String> {
        self.run_expecting(arguments, &[0], lines)
    }

    fn run_expecting(&mut self, arguments: &[&str], codes: &[i32], lines: usize) -> anyhow::Result<String> {
        self.audience
            .see(Scene::Command(&format!("usher {}", arguments.join(" "))));
        let output = self.rehearsal.run(arguments)?;
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        self.audience.see(Scene::Answer(&text, lines));
        match output.status.code() {
            Some(code) if codes.contains(&code) => Ok(text),
            _ => bail!(
                "usher {} ended with {}:\n{text}",
                arguments.join(" "),
                output.status
            ),
        }
    }

    fn over(&mut self, days: usize) -> anyhow::Result<()> {
        self.audience.day_over(days, self.rehearsal)
    }

    fn part(&mut self, title: &str) {
        self.audience.see(Scene::Part(title));
    }

    fn note(&mut self, text: &str) {
        self.audience.see(Scene::Note(text));
    }
}

/// Accounts in both systems.
struct Counts {
    directory: usize,
    application: usize,
}

impl Counts {
    fn of(rehearsal: &Rehearsal) -> anyhow::Result<Self> {
        let dump = rehearsal.directory.dump()?;
        // The administrator lived in the application before Usher came.
        let application = rehearsal.application.users()?.len() - 1;
        Ok(Self {
            directory: dump["users"].as_array().map_or(0, Vec::len),
            application,
        })
    }
}

/// How many operations a plan has, with those that are queued already.
pub fn operations_of(plan: &Value) -> anyhow::Result<u64> {
    let list = |name: &str| {
        plan[name]
            .as_array()
            .with_context(|| format!("the plan has no `{name}`: {plan}"))
    };
    let counted =
        |items: &[Value], name: &str| items.iter().filter_map(|item| item[name].as_u64()).sum::<u64>();
    Ok(counted(list("totals")?, "operations") + counted(list("accounts")?, "queued"))
}

/// Checks by the systems' own records that no account was made twice and none is there that was not made.
pub fn nothing_doubled(rehearsal: &Rehearsal) -> anyhow::Result<()> {
    let mut made: BTreeMap<(&str, String), u32> = BTreeMap::new();
    let seen = rehearsal.directory.seen()?;
    for name in seen.iter().filter_map(|request| request.created_user()) {
        *made.entry(("directory", name.to_owned())).or_default() += 1;
    }
    for event in rehearsal
        .application
        .history()?
        .into_iter()
        .filter(|event| event.what == "create")
    {
        *made.entry(("app", event.username)).or_default() += 1;
    }
    let doubled: Vec<_> = made.iter().filter(|(_, times)| **times > 1).collect();
    ensure!(
        doubled.is_empty(),
        "accounts were made more than once: {doubled:?}"
    );
    Ok(())
}
