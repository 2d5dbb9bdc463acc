//! The clock: the wall clock, or in a rehearsal folder a clock that was set.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use usher_engine::ports::Clock;

use crate::exit::Exit;
use crate::failure::Failure;

/// Longest single sleep: after it the clock is read again, so that a suspended machine or a corrected clock is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// The only reader of the wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock every other part is given"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep_until(&self, at: Timestamp) {
        sleep_by(self, at).await;
    }
}

/// A clock that was set to a moment and runs on from there, as fast as real time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RehearsalClock {
    at: Timestamp,
    since: Instant,
}

impl RehearsalClock {
    /// A clock that shows this moment now.
    pub(crate) fn new(at: Timestamp) -> Self {
        Self {
            at,
            since: Instant::now(),
        }
    }
}

#[async_trait]
impl Clock for RehearsalClock {
    fn now(&self) -> Timestamp {
        // Saturates at the end of time, in the year 9999.
        self.at.saturating_add(self.since.elapsed()).unwrap_or(self.at)
    }

    async fn sleep_until(&self, at: Timestamp) {
        sleep_by(self, at).await;
    }
}

/// How far `--now` may lie before what a rehearsal has recorded: a command repeated with the same `--now` comes after what the
/// first one did. Beyond it somebody means to go back.
const REPEAT_MAX: SignedDuration = SignedDuration::from_hours(1);

/// The clock a command lives by. `stands` is the moment a rehearsal folder stands at; `None` in any other folder.
pub(crate) fn choose(stands: Option<Timestamp>, now: Option<Timestamp>) -> Result<Arc<dyn Clock>, Failure> {
    match (stands, now) {
        (None, None) => Ok(Arc::new(SystemClock)),
        (None, Some(_)) => Err(Failure::new(Exit::Usage, "--now works in rehearsals only; this store lives by the wall clock")
            .advice("make a folder to rehearse in with `usher init --rehearsal --data DIR`")),
        (Some(stands), Some(now)) if stands.duration_since(now) > REPEAT_MAX => {
            Err(Failure::new(Exit::Usage, format!("this rehearsal has come to {stands}; its clock cannot go back to {now}"))
                .advice("leave --now out or give a later time; to begin again, make another folder with `usher init --rehearsal`"))
        }
        (Some(stands), now) => Ok(Arc::new(RehearsalClock::new(now.map_or(stands, |now| now.max(stands))))),
    }
}

/// Until the clock shows `at`, or for as long as that was away when it began: a clock that is set back keeps nobody asleep.
async fn sleep_by(clock: &dyn Clock, at: Timestamp) {
    let began = Instant::now();
    let away = |now: Timestamp| Duration::try_from(at.duration_since(now)).unwrap_or_default();
    let most = away(clock.now());
    loop {
        let remaining = away(clock.now()).min(most.saturating_sub(began.elapsed()));
        if remaining.is_zero() {
            return;
        }
        tokio::time::sleep(remaining.min(SLEEP_MAX)).await;
    }
}

/// Reads `--now`: an RFC 3339 time, or a date, which means noon UTC of that day (that day in nearly every zone).
pub(crate) fn parse_moment(text: &str) -> Result<Timestamp, String> {
    parse_at(text, 12)
}

/// Reads `--since` and `--until`: an RFC 3339 time, or a date, which means its first moment in UTC.
pub(crate) fn parse_bound(text: &str) -> Result<Timestamp, String> {
    parse_at(text, 0)
}

fn parse_at(text: &str, hour: i8) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    text.parse::<Date>()
        .ok()
        .filter(|_| text.len() == "2026-03-02".len())
        .and_then(|date| date.at(hour, 0, 0, 0).to_zoned(TimeZone::UTC).ok())
        .map(|zoned| zoned.timestamp())
        .ok_or_else(|| {
            "neither a time with offset (2026-03-02T09:00:00+01:00) nor a date (2026-03-02)".to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_times_with_offset_or_dates() {
        assert_eq!(
            parse_moment("2026-03-02T09:00:00+01:00").unwrap().to_string(),
            "2026-03-02T08:00:00Z"
        );
        assert_eq!(
            parse_bound("2026-03-02").unwrap().to_string(),
            "2026-03-02T00:00:00Z"
        );
        assert_eq!(
            parse_moment("2026-03-02").unwrap().to_string(),
            "2026-03-02T12:00:00Z"
        );
        for bad in [
            "",
            "tomorrow",
            "2026-02-30",
            "2026-03-02T09:00:00",
            "2026-13-01",
            "20260302",
        ] {
            assert!(parse_moment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rehearsal_goes_on_and_never_back() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let stands = at("2030-01-01T00:00:00Z");
        let shows = |now: Option<&str>| choose(Some(stands), now.map(at)).map(|clock| clock.now());
        assert!(shows(None).unwrap() >= stands);
        assert!(shows(Some("2030-02-01T00:00:00Z")).unwrap() >= at("2030-02-01T00:00:00Z"));
        let repeated = shows(Some("2029-12-31T23:30:00Z")).unwrap();
        assert!(repeated >= stands && repeated < at("2030-01-01T00:10:00Z"));
        assert_eq!(
            shows(Some("2029-12-31T00:00:00Z")).unwrap_err().exit(),
            Exit::Usage
        );
    }

    #[test]
    fn the_wall_clock_cannot_be_set() {
        assert_eq!(
            choose(None, Some(Timestamp::UNIX_EPOCH))
                .map(|_| ())
                .unwrap_err()
                .exit(),
            Exit::Usage
        );
        let clock = choose(None, None).unwrap();
        assert!(clock.now() > "2020-01-01T00:00:00Z".parse().unwrap());
    }

    #[tokio::test]
    async fn what_has_passed_is_not_waited_for() {
        let mut waiting = std::pin::pin!(SystemClock.sleep_until("2001-01-01T00:00:00Z".parse().unwrap()));
        let first_look =
            std::future::poll_fn(|context| std::task::Poll::Ready(waiting.as_mut().poll(context))).await;
        assert!(first_look.is_ready());
    }

    /// Shows an hour less from the second look on.
    #[derive(Default)]
    struct SetBack(std::sync::atomic::AtomicBool);

    #[async_trait]
    impl Clock for SetBack {
        fn now(&self) -> Timestamp {
            let was_read = self.0.swap(true, std::sync::atomic::Ordering::Relaxed);
            Timestamp::UNIX_EPOCH - SignedDuration::from_hours(i64::from(was_read))
        }

        async fn sleep_until(&self, at: Timestamp) {
            sleep_by(self, at).await;
        }
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_keeps_nobody_asleep() {
        let at = Timestamp::UNIX_EPOCH + SignedDuration::from_millis(50);
        let sleeping = SetBack::default();
        tokio::time::timeout(Duration::from_secs(60), sleeping.sleep_until(at))
            .await
            .expect("it sleeps for 50 ms, not for an hour");
    }

    #[tokio::test]
    async fn a_moment_to_come_is_waited_for() {
        let clock = RehearsalClock::new("2030-01-01T00:00:00Z".parse().unwrap());
        let at: Timestamp = "2030-01-01T00:00:00.05Z".parse().unwrap();
        clock.sleep_until(at).await;
        assert!(clock.now() >= at);
    }
}
