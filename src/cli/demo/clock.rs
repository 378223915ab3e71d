//! The demo's clock: told the time while the history is being recorded, then in step with the machine's.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, Utc};

use crate::clock::Clock;

/// A clock that can be told the time, and never goes back.
pub struct DemoClock {
    machine: Arc<dyn Clock>,
    hands: Mutex<Hands>,
}

#[derive(Debug, Clone, Copy)]
struct Hands {
    /// What the clock was told; absent: it follows the machine.
    told: Option<DateTime<Utc>>,
    /// The latest time it has shown.
    shown: DateTime<Utc>,
}

impl DemoClock {
    /// A clock that stands at `start` until it is told otherwise.
    pub fn standing_at(start: DateTime<Utc>, machine: Arc<dyn Clock>) -> Self {
        Self {
            machine,
            hands: Mutex::new(Hands {
                told: Some(start),
                shown: start,
            }),
        }
    }

    /// Sets the clock. A time before the one it shows leaves it where it is.
    pub fn tell(&self, time: DateTime<Utc>) {
        self.turn(|hands| hands.told = Some(time));
    }

    /// From now on the clock goes with the machine's.
    pub fn follow_machine(&self) {
        self.turn(|hands| hands.told = None);
    }

    fn turn(&self, change: impl FnOnce(&mut Hands)) -> DateTime<Utc> {
        let mut hands = self.hands.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut hands);
        let time = hands.told.unwrap_or_else(|| self.machine.now());
        hands.shown = hands.shown.max(time);
        hands.shown
    }
}

impl Clock for DemoClock {
    fn now(&self) -> DateTime<Utc> {
        self.turn(|_| {})
    }
}

impl fmt::Debug for DemoClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DemoClock")
            .field("hands", &self.hands)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    #[test]
    fn the_clock_shows_what_it_was_told_until_it_follows_the_machine() {
        let clock = DemoClock::standing_at(at(10), Arc::new(ManualClock::at(at(1000))));
        assert_eq!(clock.now(), at(10));
        clock.tell(at(20));
        assert_eq!(clock.now(), at(20));
        clock.follow_machine();
        assert_eq!(clock.now(), at(1000));
    }

    #[test]
    fn the_clock_never_goes_back() {
        let machine = Arc::new(ManualClock::at(at(15)));
        let clock = DemoClock::standing_at(at(20), Arc::<ManualClock>::clone(&machine) as Arc<dyn Clock>);
        clock.tell(at(10));
        assert_eq!(clock.now(), at(20), "told an earlier time");
        clock.follow_machine();
        assert_eq!(clock.now(), at(20), "the machine is behind");
        machine.set(at(30));
        assert_eq!(clock.now(), at(30));
        machine.set(at(25));
        assert_eq!(clock.now(), at(30), "the machine was set back");
    }
}
