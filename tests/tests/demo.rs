//! The demo's outcome, account by account, against what plain code works out from the HR files.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod expected;

use std::collections::BTreeMap;

use expected::{State, World};
use usher_tests::demo::{Audience, Scene, play};
use usher_tests::rehearsal::{DAYS, Rehearsal};

/// Looks at every account after each day.
#[derive(Default)]
struct Examiner {
    commands: Vec<String>,
    days: usize,
}

impl Audience for Examiner {
    fn see(&mut self, scene: Scene<'_>) {
        if let Scene::Command(command) = scene {
            self.commands.push(command.to_owned());
        }
    }

    fn day_over(&mut self, days: usize, rehearsal: &Rehearsal) -> anyhow::Result<()> {
        expected::after(days).assert_reached(rehearsal, &format!("after day {days}"));
        self.days += 1;
        Ok(())
    }
}

#[test]
fn three_days_with_a_kill_leave_exactly_the_accounts_there_should_be() {
    let folder = tempfile::tempdir().unwrap();
    let rehearsal = Rehearsal::prepare(folder.path(), &[]).unwrap();
    let mut examiner = Examiner::default();
    play(&rehearsal, &mut examiner).unwrap();
    assert_eq!(examiner.days, DAYS.len());
    assert!(
        examiner
            .commands
            .iter()
            .any(|command| command == "usher why E1029 app")
    );

    // The states people ended in, as Usher tells them, are those of the files.
    let world = expected::after(DAYS.len());
    let special = [
        "E1029", "E1025", "E1053", "E1010", "E1007", "E1012", "E1020", "E1030", "E1088", "E1050", "E1204",
    ];
    for key in special {
        let shown = rehearsal.json(&["identity", "show", key]).unwrap();
        assert_eq!(
            shown["state"],
            format!("{:?}", world.states[key]).to_lowercase(),
            "{key}: {shown}"
        );
    }
}

/// The files are what the demo says they are: without these people it would show little.
#[test]
fn the_files_have_every_kind_of_life() {
    let worlds: Vec<World> = (1..=DAYS.len()).map(expected::after).collect();
    let state = |day: usize, key: &str| worlds[day - 1].states.get(key).copied();
    let lives: [(&str, &str, [Option<State>; 3]); 9] = [
        (
            "future start",
            "E1022",
            [Some(State::Staged), Some(State::Staged), Some(State::Active)],
        ),
        (
            "start today in Auckland, tomorrow elsewhere",
            "E1048",
            [Some(State::Staged), Some(State::Active), Some(State::Active)],
        ),
        (
            "last day not yet over in Honolulu, then announced again",
            "E1053",
            [Some(State::Active), Some(State::Active), Some(State::Staged)],
        ),
        (
            "last day over in Berlin, then rehired",
            "E1029",
            [Some(State::Active), Some(State::Leaving), Some(State::Active)],
        ),
        (
            "leave and return",
            "E1041",
            [Some(State::Active), Some(State::Suspended), Some(State::Active)],
        ),
        (
            "gone before, rehired",
            "E1025",
            [Some(State::Departed), Some(State::Departed), Some(State::Active)],
        ),
        (
            "leaver, then deleted",
            "E1028",
            [Some(State::Active), Some(State::Leaving), Some(State::Departed)],
        ),
        (
            "contract runs out",
            "E1007",
            [Some(State::Active), Some(State::Active), Some(State::Leaving)],
        ),
        (
            "joiner",
            "E1201",
            [None, Some(State::Active), Some(State::Active)],
        ),
    ];
    for (life, key, states) in lives {
        assert_eq!([1, 2, 3].map(|day| state(day, key)), states, "{life}: {key}");
    }
    let third_day = expected::rows(&DAYS[2]);
    let is_there = |key: &String| third_day.iter().any(|row| row["employee_id"] == *key);
    let vanished: Vec<&String> = worlds[2].people.keys().filter(|key| !is_there(key)).collect();
    assert_eq!(vanished.len(), 1, "one row vanishes on the third day");

    // Nobody is left out for want of an account, and names do not collide: the test could not tell them apart.
    for world in &worlds {
        let mut names = BTreeMap::new();
        for (key, user) in &world.application {
            assert!(
                user.username.is_ascii() && !user.username.contains(' '),
                "{key}: {}",
                user.username
            );
            assert_eq!(
                names.insert(user.username.clone(), key),
                None,
                "{}",
                user.username
            );
        }
        assert!(world.application.len() > 120 && world.directory.len() > 150);
    }
    let everyone: String = worlds[0]
        .people
        .values()
        .map(|row| row["given_name"].as_str())
        .collect();
    for (script, range) in [
        ("Greek", 'Α'..='ω'),
        ("Cyrillic", 'А'..='я'),
        ("Hebrew", 'א'..='ת'),
        ("Arabic", 'ا'..='ي'),
        ("Chinese and Japanese", '一'..='龥'),
        ("Japanese", 'ぁ'..='ヿ'),
        ("Korean", '가'..='힣'),
    ] {
        assert!(everyone.chars().any(|c| range.contains(&c)), "no {script} name");
    }
}
