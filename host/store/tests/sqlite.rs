//! SQLite keeps what every store must keep, and what a data folder must.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod conformance;

use jiff::Timestamp;
use proptest::prelude::*;
use tempfile::TempDir;
use usher_store::{SqlStore, sqlite};

use conformance::{Backend, context, histories, randomness};

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl Backend for Folder {
    type Store = SqlStore;

    async fn open(&self, at: Timestamp) -> SqlStore {
        let context = usher_store::Context { at, ..context(0) };
        let folder = self.0.path();
        if sqlite::exists(folder) {
            sqlite::open(folder, randomness(), &context).await.unwrap()
        } else {
            sqlite::create(folder, randomness(), &context).await.unwrap()
        }
    }
}

mod accounts {
    use super::{Folder, conformance};

    #[tokio::test]
    async fn an_observation_is_kept_whole() {
        conformance::accounts::an_observation_is_kept_whole(&Folder::new()).await;
    }

    #[tokio::test]
    async fn a_link_is_made_and_removed() {
        conformance::accounts::a_link_is_made_and_removed(&Folder::new()).await;
    }

    #[tokio::test]
    async fn an_account_has_one_owner() {
        conformance::accounts::an_account_has_one_owner(&Folder::new()).await;
    }

    #[tokio::test]
    async fn a_link_given_up_is_free() {
        conformance::accounts::a_link_given_up_is_free(&Folder::new()).await;
    }
}

mod documents {
    use super::{Folder, conformance};

    #[tokio::test]
    async fn documents_have_versions() {
        conformance::documents::documents_have_versions(&Folder::new()).await;
    }

    #[tokio::test]
    async fn components_are_kept_by_digest() {
        conformance::documents::components_are_kept_by_digest(&Folder::new()).await;
    }
}

mod imports {
    use super::{Folder, conformance};

    #[tokio::test]
    async fn a_crash_while_staging_leaves_nothing() {
        conformance::imports::a_crash_while_staging_leaves_nothing(&Folder::new()).await;
    }

    #[tokio::test]
    async fn what_is_accepted_takes_effect_whatever_happens() {
        conformance::imports::what_is_accepted_takes_effect_whatever_happens(&Folder::new()).await;
    }

    #[tokio::test]
    async fn an_overtaken_import_cannot_be_accepted() {
        conformance::imports::an_overtaken_import_cannot_be_accepted(&Folder::new()).await;
    }

    #[tokio::test]
    async fn a_refused_import_changes_nothing() {
        conformance::imports::a_refused_import_changes_nothing(&Folder::new()).await;
    }

    #[tokio::test]
    async fn a_key_staged_twice_counts_once() {
        conformance::imports::a_key_staged_twice_counts_once(&Folder::new()).await;
    }

    #[tokio::test]
    async fn a_change_of_facts_is_versioned_and_told() {
        conformance::imports::a_change_of_facts_is_versioned_and_told(&Folder::new()).await;
    }

    #[tokio::test]
    async fn absence_counts_when_confirmed_and_ends_when_the_record_is_back() {
        conformance::imports::absence_counts_when_confirmed_and_ends_when_the_record_is_back(&Folder::new())
            .await;
    }

    #[tokio::test]
    async fn being_there_ends_a_row_of_absences() {
        conformance::imports::being_there_ends_a_row_of_absences(&Folder::new()).await;
    }

    #[tokio::test]
    async fn an_import_without_changes_makes_no_plan_stale() {
        conformance::imports::an_import_without_changes_makes_no_plan_stale(&Folder::new()).await;
    }

    #[tokio::test]
    async fn a_key_in_two_sources_is_two_people() {
        conformance::imports::a_key_in_two_sources_is_two_people(&Folder::new()).await;
    }

    #[tokio::test]
    async fn any_text_survives() {
        conformance::imports::any_text_survives(&Folder::new()).await;
    }
}

mod plans {
    use super::{Folder, conformance};

    #[tokio::test]
    async fn a_stale_plan_is_not_recorded() {
        conformance::plans::a_stale_plan_is_not_recorded(&Folder::new()).await;
    }

    #[tokio::test]
    async fn the_same_plan_twice_counts_once() {
        conformance::plans::the_same_plan_twice_counts_once(&Folder::new()).await;
    }

    #[tokio::test]
    async fn a_claimed_operation_is_not_overtaken() {
        conformance::plans::a_claimed_operation_is_not_overtaken(&Folder::new()).await;
    }

    #[tokio::test]
    async fn an_outcome_meanwhile_makes_a_plan_stale() {
        conformance::plans::an_outcome_meanwhile_makes_a_plan_stale(&Folder::new()).await;
    }

    #[tokio::test]
    async fn a_newer_plan_overtakes_what_has_not_started() {
        conformance::plans::a_newer_plan_overtakes_what_has_not_started(&Folder::new()).await;
    }

    #[tokio::test]
    async fn a_change_by_itself_is_due_when_its_time_comes() {
        conformance::plans::a_change_by_itself_is_due_when_its_time_comes(&Folder::new()).await;
    }

    #[tokio::test]
    async fn a_new_document_makes_everybody_due() {
        conformance::plans::a_new_document_makes_everybody_due(&Folder::new()).await;
    }

    #[tokio::test]
    async fn a_large_plan_is_recorded_whole() {
        conformance::plans::a_large_plan_is_recorded_whole(&Folder::new()).await;
    }
}

mod queue {
    use super::{Folder, conformance};

    #[tokio::test]
    async fn claims_go_by_priority_due_time_and_age() {
        conformance::queue::claims_go_by_priority_due_time_and_age(&Folder::new()).await;
    }

    #[tokio::test]
    async fn one_operation_of_an_account_at_a_time() {
        conformance::queue::one_operation_of_an_account_at_a_time(&Folder::new()).await;
    }

    #[tokio::test]
    async fn a_lost_claim_is_recovered_and_fenced() {
        conformance::queue::a_lost_claim_is_recovered_and_fenced(&Folder::new()).await;
    }

    #[tokio::test]
    async fn two_outcomes_of_one_attempt_count_once() {
        conformance::queue::two_outcomes_of_one_attempt_count_once(&Folder::new()).await;
    }

    #[tokio::test]
    async fn a_retry_is_due_again() {
        conformance::queue::a_retry_is_due_again(&Folder::new()).await;
    }

    #[tokio::test]
    async fn a_held_operation_waits_for_a_person() {
        conformance::queue::a_held_operation_waits_for_a_person(&Folder::new()).await;
    }

    #[tokio::test]
    async fn absence_expires_with_its_attempt() {
        conformance::queue::absence_expires_with_its_attempt(&Folder::new()).await;
    }

    #[tokio::test]
    async fn a_hold_says_whether_an_outcome_is_unknown() {
        conformance::queue::a_hold_says_whether_an_outcome_is_unknown(&Folder::new()).await;
    }

    #[tokio::test]
    async fn an_unsettled_operation_can_be_overtaken() {
        conformance::queue::an_unsettled_operation_can_be_overtaken(&Folder::new()).await;
    }

    #[tokio::test]
    async fn a_held_operation_remembers_an_unknown_outcome() {
        conformance::queue::a_held_operation_remembers_an_unknown_outcome(&Folder::new()).await;
    }

    #[tokio::test]
    async fn a_held_operation_can_be_overtaken() {
        conformance::queue::a_held_operation_can_be_overtaken(&Folder::new()).await;
    }

    #[tokio::test]
    async fn a_failed_operation_takes_down_what_waits_behind_it() {
        conformance::queue::a_failed_operation_takes_down_what_waits_behind_it(&Folder::new()).await;
    }

    #[tokio::test]
    async fn absence_is_recorded_before_a_create() {
        conformance::queue::absence_is_recorded_before_a_create(&Folder::new()).await;
    }

    #[tokio::test]
    async fn operations_are_listed_and_counted() {
        conformance::queue::operations_are_listed_and_counted(&Folder::new()).await;
    }

    #[tokio::test]
    async fn an_idle_claim_writes_nothing() {
        conformance::queue::an_idle_claim_writes_nothing(&Folder::new()).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
    #[test]
    fn random_histories_keep_the_promises(history in histories::moves()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(histories::the_queue_keeps_its_promises(&Folder::new(), &history));
    }
}
