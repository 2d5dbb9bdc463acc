//! Untrusted bytes are compiled in a process of their own: whatever they do to the compiler, they do it there.
//!
//! Wasmtime's own policy says that a module which makes the compiler slow, hungry or panic is no security bug. So the host never parses
//! the bytes of a component: a child ([`child`]) does, under limits, and hands back native code. What the host wants to know of exports and imports
//! it reads from that.

mod child;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

use crate::error::{LoadError, SandboxError};
use crate::guest_text::line_of;

pub use child::compile_component;

/// Compilations at the same time in one process: they are rare, and each may take `CompileLimits::memory_mib`.
const COMPILATIONS_MAX: usize = 2;
/// Threads of one compilation. Each reserves address space for its stack and its heap, so more need a larger limit.
const THREADS_MAX: usize = 4;
/// Largest native code taken from the child, in bytes: about three times the largest component; Python's 18 MiB make 36 MiB.
const CODE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// What the child may say on its error output, in bytes. More is read and thrown away.
const COMPLAINT_BYTES_MAX: u64 = 8 * 1024;
/// How the child ends when the bytes are at fault, and it says why.
const EXIT_REFUSED: u8 = 65;
/// How the child ends when it is out of memory and noticed.
const EXIT_MEMORY: u8 = 66;
/// How the child ends on wrong use, or where it cannot set its limits: nothing the component can be blamed for.
const EXIT_HOST: u8 = 70;
/// Signals by which the child is ended; their numbers are the same on every Unix that wasmtime runs on.
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
const SIGXCPU: i32 = 24;
/// How a compiler crashes: SIGILL, SIGABRT, SIGBUS (two numbers) and SIGSEGV. Other signals come from outside.
const CRASHES: [i32; 5] = [4, SIGABRT, 7, 10, 11];

static COMPILATIONS: Semaphore = Semaphore::const_new(COMPILATIONS_MAX);

/// What one compilation may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Address space, in MiB.
    pub memory_mib: u32,
    /// Processor time of all its threads, in seconds.
    pub cpu_seconds: u32,
    /// From its start to its end, in seconds.
    pub wall_seconds: u32,
}

impl Default for CompileLimits {
    /// Measured: a 12 MiB JavaScript and an 18 MiB Python component take 10 to 30 seconds of one processor in a release build, two or three times that in a
    /// debug build, and some hundred MiB. The wall time is long because the child gives way to everybody: on a machine that is busy for
    /// minutes it gets a tenth of a processor.
    fn default() -> Self {
        Self {
            memory_mib: 2_048,
            cpu_seconds: 240,
            wall_seconds: 1_800,
        }
    }
}

/// The program that compiles: one that ends in [`compile_component`].
#[derive(Clone, Debug)]
pub struct Compiler {
    program: PathBuf,
    arguments: Vec<OsString>,
    limits: CompileLimits,
}

impl Compiler {
    /// The program that runs now, called with this argument.
    pub fn this_program(argument: &str) -> Result<Self, SandboxError> {
        // Not by its path where that can be helped: the file may have been replaced by an upgrade since.
        let own = PathBuf::from("/proc/self/exe");
        let program = if own.exists() {
            own
        } else {
            std::env::current_exe()
                .map_err(|error| SandboxError(format!("no path of this program to compile with: {error}")))?
        };
        Ok(Self::program(program).with_argument(argument))
    }

    /// Another program.
    pub fn program(program: PathBuf) -> Self {
        Self {
            program,
            arguments: Vec::new(),
            limits: CompileLimits::default(),
        }
    }

    /// With an argument before those of [`compile_component`].
    #[must_use]
    pub fn with_argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// With other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: CompileLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Native code of a component, for an engine with this process's settings. Dropping the future kills the child.
    pub(crate) async fn compile(&self, bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
        // Never closed: an error cannot come.
        let _turn = COMPILATIONS.acquire().await;
        let wall = Duration::from_secs(self.limits.wall_seconds.into());
        match tokio::time::timeout(wall, self.run(bytes)).await {
            Ok(compiled) => compiled,
            Err(_) => Err(stopped(format!("{} seconds", self.limits.wall_seconds))),
        }
    }

    async fn run(&self, bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
        let host = |what: &str, error: std::io::Error| LoadError::Host(format!("{what}: {error}"));
        let mut child = self
            .spawn()
            .map_err(|error| host("the compiling process does not start", error))?;
        let mut input = child.stdin.take();
        let feed = async {
            let input = input.as_mut()?;
            // A child that ends early does not read to the end; how it ended says more than this error would.
            input.write_all(&(bytes.len() as u64).to_le_bytes()).await.ok()?;
            input.write_all(bytes).await.ok()?;
            input.flush().await.ok()
        };
        let (output, complaints) = (child.stdout.take(), child.stderr.take());
        let (code, complaint, _) = tokio::join!(
            read(output, CODE_BYTES_MAX),
            read(complaints, COMPLAINT_BYTES_MAX),
            feed
        );
        let status = child
            .wait()
            .await
            .map_err(|error| host("waiting for the compiling process", error))?;
        // Held open until here: the child takes its closing for the end of this process.
        drop(input);
        let code = code.map_err(|error| host("reading native code", error))?;
        let complaint = String::from_utf8_lossy(&complaint.unwrap_or_default()).into_owned();
        if !status.success() {
            return Err(self.judge(status, &complaint));
        }
        if code.len() as u64 > CODE_BYTES_MAX {
            return Err(stopped(format!("{CODE_BYTES_MAX} bytes of native code")));
        }
        Ok(code)
    }

    /// Started with nothing of this process but three pipes: no environment, no folder, and no file, since Rust opens each close-on-exec.
    fn spawn(&self) -> std::io::Result<Child> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = threads.min(THREADS_MAX).to_string();
        Command::new(&self.program)
            .args(&self.arguments)
            .arg(self.limits.memory_mib.to_string())
            .arg(self.limits.cpu_seconds.to_string())
            .env_clear()
            .env("RAYON_NUM_THREADS", &threads)
            // A heap for each and no more: glibc would make eight for each processor, and reserve address space for all.
            .env("MALLOC_ARENA_MAX", &threads)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    }

    /// Why a child ended without native code.
    fn judge(&self, status: ExitStatus, complaint: &str) -> LoadError {
        use std::os::unix::process::ExitStatusExt as _;
        let memory = || stopped(format!("{} MiB of memory", self.limits.memory_mib));
        let last_line = complaint.lines().next_back().unwrap_or_default();
        // How the allocator of the standard library ends a process.
        let allocation = complaint.contains("memory allocation of");
        match (status.code(), status.signal()) {
            (Some(code), _) if code == i32::from(EXIT_REFUSED) => refused(complaint),
            (Some(code), _) if code == i32::from(EXIT_MEMORY) => memory(),
            (_, Some(SIGABRT)) if allocation => memory(),
            (_, Some(SIGXCPU)) => LoadError::CompileLimit {
                limit: format!("{} seconds of processor time", self.limits.cpu_seconds),
                again: true,
            },
            (_, Some(SIGKILL)) => LoadError::Host(
                "the compiling process was killed from outside; was the machine out of memory?".to_owned(),
            ),
            (Some(code), _) if code == i32::from(EXIT_HOST) => {
                LoadError::Host(format!("the compiling process: {}", line_of(last_line, 300)))
            }
            (_, Some(signal)) => LoadError::CompilerFailed {
                how: format!("signal {signal} {}", line_of(last_line, 300))
                    .trim_end()
                    .to_owned(),
                again: CRASHES.contains(&signal),
            },
            (code, None) => {
                let code = code.unwrap_or(-1);
                LoadError::CompilerFailed {
                    how: format!("exit code {code}: {}", line_of(last_line, 300)),
                    again: false,
                }
            }
        }
    }
}

/// Reads at most one byte more than `max`, so that too much can be told, and lets the rest go by.
async fn read(from: Option<impl tokio::io::AsyncRead + Unpin>, max: u64) -> std::io::Result<Vec<u8>> {
    let mut held = Vec::new();
    if let Some(mut from) = from {
        (&mut from).take(max + 1).read_to_end(&mut held).await?;
        tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    }
    Ok(held)
}

/// At a limit that has to do with the machine too: how busy it is, and how much memory it gives.
fn stopped(limit: String) -> LoadError {
    LoadError::CompileLimit { limit, again: false }
}

/// What the compiler said of bytes it does not take, with advice where the words alone do not tell an author what to do.
fn refused(complaint: &str) -> LoadError {
    let text = line_of(complaint.trim_end(), 600);
    let advice = [
        (
            "component model async feature",
            "connectors are synchronous: with JavaScript on QuickJS build with `--sync`; export no `async` functions",
        ),
        ("async", "connectors are synchronous: export no `async` functions"),
        (
            "exceptions",
            "WebAssembly exceptions are not available: compile without them (C++: `-fno-exceptions`)",
        ),
        (
            "gc ",
            "garbage-collected WebAssembly is not available: Kotlin, Dart and Java cannot be used yet",
        ),
        ("threads", "threads are not available: compile without them"),
        (
            "memory64",
            "64-bit memories are not available: compile for wasm32",
        ),
        ("tail call", "tail calls are not available: compile without them"),
    ];
    let advice = advice.iter().find(|(word, _)| text.contains(word));
    let advice = advice.map_or(String::new(), |(_, advice)| format!(" ({advice})"));
    LoadError::NotAComponent(format!("it does not compile: {text}{advice}"))
}
