//! Compiling untrusted bytes: in a process of its own, with nothing of this one, under limits, and gone with this one.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use usher_connectors::{CodeFolder, CodeKey, CompileLimits, Compiler, FixedSecrets, LoadError, Sandbox};

use crate::support::{compiler, noop_target, sandbox_with};
use crate::test_components::{made, made_with};

/// A sandbox that keeps nothing, so that everything is compiled.
fn forgetful(compiler: Compiler) -> Sandbox {
    Sandbox::new(compiler, None).unwrap()
}

async fn refusal(compiler: Compiler, bytes: Vec<u8>) -> LoadError {
    match forgetful(compiler).inspect(bytes).await {
        Err(refusal) => refusal,
        Ok(_) => panic!("it should have been refused"),
    }
}

/// A component that is small and takes long to compile: one function of many nested blocks with many values alive.
fn costly(functions: usize) -> Vec<u8> {
    let body = "(local.set 0 (i64.add (i64.mul (local.get 0) (local.get 1)) (i64.load (i32.wrap_i64 (local.get 0)))))".repeat(400);
    let function = format!("(func (param i64) (local i64) {body})");
    let module = format!(
        "(component (core module (memory 1) {}))",
        function.repeat(functions)
    );
    wat::parse_str(module).unwrap()
}

fn script(folder: &Path, text: &str) -> Compiler {
    let path = folder.join("compiler.sh");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    Compiler::program(path)
}

#[tokio::test]
async fn what_does_not_compile_says_why_to_its_author() {
    let cases: [(Vec<u8>, &str); 5] = [
        (b"\0asm\x0d\0\x01\0\xff\xff\xff".to_vec(), "does not compile"),
        (
            made_with("base", "check: func", "check: async func"),
            "synchronous",
        ),
        (
            wat::parse_str("(component (core module (tag)))").unwrap(),
            "exceptions",
        ),
        (
            wat::parse_str("(component (core module (type (struct))))").unwrap(),
            "garbage-collected",
        ),
        (
            wat::parse_str("(component (core module (memory i64 1)))").unwrap(),
            "wasm32",
        ),
    ];
    for (bytes, expected) in cases {
        let error = refusal(compiler(), bytes).await;
        let text = error.to_string();
        assert!(
            matches!(error, LoadError::NotAComponent(_)) && text.contains(expected),
            "{text}"
        );
    }
}

#[tokio::test]
async fn compiling_stops_at_its_limits_and_names_them() {
    let limits = CompileLimits::default();
    // Larger than all the memory the last one has.
    let large = [b"\0asm\x0d\0\x01\0".to_vec(), vec![0; 60 << 20]].concat();
    let costly = costly(3_000);
    let cases = [
        (
            CompileLimits {
                cpu_seconds: 1,
                ..limits
            },
            &costly,
            "1 seconds of processor time",
        ),
        (
            CompileLimits {
                wall_seconds: 1,
                ..limits
            },
            &costly,
            "1 seconds",
        ),
        (
            CompileLimits {
                memory_mib: 64,
                ..limits
            },
            &large,
            "64 MiB of memory",
        ),
    ];
    for (limits, bytes, expected) in cases {
        let error = refusal(compiler().with_limits(limits), bytes.clone()).await;
        let text = error.to_string();
        assert!(
            matches!(&error, LoadError::CompileLimit { limit, .. } if limit == expected),
            "{expected}: {text}"
        );
    }
}

#[tokio::test]
async fn a_compiler_that_crashes_is_reported_and_nothing_else_happens() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = made("base", str::to_owned);
    for (text, expected) in [
        ("kill -SEGV $$", "signal 11"),
        (
            "echo 'thread panicked' >&2; exit 101",
            "exit code 101: thread panicked",
        ),
    ] {
        let error = refusal(script(folder.path(), text), bytes.clone()).await;
        assert!(
            matches!(&error, LoadError::CompilerFailed { how, .. } if how.contains(expected)),
            "{expected}: {error}"
        );
    }
    for (not_the_component, expected) in [
        ("echo nonsense", "no code"),
        ("kill -KILL $$", "out of memory?"),
        ("echo 'no such limit' >&2; exit 70", "no such limit"),
    ] {
        let error = refusal(script(folder.path(), not_the_component), bytes.clone()).await;
        assert!(
            matches!(&error, LoadError::Host(why) if why.contains(expected)),
            "{expected}: {error}"
        );
    }
    let error = refusal(Compiler::program(PathBuf::from("/nonexistent")), bytes).await;
    assert!(error.to_string().contains("does not start"), "{error}");
}

/// How often a sandbox starts its compiler for bytes that are loaded three times.
async fn compilations(ends: &str) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    let counting = format!("echo once >> {}; {ends}", count.display());
    let sandbox = forgetful(script(folder.path(), &counting));
    for _ in 0..3 {
        let loaded = sandbox.inspect(made("base", str::to_owned)).await;
        assert!(loaded.is_err());
    }
    std::fs::read_to_string(count).unwrap().lines().count()
}

#[tokio::test]
async fn a_refused_component_is_not_compiled_again_for_the_next_target() {
    assert_eq!(compilations("echo 'bad bytes' >&2; exit 65").await, 1);
    assert_eq!(compilations("kill -SEGV $$").await, 1);
    // What may be better next time is tried again.
    assert_eq!(compilations("kill -KILL $$").await, 3);
}

#[tokio::test]
async fn only_what_the_component_does_again_is_held_against_it() {
    for its_own in ["kill -ABRT $$", "kill -ILL $$", "kill -BUS $$", "kill -XCPU $$"] {
        assert_eq!(compilations(its_own).await, 1, "{its_own}");
    }
    for from_outside in ["kill -TERM $$", "kill -HUP $$", "exit 71", "exit 101", "exit 66"] {
        assert_eq!(compilations(from_outside).await, 3, "{from_outside}");
    }
}

#[tokio::test]
async fn the_child_has_nothing_of_its_parent() {
    let folder = tempfile::tempdir().unwrap();
    let seen = folder.path().join("seen");
    // What a child finds around it, and how it is limited, written by a program in the child's place.
    let look = format!("(env; pwd; ls -l /proc/$$/fd) > {}", seen.display());
    refusal(script(folder.path(), &look), made("base", str::to_owned)).await;
    let seen = std::fs::read_to_string(seen).unwrap();
    let variables: Vec<&str> = seen
        .lines()
        .filter_map(|line| Some(line.split_once('=')?.0))
        .collect();
    for variable in variables {
        assert!(
            [
                "RAYON_NUM_THREADS",
                "MALLOC_ARENA_MAX",
                "PWD",
                "OLDPWD",
                "SHLVL",
                "_"
            ]
            .contains(&variable),
            "{seen}"
        );
    }
    assert!(seen.lines().any(|line| line == "/"), "{seen}");
    assert!(!seen.contains("socket:") && !seen.contains("native"), "{seen}");
}

/// The real child, given a component's length and not yet the component, so that it waits.
fn waiting_child() -> std::process::Child {
    use std::io::Write as _;
    let mut child = Command::new(env!("CARGO_BIN_EXE_usher-compile-component"))
        .args(["4096", "60"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .as_mut()
        .unwrap()
        .write_all(&8_u64.to_le_bytes())
        .unwrap();
    child
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn the_child_limits_itself_before_it_reads_and_goes_with_its_parent() {
    let mut child = waiting_child();
    let proc = PathBuf::from(format!("/proc/{}", child.id()));
    let limits = || std::fs::read_to_string(proc.join("limits")).unwrap_or_default();
    let limit = |name: &str| {
        let limits = limits();
        let line = limits
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_default()
            .to_owned();
        line[name.len()..]
            .split_whitespace()
            .take(2)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    eventually("the processor time is limited", || {
        limits().contains("Max cpu time") && limit("Max cpu time")[0] == "60"
    });
    assert_eq!(limit("Max address space"), ["4294967296", "4294967296"]);
    assert_eq!(limit("Max core file size"), ["0", "0"]);
    assert_eq!(limit("Max file size"), ["0", "0"]);
    assert_eq!(limit("Max open files"), ["16", "16"]);
    let niceness = || {
        let stat = std::fs::read_to_string(proc.join("stat")).unwrap_or_default();
        let fields = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .nth(16);
        fields.and_then(|field| field.parse::<i32>().ok())
    };
    eventually("it gives way", || niceness().is_some_and(|nice| nice >= 10));
    drop(child.stdin.take());
    assert!(!child.wait().unwrap().success());
}

#[tokio::test]
async fn a_load_that_is_given_up_leaves_no_child() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let compiler = script(
        folder.path(),
        &format!("echo $$ > {}; exec sleep 600", pid.display()),
    );
    let sandbox = forgetful(compiler);
    let load = sandbox.inspect(made("base", str::to_owned));
    let mut load = Box::pin(load);
    let started = async {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !std::fs::read_to_string(&pid).is_ok_and(|pid| pid.ends_with('\n')) {
            assert!(Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! { _ = &mut load => panic!("it sleeps"), () = started => {} }
    drop(load);
    let child = PathBuf::from(format!(
        "/proc/{}/cmdline",
        std::fs::read_to_string(&pid).unwrap().trim()
    ));
    eventually("the child is gone", || {
        std::fs::read(&child).map_or(true, |line| line.is_empty())
    });
}

#[tokio::test]
async fn many_targets_of_one_connector_compile_it_once_and_share_it() {
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    let compiler = script(
        folder.path(),
        &format!(
            "echo x >> {}; exec {} \"$@\"",
            count.display(),
            env!("CARGO_BIN_EXE_usher-compile-component")
        ),
    );
    let sandbox = forgetful(compiler);
    let load = || {
        let sandbox = sandbox.clone();
        tokio::spawn(async move {
            let bytes = usher_tests::component("usher-guest-noop");
            sandbox
                .load(bytes, &noop_target(), Arc::new(FixedSecrets::none()))
                .await
                .unwrap()
        })
    };
    let loads = [load(), load(), load(), load()];
    let mut held = Vec::new();
    for load in loads {
        held.push(load.await.unwrap());
    }
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "x\n");
    // With the last of them its code goes too.
    drop(held);
    load().await.unwrap();
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "x\nx\n");
}

#[tokio::test]
async fn a_cache_that_cannot_be_made_is_done_without() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let sandbox = sandbox_with(compiler(), &file.join("native"));
    sandbox
        .inspect(usher_tests::component("usher-guest-noop"))
        .await
        .unwrap();
    // One that others can enter is refused: somebody should know.
    let open = folder.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o755)).unwrap();
    let kept = CodeFolder {
        folder: open,
        key: CodeKey::new(&[7; 32]),
    };
    let error = Sandbox::new(compiler(), Some(kept)).err().unwrap().to_string();
    assert!(error.contains("chmod 700"), "{error}");
}
