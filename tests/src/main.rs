//! The demo: `cargo xtask demo` builds what it needs and starts this with the folder to play in.
#![allow(clippy::print_stdout, reason = "it is there to be watched")]

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use usher_tests::demo::{Audience, Scene, play};
use usher_tests::rehearsal::Rehearsal;

/// Characters of a line that are shown.
const LINE_CHARS_MAX: usize = 150;

fn main() -> anyhow::Result<()> {
    let folder = std::env::args_os()
        .nth(1)
        .map(PathBuf::from)
        .context("which folder?")?;
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("emptying {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let start = Instant::now();
    let rehearsal = Rehearsal::prepare(&folder, &[])?;
    println!("$ cd {}", rehearsal.folder().display());
    for (name, value) in rehearsal.environment() {
        println!("$ export {name}={value}");
    }
    play(&rehearsal, &mut Terminal)?;
    println!(
        "\nThe demo took {:.1} s. Everything is in {}:",
        start.elapsed().as_secs_f32(),
        folder.display()
    );
    farewell(rehearsal.folder());
    Ok(())
}

fn farewell(folder: &Path) {
    println!("  day1.csv day2.csv day3.csv   the HR files");
    println!("  policy.toml targets.toml     the documents");
    println!("  app.db                       the application: sqlite3 app.db 'SELECT * FROM history'");
    println!("  scim-journal.jsonl           every request the directory saw");
    println!("  data                         Usher's own folder\n");
    println!("Try next (the SCIM server has ended; plans and questions need no target):");
    println!("  cd {}", folder.display());
    println!("  export USHER_DATA=data PATH=$PATH:{}", programs().display());
    println!("  usher plan --now 2026-05-04          what the 4th of May will bring");
    println!("  usher identity show E1086            who married");
    println!("  usher why E1007 app                  why a contractor has no account there");
    println!("  usher operations --target app        what was done");
}

fn programs() -> PathBuf {
    std::env::current_exe()
        .ok()
        .and_then(|own| own.parent().map(Path::to_owned))
        .unwrap_or_default()
}

/// Prints everything.
struct Terminal;

impl Audience for Terminal {
    fn see(&mut self, scene: Scene<'_>) {
        match scene {
            Scene::Part(title) => println!("\n=== {title} ==="),
            Scene::Command(command) => println!("\n$ {command}"),
            Scene::Answer(text, lines) => print_short(text, lines),
            Scene::Note(text) => println!("# {text}"),
        }
    }

    fn day_over(&mut self, _: usize, _: &Rehearsal) -> anyhow::Result<()> {
        Ok(())
    }
}

/// The beginning and the end: what there is much of is in the middle.
fn print_short(text: &str, lines_max: usize) {
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() <= lines_max {
        lines.iter().for_each(|line| print_line(line));
        return;
    }
    let (head, tail) = (lines_max / 2, lines_max - lines_max / 2 - 1);
    lines[..head].iter().for_each(|line| print_line(line));
    println!("    … {} lines more …", lines.len() - head - tail);
    let last = &lines[lines.len() - tail..];
    last.iter().for_each(|line| print_line(line));
}

/// Long lines are cut: a line of the screen for a line of the answer.
fn print_line(line: &str) {
    if line.chars().count() <= LINE_CHARS_MAX {
        println!("{line}");
    } else {
        let start: String = line.chars().take(LINE_CHARS_MAX - 1).collect();
        println!("{start}…");
    }
}
