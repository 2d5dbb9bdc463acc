//! Every target on its corpus, and on inputs made from it: some seconds, in every test run. The same inputs each time.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use usher_fuzz::TARGETS;

/// Inputs made for each target.
const MADE: u32 = 3_000;
/// Longest a target runs here: a slow machine makes fewer.
const TIME_MAX: Duration = Duration::from_secs(4);
/// Longest input made, in bytes.
const BYTES_MAX: usize = 4_096;
/// Bytes and words that parsers look at.
const WORDS: [&str; 28] = [
    "\0",
    "\u{1b}[2J",
    "\u{202e}",
    "\u{200b}",
    "\\ud800",
    "\"",
    "'",
    "{",
    "}",
    "[",
    "]",
    "null",
    "1e400",
    "-0",
    "..",
    "%2e%2e/",
    "//",
    "@",
    ":",
    "\\",
    "$ref",
    "#/",
    "\n",
    "\r\n",
    "=",
    "😀",
    "\u{feff}",
    "9999999999999999999999",
];

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// A small generator of numbers (xorshift): the same ones in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

/// One input changed in a few places: as mutating fuzzers do.
fn change(numbers: &mut Numbers, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut input = seeds[numbers.below(seeds.len())].clone();
    for _ in 0..=numbers.below(6) {
        let at = numbers.below(input.len() + 1);
        match numbers.below(6) {
            0 if !input.is_empty() => {
                let at = at.min(input.len() - 1);
                input[at] = numbers.below(256) as u8;
            }
            1 => input.insert(at, numbers.below(256) as u8),
            2 => {
                input.splice(at..at, WORDS[numbers.below(WORDS.len())].bytes());
            }
            3 => {
                let end = (at + numbers.below(16)).min(input.len());
                input.drain(at..end);
            }
            4 => {
                let other = &seeds[numbers.below(seeds.len())];
                let from = numbers.below(other.len() + 1);
                let to = (from + numbers.below(200)).min(other.len());
                let part = other[from..to].to_vec();
                input.splice(at..at, part);
            }
            _ => {
                let end = (at + numbers.below(64)).min(input.len());
                let part = input[at..end].to_vec();
                for _ in 0..numbers.below(8) {
                    input.splice(at..at, part.iter().copied());
                }
            }
        }
    }
    input.truncate(BYTES_MAX);
    input
}

fn run(name: &str) {
    let target = usher_fuzz::target(name).expect(name);
    let seeds = corpus(name);
    assert!(!seeds.is_empty(), "{name} has no corpus");
    seeds.iter().for_each(|seed| target(seed));
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let started = Instant::now();
    for _ in 0..MADE {
        if started.elapsed() > TIME_MAX {
            break;
        }
        let input = change(&mut numbers, &seeds);
        let outcome = std::panic::catch_unwind(|| target(&input));
        assert!(outcome.is_ok(), "{name}: {:?}", String::from_utf8_lossy(&input));
    }
}

#[test]
fn guest_json() {
    run("guest-json");
}

#[test]
fn guest_schema() {
    run("guest-schema");
}

#[test]
fn guest_text() {
    run("guest-text");
}

#[test]
fn egress_uri() {
    run("egress-uri");
}

#[test]
fn egress_address() {
    run("egress-address");
}

#[test]
fn policy() {
    run("policy");
}

#[test]
fn targets() {
    run("targets");
}

#[test]
fn expression() {
    run("expression");
}

#[test]
fn peer_answer() {
    run("peer-answer");
}

#[test]
fn hr_file() {
    run("hr-file");
}

#[test]
fn checkpoint() {
    run("checkpoint");
}

#[test]
fn key_file() {
    run("key-file");
}

#[test]
fn sql_statement() {
    run("sql-statement");
}

#[test]
fn sql_sqlite() {
    run("sql-sqlite");
}

#[test]
fn every_target_has_a_test_and_a_corpus_and_nothing_else_has() {
    let this = include_str!("short.rs");
    for (name, _) in TARGETS {
        assert!(
            this.contains(&format!("    run(\"{name}\");")),
            "{name} is not run"
        );
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let folders: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(folders, names);
}
