//! Three replicas over one PostgreSQL, killed and paused at random while they work: every account ends as desired, no account is made
//! twice, every operation has exactly one recorded end, and the audit verifies.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]
#![allow(
    clippy::print_stdout,
    reason = "test runners show the seed, and the logs of a run that fails"
)]

mod expected;

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use expected::World;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use usher_test_postgres::Server;
use usher_tests::demo::{nothing_doubled, operations_of};
use usher_tests::rehearsal::{DAYS, Day, Rehearsal, SOURCE};

/// Replicas at work.
const REPLICAS: usize = 3;
/// The moment of the rehearsal. The three files come one right after the other: replicas live by their own clocks, which nobody can set, and nobody
/// is gone for so long that an account is deleted, and made again for a rehire.
const NOW: &str = DAYS[1].now;
/// The lease, in milliseconds: as short as a busy machine bears.
const LEASE_MS: u64 = 2_000;
/// The directory takes its time, so that there are always calls under way when something happens.
const DELAY_MS: &str = "60";
/// How long all may take after the last disturbance.
const PATIENCE: Duration = Duration::from_secs(120);
/// Disturbances after each file: at least so many, more while there is work, and then an end, so that the test has one.
const DISTURBANCES: std::ops::Range<u32> = 3..7;
/// Between looks at what is left.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// So much of each replica's log is shown when the test fails.
const LOG_LINES: usize = 60;

/// What ends an operation.
const ENDS: [&str; 4] = [
    "operation.done",
    "operation.settled",
    "operation.failed",
    "operation.superseded",
];

/// Numbers as if thrown with dice, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let seed = match std::env::var("USHER_TEST_SEED") {
            Ok(seed) => seed.parse().unwrap(),
            Err(_) => RandomState::new().hash_one("replicas") | 1,
        };
        println!("seed {seed}: USHER_TEST_SEED={seed} throws the same dice again");
        Self(seed)
    }

    fn below(&mut self, end: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }
}

/// A serving process.
struct Replica {
    number: usize,
    process: Child,
}

impl Replica {
    fn start(rehearsal: &Rehearsal, number: usize) -> Self {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log_of(rehearsal, number))
            .unwrap();
        let process = rehearsal
            .usher(&["serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { number, process }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id().cast_signed()), signal).unwrap();
    }

    /// Ends it as a supervisor does.
    fn terminate(&mut self) {
        self.signal(Signal::SIGTERM);
        let status = self.process.wait().unwrap();
        assert!(status.success(), "replica {} ended with {status}", self.number);
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn log_of(rehearsal: &Rehearsal, number: usize) -> PathBuf {
    rehearsal.folder().join(format!("replica-{number}.log"))
}

/// Tells what the replicas logged when the test fails.
struct Logs<'a>(&'a Rehearsal);

impl Drop for Logs<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for number in 0..REPLICAS {
            let log = std::fs::read_to_string(log_of(self.0, number)).unwrap_or_default();
            let from = log.lines().count().saturating_sub(LOG_LINES);
            println!("--- the last lines of replica {number}:");
            log.lines().skip(from).for_each(|line| println!("{line}"));
        }
    }
}

/// What was done to the replicas.
#[derive(Debug, Default)]
struct Done {
    kills: usize,
    long_pauses: usize,
    short_pauses: usize,
}

/// What happens to some of the replicas at the same moment, perhaps to all of them.
struct Disturbance {
    /// Bit by bit, which are killed and started again.
    killed: u64,
    /// And which are paused.
    paused: u64,
    /// How long that takes.
    ms: u64,
}

impl Disturbance {
    /// The first one, in the middle of the work and all at once: whatever the dice say and whoever has the work, somebody is killed, somebody is
    /// paused for longer than the lease, and what they had in hand is taken over.
    const FIRST: Self = Self {
        killed: 0b011,
        paused: 0b100,
        ms: LEASE_MS + 1_000,
    };

    fn thrown(dice: &mut Dice) -> Self {
        let all = (1 << REPLICAS) - 1;
        let (some, killed) = (1 + dice.below(all), dice.below(all + 1));
        Self {
            killed: some & killed,
            paused: some & !killed,
            ms: match dice.below(2) {
                0 => dice.below(LEASE_MS / 2),
                _ => LEASE_MS + 500 + dice.below(LEASE_MS),
            },
        }
    }

    fn happen(&self, rehearsal: &Rehearsal, replicas: &mut [Replica], done: &mut Done) {
        let (mut killed, mut paused) = (Vec::new(), Vec::new());
        for replica in replicas {
            match 1 << replica.number {
                bit if self.killed & bit != 0 => killed.push(replica),
                bit if self.paused & bit != 0 => paused.push(replica),
                _ => {}
            }
        }
        killed.iter().for_each(|victim| victim.signal(Signal::SIGKILL));
        paused.iter().for_each(|victim| victim.signal(Signal::SIGSTOP));
        sleep(Duration::from_millis(self.ms));
        done.kills += killed.len();
        for victim in killed {
            victim.process.wait().unwrap();
            *victim = Replica::start(rehearsal, victim.number);
        }
        paused.iter().for_each(|victim| victim.signal(Signal::SIGCONT));
        // Longer than the lease, their work was taken over, and what they say now must not count.
        if self.ms > LEASE_MS {
            done.long_pauses += paused.len();
        } else {
            done.short_pauses += paused.len();
        }
    }
}

/// Operations in these states, of all targets.
fn operations_in(rehearsal: &Rehearsal, states: &[&str]) -> u64 {
    let status = rehearsal.json(&["status"]).unwrap();
    let targets = status["targets"].as_array().unwrap();
    let counts = targets.iter().flat_map(|target| {
        states
            .iter()
            .map(|state| target["operations"][*state].as_u64().unwrap_or(0))
    });
    counts.sum()
}

/// Operations that are not at an end.
fn open(rehearsal: &Rehearsal) -> u64 {
    operations_in(rehearsal, &["waiting", "ready", "claimed"])
}

/// Waits until somebody has work in hand.
fn await_work(rehearsal: &Rehearsal) {
    let until = Instant::now() + PATIENCE;
    while operations_in(rehearsal, &["claimed"]) == 0 {
        assert!(Instant::now() < until, "nothing was claimed within {PATIENCE:?}");
        sleep(LOOK_AGAIN);
    }
}

/// Waits until nothing is left to do; `false` when that takes too long.
fn settle(rehearsal: &Rehearsal) -> bool {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        // A look at the plan takes over what others have left; the replicas are to do that themselves.
        if open(rehearsal) == 0 && operations_of(&rehearsal.json(&["plan"]).unwrap()).unwrap() == 0 {
            return true;
        }
        sleep(LOOK_AGAIN);
    }
    false
}

/// The audit of all writers, as exported.
fn audit(rehearsal: &Rehearsal) -> Vec<Value> {
    let text = rehearsal.succeed(&["audit", "export"]).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// How often each event is told, and how often each operation came to an end.
fn ends(rows: &[Value]) -> (BTreeMap<String, u32>, BTreeMap<String, u32>) {
    let (mut events, mut ends) = (BTreeMap::new(), BTreeMap::new());
    for row in rows {
        let event = row["event"].as_str().unwrap();
        *events.entry(event.to_owned()).or_default() += 1;
        if let Some(operation) = row["payload"]["operation"].as_str() {
            *ends.entry(operation.to_owned()).or_default() += u32::from(ENDS.contains(&event));
        }
    }
    (events, ends)
}

/// A rehearsal on PostgreSQL, up to and without the first import.
fn prepared(server: &Server, folder: &std::path::Path) -> Rehearsal {
    let mut rehearsal = Rehearsal::prepare(folder, &["--delay-ms", DELAY_MS]).unwrap();
    rehearsal.give("USHER_DATABASE", server.fresh_database().unwrap());
    rehearsal.give("USHER_LEASE_SECONDS", (LEASE_MS / 1_000).to_string());
    let key = rehearsal.succeed(&["key", "new"]).unwrap();
    rehearsal.give("USHER_KEY", key.trim());
    for arguments in [
        ["init", "--rehearsal", "--now", NOW].as_slice(),
        &["connector", "add", "sql.wasm"],
        &["connector", "add", "scim.wasm"],
        &["targets", "activate", "targets.toml"],
        &["policy", "activate", "policy.toml"],
    ] {
        rehearsal.succeed(arguments).unwrap();
    }
    rehearsal
}

#[test]
fn three_replicas_killed_and_paused_at_random() {
    let Some(server) = usher_test_postgres::shared().unwrap() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let rehearsal = prepared(server, folder.path());
    let _logs = Logs(&rehearsal);
    let (mut dice, mut done) = (Dice::new(), Done::default());
    let mut replicas: Vec<Replica> = (0..REPLICAS)
        .map(|number| Replica::start(&rehearsal, number))
        .collect();
    let (mut world, mut next) = (World::default(), Disturbance::FIRST);
    for (number, day) in DAYS.into_iter().enumerate() {
        let mut import = rehearsal
            .start(&["import", day.file, "--source", SOURCE])
            .unwrap();
        if number == 0 {
            await_work(&rehearsal);
        }
        let mut disturbances = 0;
        while disturbances < DISTURBANCES.start || disturbances < DISTURBANCES.end && open(&rehearsal) > 0 {
            next.happen(&rehearsal, &mut replicas, &mut done);
            next = Disturbance::thrown(&mut dice);
            sleep(Duration::from_millis(200 + dice.below(1_000)));
            disturbances += 1;
        }
        let imported = import.wait().unwrap();
        assert!(
            imported.success(),
            "the import of {} ended with {imported}",
            day.file
        );
        let settled = settle(&rehearsal);
        let status = rehearsal.succeed(&["status"]).unwrap();
        assert!(
            settled,
            "{}: something is left after {done:?}:\n{status}",
            day.file
        );
        world = world.next(&Day { now: NOW, ..day }, expected::rows(&day));
        world.assert_reached(&rehearsal, &format!("after {} and {done:?}:\n{status}", day.file));
        nothing_doubled(&rehearsal).unwrap();
    }
    replicas.iter_mut().for_each(Replica::terminate);
    check_the_record(&rehearsal, &done);
}

/// The record tells one end of each operation, and that the replicas had to take over from each other.
fn check_the_record(rehearsal: &Rehearsal, done: &Done) {
    let (events, ends) = ends(&audit(rehearsal));
    let wrong: BTreeMap<_, _> = ends.iter().filter(|(_, times)| **times != 1).collect();
    assert!(
        wrong.is_empty(),
        "operations without exactly one recorded end: {wrong:?}"
    );
    assert!(ends.len() > 500, "{} operations are hardly a company", ends.len());
    assert!(
        events.contains_key("operation.recovered"),
        "nothing was ever taken over: {events:?}, {done:?}"
    );
    rehearsal.succeed(&["audit", "verify"]).unwrap();
    let told = |message| {
        let logs = (0..REPLICAS).map(|number| std::fs::read_to_string(log_of(rehearsal, number)).unwrap());
        logs.map(|log| log.matches(message).count()).sum::<usize>()
    };
    println!(
        "{} operations, {done:?}, {} times fenced off and begun anew, {} times outcomes refused, {events:?}",
        ends.len(),
        told("it has begun anew"),
        told("outcomes refused")
    );
}
