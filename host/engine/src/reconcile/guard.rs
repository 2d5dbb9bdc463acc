//! When a list as a whole is not believed.

use serde::Serialize;

/// Why nothing of a list took effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Refusal {
    /// Why, and what to do.
    pub reason: String,
}

/// Compares how many of the accounts known before were listed.
pub(super) fn refusal(known: u64, still_there: u64, shrink_max_percent: u8) -> Option<Refusal> {
    let gone = known.saturating_sub(still_there);
    let advice = "Look at the target and at what its credential may see. If they are really gone, override the guards: each is then asked for \
                  by its id before anything follows from it";
    if known > 0 && still_there == 0 {
        let reason = format!("not one of the {known} accounts known here was listed. {advice}");
        return Some(Refusal { reason });
    }
    (gone * 100 > known * u64::from(shrink_max_percent)).then(|| Refusal {
        reason: format!(
            "{gone} of the {known} accounts known here were not listed: more than reconcile-shrink-max-percent = {shrink_max_percent} allows. \
             {advice}"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::refusal;

    #[test]
    fn a_list_that_lost_too_much_is_not_believed() {
        for (known, there, percent, refused) in [
            (0, 0, 30, false),
            (10, 10, 30, false),
            (10, 7, 30, false),
            (10, 6, 30, true),
            (10, 0, 100, true),
            (10, 1, 100, false),
            (1, 0, 30, true),
            (5, 9, 0, false),
            (1_000, 999, 0, true),
        ] {
            let told = refusal(known, there, percent);
            assert_eq!(told.is_some(), refused, "{there} of {known}, {percent} %");
        }
    }
}
