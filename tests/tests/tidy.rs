//! Rules of the house that no compiler holds: who may import whom, licences, file sizes, names, what must not be committed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;
use usher_tests::programs::workspace;

/// Lines of one file without its tests: beyond this it has become two things.
const FILE_LINES_MAX: usize = 400;

/// Who imports whom: `lifecycle ← store ← engine ← server ← usher`, `lifecycle ← connectors ← engine`, plugins only the SDK.
const ARROWS: &[(&str, &[&str])] = &[
    ("usher-lifecycle", &[]),
    ("usher-store", &["usher-lifecycle"]),
    ("usher-connectors", &["usher-lifecycle"]),
    (
        "usher-engine",
        &["usher-lifecycle", "usher-store", "usher-connectors"],
    ),
    (
        "usher-server",
        &["usher-lifecycle", "usher-store", "usher-engine"],
    ),
    (
        "usher",
        &[
            "usher-lifecycle",
            "usher-store",
            "usher-connectors",
            "usher-engine",
            "usher-server",
        ],
    ),
    (
        "xtask",
        &["usher-test-mariadb", "usher-test-postgres", "usher-test-server"],
    ),
    ("usher-sdk", &[]),
    ("usher-connector-directory", &["usher-sdk"]),
    ("usher-connector-sql", &["usher-sdk"]),
    ("usher-connector-scim", &["usher-sdk"]),
];

/// All that the pure core depends on. Nothing here does input or output, reads a clock or makes randomness.
const LIFECYCLE: [&str; 9] = [
    "cel",
    "deunicode",
    "jiff",
    "serde",
    "serde_json",
    "sha2",
    "thiserror",
    "toml",
    "uuid",
];

/// Libraries that stay behind one boundary, and who may import them.
const KEPT: &[(&str, &[&str])] = &[
    ("wasmtime", &["usher-connectors", "usher-bench"]),
    ("wasmtime-wasi", &["usher-connectors", "usher-bench"]),
    ("wasmtime-wasi-http", &["usher-connectors", "usher-bench"]),
    ("sqlx", &["usher-store"]),
    (
        "rusqlite",
        &[
            "usher-connectors",
            "usher-connector-sql",
            "usher-tests",
            "usher-fuzz",
        ],
    ),
    ("hyper", &["usher-connectors", "usher-bench"]),
    ("cel", &["usher-lifecycle"]),
    ("axum", &["usher-server", "usher-scim-server", "usher-tests"]),
    ("prometheus-client", &["usher-server"]),
    // In the connectors: the keyed checksum of native code.
    ("ring", &["usher-store", "usher-connectors"]),
    ("clap", &["usher", "usher-scim-server", "usher-bench"]),
];

/// What a connector may be built from: a connector of ours shows what any author needs.
const PLUGINS: [&str; 4] = ["usher-sdk", "schemars", "serde", "serde_json"];

/// Permissive licences. The same list as in `deny.toml`.
const LICENCES: [&str; 15] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "NCSA",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// rustls is the one TLS here.
const BANNED: [&str; 4] = ["openssl", "openssl-sys", "native-tls", "schannel"];

static METADATA: LazyLock<Value> = LazyLock::new(|| {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["metadata", "--format-version", "1", "--locked"];
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(workspace())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
});

fn packages() -> impl Iterator<Item = &'static Value> {
    METADATA["packages"].as_array().unwrap().iter()
}

/// Packages of this workspace, with the folder each is in.
fn own_packages() -> impl Iterator<Item = (&'static str, PathBuf, &'static Value)> {
    packages()
        .filter(|package| package["source"].is_null())
        .map(|package| {
            let manifest = Path::new(package["manifest_path"].as_str().unwrap());
            let folder = manifest
                .parent()
                .unwrap()
                .strip_prefix(workspace())
                .unwrap()
                .to_owned();
            (package["name"].as_str().unwrap(), folder, package)
        })
}

/// The names a package depends on; with or without what only its tests use.
fn dependencies(package: &'static Value, with_tests: bool) -> BTreeSet<&'static str> {
    let all = package["dependencies"].as_array().unwrap().iter();
    let wanted = all.filter(|dependency| with_tests || dependency["kind"] != "dev");
    wanted
        .map(|dependency| dependency["name"].as_str().unwrap())
        .collect()
}

#[test]
fn imports_run_one_way() {
    let own: BTreeSet<&str> = own_packages().map(|(name, ..)| name).collect();
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    for (name, folder, package) in own_packages() {
        if folder.starts_with("tests") {
            continue;
        }
        let allowed = arrows
            .get(name)
            .unwrap_or_else(|| panic!("{name} is new: give it a row in ARROWS"));
        for dependency in dependencies(package, false).intersection(&own) {
            assert!(
                allowed.contains(dependency),
                "{name} must not import {dependency}"
            );
        }
        for dependency in dependencies(package, true).intersection(&own) {
            let is_support = [
                "usher-tests",
                "usher-test-mariadb",
                "usher-test-postgres",
                "usher-sdk",
            ]
            .contains(dependency)
                || *dependency == name;
            assert!(
                allowed.contains(dependency) || is_support,
                "the tests of {name} must not import {dependency}"
            );
        }
    }
    for (name, _) in ARROWS {
        assert!(own.contains(name), "{name} has a row in ARROWS but is no package");
    }
}

#[test]
fn the_pure_core_depends_on_exactly_this() {
    let (.., package) = own_packages()
        .find(|(name, ..)| *name == "usher-lifecycle")
        .unwrap();
    assert_eq!(dependencies(package, false), BTreeSet::from(LIFECYCLE));
}

#[test]
fn libraries_stay_behind_their_boundary() {
    for (name, folder, package) in own_packages() {
        let dependencies = dependencies(package, true);
        for (library, importers) in KEPT {
            assert!(
                !dependencies.contains(library) || importers.contains(&name),
                "{name} must not import {library}"
            );
        }
        for dependency in &dependencies {
            let is_wasmtime = dependency.starts_with("wasmtime") || dependency.starts_with("cranelift");
            assert!(
                !is_wasmtime || KEPT.iter().any(|(kept, _)| kept == dependency),
                "{dependency} lacks a row in KEPT"
            );
        }
        if folder.starts_with("plugins") {
            for dependency in self::dependencies(package, false) {
                assert!(
                    PLUGINS.contains(&dependency),
                    "the connector {name} must not import {dependency}"
                );
            }
        }
    }
}

#[test]
fn every_licence_is_permissive() {
    for package in packages() {
        let name = &package["name"];
        let licence = package["license"]
            .as_str()
            .unwrap_or_else(|| panic!("{name} names no licence"));
        assert!(is_allowed(licence), "{name} is under `{licence}`");
    }
}

/// Whether an SPDX expression can be satisfied with [`LICENCES`]. A slash is the old way to write `OR`.
fn is_allowed(expression: &str) -> bool {
    fn any(words: &mut Vec<String>) -> bool {
        let mut holds = all(words);
        while words.last().is_some_and(|word| word == "OR") {
            words.pop();
            holds |= all(words);
        }
        holds
    }
    fn all(words: &mut Vec<String>) -> bool {
        let mut holds = one(words);
        while words.last().is_some_and(|word| word == "AND") {
            words.pop();
            holds &= one(words);
        }
        holds
    }
    fn one(words: &mut Vec<String>) -> bool {
        let Some(mut licence) = words.pop() else {
            return false;
        };
        if licence == "(" {
            let holds = any(words);
            return words.pop().is_some_and(|word| word == ")") && holds;
        }
        if words.last().is_some_and(|word| word == "WITH") {
            words.pop();
            licence = format!("{licence} WITH {}", words.pop().unwrap_or_default());
        }
        LICENCES.contains(&licence.as_str())
    }
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let mut words: Vec<String> = spaced.split_whitespace().rev().map(str::to_owned).collect();
    any(&mut words) && words.is_empty()
}

#[test]
fn licence_expressions_are_read_right() {
    for good in [
        "MIT",
        "MIT/Apache-2.0",
        "GPL-3.0 OR MIT",
        "(MIT OR GPL-3.0) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(is_allowed(good), "{good}");
    }
    for bad in [
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(MIT OR ISC) AND GPL-3.0",
        "",
        "MIT WITH Strings-attached",
        "MIT)",
        "(MIT",
    ] {
        assert!(!is_allowed(bad), "{bad}");
    }
}

#[test]
fn nothing_banned_and_nothing_from_elsewhere() {
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        assert!(!BANNED.contains(&name), "{name} is banned");
        if let Some(source) = package["source"].as_str() {
            let is_public = source == "registry+https://github.com/rust-lang/crates.io-index";
            assert!(is_public, "{name} comes from {source}");
        }
    }
}

/// Every file that is or could be committed: hidden ones too, build results not.
fn files() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name());
            if path.is_dir() {
                let is_left_out = [".git", "target", "usher-data"]
                    .iter()
                    .any(|left_out| name == *left_out);
                if !is_left_out {
                    walk(&path, found);
                }
            } else {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(workspace(), &mut found);
    assert!(found.len() > 50, "the workspace was not found");
    found.sort();
    found
}

fn shown(file: &Path) -> String {
    file.strip_prefix(workspace()).unwrap().display().to_string()
}

fn rust_files() -> impl Iterator<Item = PathBuf> {
    files()
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "rs"))
}

#[test]
fn a_file_is_one_thing() {
    let tests = test_modules();
    let mut long = Vec::new();
    for file in rust_files() {
        let name = shown(&file);
        let is_test = tests
            .iter()
            .any(|module| file.starts_with(module) || file == module.with_extension("rs"));
        if is_test || name.contains("/tests/") || name.ends_with("tests.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let lines = text
            .lines()
            .take_while(|line| !line.starts_with("#[cfg(test)]"))
            .count();
        if lines > FILE_LINES_MAX {
            long.push(format!("{name}: {lines} lines"));
        }
    }
    assert!(
        long.is_empty(),
        "more than {FILE_LINES_MAX} lines without tests: {long:#?}"
    );
}

/// Where the modules are that only tests have: `#[cfg(test)]` and then `mod name;`.
fn test_modules() -> Vec<PathBuf> {
    let is_test = |line: &str| line == "#[cfg(test)]" || line.starts_with("#[cfg(any(test,");
    let mut modules = Vec::new();
    for file in rust_files() {
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let is_root = ["mod", "lib", "main"]
            .iter()
            .any(|root| file.file_stem().unwrap() == *root);
        let folder = if is_root {
            file.parent().unwrap().to_owned()
        } else {
            file.with_extension("")
        };
        for pair in lines.windows(2).filter(|pair| is_test(pair[0].trim())) {
            let declared = pair[1]
                .trim()
                .trim_start_matches("pub(crate) ")
                .trim_start_matches("pub ")
                .strip_prefix("mod ");
            modules.extend(
                declared
                    .and_then(|name| name.strip_suffix(';'))
                    .map(|name| folder.join(name)),
            );
        }
    }
    modules
}

#[test]
fn every_crate_says_what_it_is() {
    let targets = own_packages().flat_map(|(.., package)| package["targets"].as_array().unwrap());
    for target in targets {
        let file = target["src_path"].as_str().unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        assert!(
            text.starts_with("//!") || text.starts_with("#![doc"),
            "{file} does not begin with what it is"
        );
        assert!(
            !text.contains(concat!("Under", " construction")),
            "{file} is not there yet"
        );
    }
}

#[test]
fn files_are_named_for_what_is_in_them() {
    for file in files() {
        let stem = file.file_stem().unwrap().to_string_lossy().to_lowercase();
        let says_nothing =
            |word: &str| ["util", "utils", "manager", "helper", "helpers", "misc", "common"].contains(&word);
        assert!(
            !stem.split(['_', '-', '.']).any(says_nothing),
            "{} says nothing by its name",
            shown(&file)
        );
    }
}

#[test]
fn only_what_belongs_at_the_top_is_there() {
    let allowed = [
        ".cargo",
        ".ci",
        ".git",
        ".gitignore",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "SECURITY.md",
        "clippy.toml",
        "deny.toml",
        "host",
        "plugins",
        "rust-toolchain.toml",
        "rustfmt.toml",
        "sdk",
        "target",
        "tests",
        "wit",
    ];
    for entry in std::fs::read_dir(workspace()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            allowed.contains(&name.as_str()) || name == "usher-data",
            "{name} does not belong at the top"
        );
    }
}

#[test]
fn nothing_of_one_machine_is_committed() {
    // Written in parts, or this file would be the first to be found.
    let folders = [
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/wo", "rk/"),
        concat!("C:\\Us", "ers"),
    ];
    for file in files() {
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            let place = format!("{}:{}", shown(&file), number + 1);
            for folder in folders {
                let begins =
                    |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '.' || c == '}');
                let found = line.match_indices(folder).any(|(at, _)| begins(at));
                assert!(!found, "{place} names a folder of one machine");
            }
            if let Some((_, source)) = line.split_once("registry+") {
                let is_public = source.starts_with("https://github.com/rust-lang/crates.io-index");
                assert!(
                    is_public || place.starts_with("tests/tests/tidy.rs"),
                    "{place} names a registry of one machine"
                );
            }
        }
    }
}

#[test]
fn unsafe_code_is_let_in_at_one_place_of_the_host() {
    let allows = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).unwrap();
        text.lines()
            .filter(|line| line.trim_start().starts_with("#") && line.contains("allow(unsafe_code"))
            .count()
    };
    let places: Vec<_> = rust_files()
        .filter(|file| shown(file).starts_with("host/") && allows(file) > 0)
        .collect();
    assert!(places.len() <= 1, "unsafe code is let in at {places:?}");
    for file in &places {
        assert!(
            shown(file).starts_with("host/connectors/"),
            "{} lets unsafe code in",
            shown(file)
        );
    }
}

#[test]
fn the_architecture_page_shows_the_account_table_of_the_code() {
    let read = |path: &str| std::fs::read_to_string(workspace().join(path)).unwrap();
    let table = read("host/lifecycle/account-table.md");
    assert!(
        read("host/ARCHITECTURE.md").contains(table.trim()),
        "copy host/lifecycle/account-table.md into host/ARCHITECTURE.md"
    );
    let table = read("host/lifecycle/situation-table.md");
    assert!(
        read("host/ARCHITECTURE.md").contains(table.trim()),
        "copy host/lifecycle/situation-table.md into host/ARCHITECTURE.md"
    );
}

#[test]
fn every_test_the_security_page_names_is_there() {
    let folder = workspace().join("host/connectors");
    let page = std::fs::read_to_string(folder.join("SECURITY.md")).unwrap();
    let named: Vec<(&str, &str)> = page.split('`').filter_map(|word| word.split_once("::")).collect();
    assert!(named.len() > 40, "only {} tests are named", named.len());
    for (file, test) in named {
        let text =
            std::fs::read_to_string(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let is_there = text.lines().any(|line| {
            let line = line.trim_start();
            let line = line.strip_prefix("async ").unwrap_or(line);
            line.starts_with(&format!("fn {test}("))
        });
        assert!(is_there, "{file} has no test {test}");
    }
    let fuzz = std::fs::read_to_string(workspace().join("tests/fuzz/src/lib.rs")).unwrap();
    for target in page
        .split("fuzz target `")
        .skip(1)
        .filter_map(|rest| rest.split('`').next())
    {
        assert!(
            fuzz.contains(&format!("(\"{target}\",")),
            "there is no fuzz target {target}"
        );
    }
}
