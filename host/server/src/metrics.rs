//! What is counted, by name. Labels are targets, verbs and our own words only: so many series as there are of them, and nothing personal.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use usher_lifecycle::operation::OperationState;

use crate::site::About;

/// Bounds of durations, in seconds: from a commit on a fast disk to one that waits for a failover.
const SECONDS: [f64; 13] = [
    0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
];
/// Bounds of batches: up to all that can be under way at many targets.
const BATCH: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1_024.0];

/// States an operation can be in before its end.
pub(crate) const OPEN: [OperationState; 4] = [
    OperationState::Waiting,
    OperationState::Ready,
    OperationState::Claimed,
    OperationState::Held,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OperationLabels {
    pub(crate) target: String,
    pub(crate) verb: &'static str,
    pub(crate) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct QueueLabels {
    pub(crate) target: String,
    pub(crate) state: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct TargetLabels {
    pub(crate) target: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ReconcileLabels {
    pub(crate) target: String,
    /// `done`, `refused` or `failed`.
    pub(crate) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct PartLabels {
    pub(crate) part: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct FailureLabels {
    pub(crate) part: &'static str,
    pub(crate) kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: String,
    schema: String,
}

/// A gauge of a quantity that is no whole number.
pub(crate) type Seconds = Gauge<f64, std::sync::atomic::AtomicU64>;

/// All of it. Cloning shares the numbers.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) operations: Family<OperationLabels, Counter>,
    pub(crate) claims: Counter,
    pub(crate) commit_seconds: Histogram,
    pub(crate) commit_outcomes: Histogram,
    pub(crate) planned_identities: Counter,
    pub(crate) planned_operations: Counter,
    pub(crate) plan_problems: Counter,
    pub(crate) plan_seconds: Histogram,
    pub(crate) plan_lag: Seconds,
    pub(crate) fenced: Counter,
    pub(crate) recovered: Counter,
    pub(crate) rejoined: Counter,
    pub(crate) rests: Family<TargetLabels, Counter>,
    pub(crate) reconciles: Family<ReconcileLabels, Counter>,
    pub(crate) drifted: Family<TargetLabels, Counter>,
    pub(crate) store_failures: Family<FailureLabels, Counter>,
    pub(crate) hindered: Family<PartLabels, Counter>,
    pub(crate) queue: Family<QueueLabels, Gauge>,
    pub(crate) resting: Family<TargetLabels, Gauge>,
    pub(crate) turn_age: Family<PartLabels, Seconds>,
    pub(crate) frozen: Gauge,
    pub(crate) up: Gauge,
    pub(crate) replicas: Gauge,
    pub(crate) lease_holds: Gauge,
    pub(crate) resident_bytes: Gauge,
    pub(crate) peak_bytes: Gauge,
    pub(crate) start_time: Seconds,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            operations: Family::default(),
            claims: Counter::default(),
            commit_seconds: Histogram::new(SECONDS),
            commit_outcomes: Histogram::new(BATCH),
            planned_identities: Counter::default(),
            planned_operations: Counter::default(),
            plan_problems: Counter::default(),
            plan_seconds: Histogram::new(SECONDS),
            plan_lag: Seconds::default(),
            fenced: Counter::default(),
            recovered: Counter::default(),
            rejoined: Counter::default(),
            rests: Family::default(),
            reconciles: Family::default(),
            drifted: Family::default(),
            store_failures: Family::default(),
            hindered: Family::default(),
            queue: Family::default(),
            resting: Family::default(),
            turn_age: Family::default(),
            frozen: Gauge::default(),
            up: Gauge::default(),
            replicas: Gauge::default(),
            lease_holds: Gauge::default(),
            resident_bytes: Gauge::default(),
            peak_bytes: Gauge::default(),
            start_time: Seconds::default(),
        }
    }
}

impl Metrics {
    /// A registry that shows these numbers.
    pub(crate) fn registry(&self, about: &About) -> Registry {
        let mut registry = Registry::default();
        self.of_the_process(&mut registry);
        let usher = registry.sub_registry_with_prefix("usher");
        let build = BuildLabels {
            version: about.version.to_owned(),
            schema: about.schema_version.to_string(),
        };
        usher.register(
            "build",
            "Which program this is, and which schema it knows",
            Info::new(build),
        );
        self.of_operations(usher);
        self.of_planning(usher);
        self.of_the_store(usher);
        registry
    }

    fn of_the_process(&self, registry: &mut Registry) {
        let process = registry.sub_registry_with_prefix("process");
        process.register_with_unit(
            "resident_memory",
            "Memory in use",
            Unit::Bytes,
            self.resident_bytes.clone(),
        );
        process.register_with_unit(
            "peak_memory",
            "The most memory ever in use",
            Unit::Bytes,
            self.peak_bytes.clone(),
        );
        process.register_with_unit(
            "start_time",
            "When it began, since 1970",
            Unit::Seconds,
            self.start_time.clone(),
        );
    }

    fn of_operations(&self, usher: &mut Registry) {
        usher.register(
            "operations",
            "Attempts of this host that ended, by how",
            self.operations.clone(),
        );
        usher.register("claims", "Operations claimed by this host", self.claims.clone());
        usher.register_with_unit(
            "commit",
            "How long a commit of outcomes and claims took",
            Unit::Seconds,
            self.commit_seconds.clone(),
        );
        usher.register(
            "commit_outcomes",
            "Outcomes in one commit",
            self.commit_outcomes.clone(),
        );
        usher.register(
            "fenced",
            "Outcomes refused: the attempt was another host's by then",
            self.fenced.clone(),
        );
        usher.register(
            "recovered",
            "Operations taken over from hosts that are gone",
            self.recovered.clone(),
        );
        usher.register(
            "rejoined",
            "Times this host was not heard of for too long and began anew",
            self.rejoined.clone(),
        );
        usher.register(
            "rests",
            "Times a target had to be left alone for a while",
            self.rests.clone(),
        );
        usher.register(
            "reconciles",
            "Times a target was reconciled by the clock, and how that ended",
            self.reconciles.clone(),
        );
        usher.register(
            "drifted_accounts",
            "Accounts found to differ although nobody here changed them",
            self.drifted.clone(),
        );
        usher.register(
            "queue_operations",
            "Operations in the queue, of all hosts",
            self.queue.clone(),
        );
        usher.register(
            "target_resting",
            "1: the target is left alone for now, by all hosts",
            self.resting.clone(),
        );
    }

    fn of_planning(&self, usher: &mut Registry) {
        usher.register(
            "planned_identities",
            "Identities planned by this host",
            self.planned_identities.clone(),
        );
        usher.register(
            "planned_operations",
            "Operations that came of it",
            self.planned_operations.clone(),
        );
        usher.register(
            "plan_problems",
            "Rules, mappings and dates that could not be evaluated",
            self.plan_problems.clone(),
        );
        usher.register_with_unit(
            "plan",
            "How long planning a batch took",
            Unit::Seconds,
            self.plan_seconds.clone(),
        );
        usher.register_with_unit(
            "plan_lag",
            "For how long planning has not come to an end",
            Unit::Seconds,
            self.plan_lag.clone(),
        );
    }

    fn of_the_store(&self, usher: &mut Registry) {
        usher.register(
            "store_failures",
            "Times the store failed",
            self.store_failures.clone(),
        );
        usher.register(
            "hindered",
            "Times something else than the store was in the way",
            self.hindered.clone(),
        );
        usher.register_with_unit(
            "turn_age",
            "Since when a part of the loop has not begun a turn",
            Unit::Seconds,
            self.turn_age.clone(),
        );
        usher.register(
            "frozen",
            "1: nothing runs until somebody thaws it",
            self.frozen.clone(),
        );
        usher.register("store_up", "1: the store answers", self.up.clone());
        usher.register("replicas", "Hosts at work on this store", self.replicas.clone());
        usher.register(
            "lease_holds",
            "1: other hosts leave this one's work alone",
            self.lease_holds.clone(),
        );
    }
}
