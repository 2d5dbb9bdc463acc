//! The one wasmtime engine of the process, and what ticks its clock.
//!
//! One engine for all: types of two engines must never meet (a past vulnerability of wasmtime), and one instance pool can be
//! guarded by one semaphore.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Semaphore;
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, WasmBacktraceDetails,
};

use crate::error::SandboxError;

/// How often running guests are interrupted to be measured. Ten a second would let a guest run 100 ms over its limit; a thousand
/// would cost more than it tells.
pub(crate) const EPOCH_TICK: Duration = Duration::from_millis(5);
/// Calls at the same time in the whole process. Each one holds a slot of the pool, so there are at least as many slots.
const CALLS_MAX: u32 = 256;
/// Deepest stack of guest code, in bytes: wasmtime's default.
pub(crate) const WASM_STACK_BYTES: usize = 512 * 1024;
/// The stack a call runs on, host functions included, in bytes: room for the guest's stack and the host's own frames above it.
const ASYNC_STACK_BYTES: usize = 1024 * 1024;
/// Core instances in one component. Python holds 38; Rust 4.
pub(crate) const CORE_INSTANCES_MAX: u32 = 64;
/// Linear memories in one component. One is usual; adapters may add some.
pub(crate) const MEMORIES_MAX: u32 = 4;
/// Tables in one component.
pub(crate) const TABLES_MAX: u32 = 16;
/// Elements of all tables of one component. Interpreters have tens of thousands.
pub(crate) const TABLE_ELEMENTS_MAX: usize = 100_000;
/// What one instance may need for the host's own bookkeeping, in bytes. Interpreters need a few MiB.
const INSTANCE_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Memory kept mapped in a free slot so that the next call need not fault it in again, in bytes: a little more than a Rust
/// connector touches. Larger values are slower for interpreters, since this much is cleared after each call.
const KEEP_RESIDENT_BYTES: usize = 512 * 1024;
/// Free slots that keep their memory. Bounds what an idle process holds to this many times `KEEP_RESIDENT_BYTES`.
const WARM_SLOTS_MAX: u32 = 32;

/// The engine and the permits to use it.
pub(crate) struct Runtime {
    pub(crate) engine: Engine,
    /// One permit for each call that may run at the same time.
    pub(crate) calls: Arc<Semaphore>,
}

/// The process's engine, made at first use.
pub(crate) fn runtime() -> Result<&'static Runtime, SandboxError> {
    static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();
    RUNTIME
        .get_or_init(start)
        .as_ref()
        .map_err(|error| SandboxError(error.clone()))
}

fn start() -> Result<Runtime, String> {
    // The pool reserves 4 GiB of address space for each slot. Where that cannot be had (a container with a limit, say), memory
    // is mapped anew for each call: slower, otherwise the same.
    let engine = Engine::new(&config(Some(pool()))).or_else(|error| {
        tracing::warn!(%error, "no instance pool; calls will be slower");
        Engine::new(&config(None)).map_err(|error| format!("{error:#}"))
    })?;
    let ticked = engine.weak();
    std::thread::Builder::new()
        .name("epoch".to_owned())
        .spawn(move || {
            // A thread of its own: a task would starve together with the guests it is to interrupt.
            while let Some(engine) = ticked.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(EPOCH_TICK);
            }
        })
        .map_err(|error| format!("no thread for the epoch clock: {error}"))?;
    let calls = Arc::new(Semaphore::new(CALLS_MAX as usize));
    Ok(Runtime { engine, calls })
}

/// The engine of a process that only compiles: what it makes is code for the engine of [`runtime`].
pub(crate) fn for_compiling() -> Result<Engine, String> {
    Engine::new(&config(None)).map_err(|error| format!("{error:#}"))
}

fn config(pool: Option<PoolingAllocationConfig>) -> Config {
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(ASYNC_STACK_BYTES)
        .cranelift_opt_level(OptLevel::Speed)
        .wasm_backtrace_details(WasmBacktraceDetails::Enable)
        // Nothing a connector needs, and each has had its vulnerabilities.
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .wasm_tail_call(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false);
    if let Some(pool) = pool {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    config
}

fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(CALLS_MAX)
        .total_stacks(CALLS_MAX)
        .total_memories(CALLS_MAX + CALLS_MAX / 4)
        .total_tables(CALLS_MAX * 4)
        // A count, nothing is reserved for it: each call may be one of Python's.
        .total_core_instances(CALLS_MAX * CORE_INSTANCES_MAX)
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memories_per_component(MEMORIES_MAX)
        .max_tables_per_component(TABLES_MAX)
        .max_tables_per_module(TABLES_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .max_component_instance_size(INSTANCE_BYTES_MAX)
        .max_unused_warm_slots(WARM_SLOTS_MAX)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(KEEP_RESIDENT_BYTES / 8);
    pool
}
