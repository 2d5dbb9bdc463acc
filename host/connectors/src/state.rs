//! What the host keeps for one call: one of these in each store.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::http::HttpHooks;
use crate::journal::Journal;
use crate::limits::MemoryLimit;
use crate::log::GuestLog;
use crate::sql::SqlEndpoints;

/// Resources (streams, requests, pollables) a call may hold at a time. Interpreters hold some hundreds.
pub(crate) const RESOURCES_MAX: usize = 4_096;
/// Most random bytes in one request: keys need 32.
pub(crate) const RANDOM_BYTES_MAX: u64 = 64 * 1024;
/// Size of the headers of one message, as the host holds them, in bytes.
const FIELDS_BYTES_MAX: usize = 64 * 1024;

/// The state of one call.
pub(crate) struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    http_context: WasiHttpCtx,
    http: HttpHooks,
    pub(crate) sql: Arc<SqlEndpoints>,
    pub(crate) log: GuestLog,
    pub(crate) journal: Arc<Journal>,
    pub(crate) memory: MemoryLimit,
}

impl State {
    pub(crate) fn new(
        http: HttpHooks,
        sql: Arc<SqlEndpoints>,
        log: GuestLog,
        journal: Arc<Journal>,
        memory: MemoryLimit,
    ) -> Self {
        // Nothing is inherited: no arguments, no environment, empty input, output goes nowhere, no files, no network.
        let wasi = WasiCtx::builder().max_random_size(RANDOM_BYTES_MAX).build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        let mut http_context = WasiHttpCtx::new();
        http_context.set_field_size_limit(FIELDS_BYTES_MAX);
        Self {
            wasi,
            table,
            http_context,
            http,
            sql,
            log,
            journal,
            memory,
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http_context,
            table: &mut self.table,
            hooks: &mut self.http,
        }
    }
}
