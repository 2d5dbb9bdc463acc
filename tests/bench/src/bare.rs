//! The floor: the same component on plain wasmtime with nothing of Usher around it.

use wasmtime::component::{Component, HasSelf, InstancePre, Linker, ResourceTable};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

mod contract {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "everything",
        exports: { default: async },
        anyhow: true,
    });
}

use contract::exports::usher::connector::accounts::GuestIndices;
use contract::usher::connector::types::{Call, Write};
use contract::usher::host::log;

struct State {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl log::Host for State {
    fn write(&mut self, _level: log::Level, _message: String) {}
}

/// An engine with the settings that decide how fast Usher's is, and none of its limits.
fn engine() -> anyhow::Result<Engine> {
    let mut pool = PoolingAllocationConfig::new();
    pool.max_core_instances_per_component(64)
        .max_tables_per_component(16)
        .max_tables_per_module(16)
        .table_elements(100_000)
        .max_core_instance_size(10 << 20)
        .max_component_instance_size(10 << 20)
        .total_core_instances(2_048)
        .linear_memory_keep_resident(512 << 10)
        .table_keep_resident(64 << 10);
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .epoch_interruption(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Ok(Engine::new(&config)?)
}

/// What the compiler alone does to a component.
pub(crate) fn compile(bytes: &[u8]) -> anyhow::Result<()> {
    engine()?.precompile_component(bytes)?;
    Ok(())
}

/// A component ready to be instantiated.
pub(crate) struct Bare {
    engine: Engine,
    pre: InstancePre<State>,
    accounts: GuestIndices,
}

impl Bare {
    /// Compiles and links.
    pub(crate) async fn new(bytes: &[u8]) -> anyhow::Result<Self> {
        let engine = engine()?;
        let component = Component::new(&engine, bytes)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        log::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
        let pre = linker.instantiate_pre(&component)?;
        let accounts = GuestIndices::new(&pre)?;
        Ok(Self {
            engine,
            pre,
            accounts,
        })
    }

    /// Store, instance, `create`, drop.
    pub(crate) async fn create(&self, intent: &str, attributes: &String) -> anyhow::Result<()> {
        let state = State {
            wasi: WasiCtx::builder().build(),
            table: ResourceTable::new(),
        };
        let mut store = Store::new(&self.engine, state);
        store.set_epoch_deadline(1_000_000);
        let instance = self.pre.instantiate_async(&mut store).await?;
        let guest = self.accounts.load(&mut store, &instance)?;
        let call = Call {
            settings: "{}".into(),
            deadline_ms: 30_000,
        };
        let write = Write {
            intent_id: intent.into(),
            attempt: 1,
            reason: "bench".into(),
        };
        let answer = guest.call_create(&mut store, &call, &write, attributes).await?;
        let account = answer.map_err(|error| anyhow::anyhow!("{}", error.message))?;
        let _: serde_json::Value = serde_json::from_str(&account.attributes)?;
        Ok(())
    }
}
