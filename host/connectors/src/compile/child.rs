//! The child: takes a component on its input, writes native code to its output, and can do little else.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};

use super::{EXIT_HOST, EXIT_MEMORY, EXIT_REFUSED};
use crate::component::COMPONENT_BYTES_MAX;
use crate::engine;

/// How much the child gives way: a deployment may take longer, an operation may not.
const NICENESS: i32 = 10;
/// Files the child may have open: three pipes, and what the C library looks up about processors and memory.
const FILES_MAX: u64 = 16;
/// Between the signal that ends the child at its processor time and the one it cannot miss, in seconds.
const CPU_GRACE_SECONDS: u64 = 5;
/// The process that asked is gone.
const EXIT_ORPHANED: i32 = 71;

/// The whole of the child process: `arguments` are its memory in MiB and its processor time in seconds. Standard input is the length of the component (eight
/// bytes, little end first) and the component, and stays open; standard output is the native code.
///
/// To be called first thing in `main`: it limits the whole process.
pub fn compile_component(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let (code, complaint) = match run(arguments) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failed::Refused(why)) => (EXIT_REFUSED, why),
        Err(Failed::Memory) => (EXIT_MEMORY, "out of memory".to_owned()),
        Err(Failed::Host(why)) => (EXIT_HOST, why),
    };
    // Nobody else can be told.
    let _ = writeln!(std::io::stderr(), "{complaint}");
    ExitCode::from(code)
}

enum Failed {
    Refused(String),
    Memory,
    Host(String),
}

fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<(), Failed> {
    let host = |error: &dyn std::fmt::Display| Failed::Host(error.to_string());
    let numbers: Vec<u64> = arguments
        .into_iter()
        .filter_map(|argument| argument.to_str()?.parse().ok())
        .collect();
    let [memory_mib, cpu_seconds] = numbers[..] else {
        return Err(Failed::Host(
            "two numbers are needed: memory in MiB, processor time in seconds; this is for Usher itself to call".to_owned(),
        ));
    };
    limit(memory_mib, cpu_seconds).map_err(|error| host(&error))?;
    let bytes = read_component().map_err(|error| host(&error))?;
    // Ends with its parent, whatever happened to that: the parent's end of the pipe closes with it. (Not by PR_SET_PDEATHSIG, which means the
    // parent's *thread*, and threads of a runtime come and go.)
    std::thread::Builder::new()
        .stack_size(64 * 1024)
        .spawn(|| {
            let _ = std::io::stdin().read(&mut [0]);
            std::process::exit(EXIT_ORPHANED);
        })
        .map_err(|error| host(&error))?;
    let engine = engine::for_compiling().map_err(Failed::Host)?;
    let code = engine.precompile_component(&bytes).map_err(|error| {
        let out_of_memory = error.chain().any(|cause| {
            let os = cause
                .downcast_ref::<std::io::Error>()
                .and_then(std::io::Error::raw_os_error);
            os == Some(Errno::NOMEM.raw_os_error()) || cause.is::<wasmtime::OutOfMemory>()
        });
        if out_of_memory {
            Failed::Memory
        } else {
            Failed::Refused(format!("{error:#}"))
        }
    })?;
    std::io::stdout().write_all(&code).map_err(|error| host(&error))
}

fn limit(memory_mib: u64, cpu_seconds: u64) -> rustix::io::Result<()> {
    at_most(Resource::Core, 0, 0)?;
    // Pipes have no size: this process can write no file at all.
    at_most(Resource::Fsize, 0, 0)?;
    at_most(Resource::Nofile, FILES_MAX, 0)?;
    at_most(Resource::As, memory_mib << 20, 0)?;
    at_most(Resource::Cpu, cpu_seconds, CPU_GRACE_SECONDS)?;
    nice(NICENESS).map(drop)
}

/// Lowers a limit, and leaves one alone that is lower already.
fn at_most(resource: Resource, current: u64, grace: u64) -> rustix::io::Result<()> {
    let lower = |wanted: u64, found: Option<u64>| Some(found.map_or(wanted, |found| found.min(wanted)));
    let found = getrlimit(resource);
    let limit = Rlimit {
        current: lower(current, found.maximum),
        maximum: lower(current + grace, found.maximum),
    };
    setrlimit(resource, limit)
}

fn read_component() -> std::io::Result<Vec<u8>> {
    let mut input = std::io::stdin().lock();
    let mut length = [0; 8];
    input.read_exact(&mut length)?;
    let length = usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > COMPONENT_BYTES_MAX {
        return Err(std::io::Error::other("the component is too large"));
    }
    let mut bytes = vec![0; length];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}
