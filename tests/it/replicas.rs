//! Several servers on one PostgreSQL, under load, while parts of it fail: nothing acknowledged is lost, nothing is done
//! twice, watches go on elsewhere, and service comes back by itself.

mod decisions;
mod fleet;
mod load;

use std::time::Duration;

use tokio::time::Instant;

use crate::support::engine::Engine;
use fleet::Fleet;
use load::Load;

/// How many servers there are.
const REPLICAS: usize = 3;
/// How many writes have to be answered between one failure and the next.
const BETWEEN: usize = 40;

/// What fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// One server after the other is killed, and started again somewhere else.
    Replica,
    /// The database crashes, and is started again.
    Database,
    /// Every connection to the database breaks, and none can be made for a while.
    Cut,
    /// Nothing comes through to the database or back, and no connection is closed.
    Silence,
}

/// How long to go on.
#[derive(Debug, Clone, Copy)]
enum Length {
    Rounds(usize),
    Time(Duration),
}

/// Lets something fail again and again under load, then looks at what is left.
async fn trial(failure: Failure, length: Length) {
    let mut fleet = Fleet::start(REPLICAS).await;
    let load = Load::start(&fleet).await;
    let begun = Instant::now();
    let mut rounds = 0;
    loop {
        load.goes_on(BETWEEN).await;
        match length {
            Length::Rounds(count) if rounds == count => break,
            Length::Time(time) if begun.elapsed() >= time => break,
            _ => {}
        }
        match failure {
            Failure::Replica => {
                fleet.kill(rounds % REPLICAS);
                load.goes_on(BETWEEN).await;
                fleet.start_again(rounds % REPLICAS).await;
            }
            Failure::Database => {
                fleet.crash_database();
                load.fails().await;
                fleet.start_database();
            }
            Failure::Cut => {
                fleet.proxy.cut();
                load.fails().await;
                fleet.proxy.open();
            }
            Failure::Silence => {
                fleet.proxy.freeze();
                load.fails().await;
                fleet.proxy.open();
            }
        }
        rounds += 1;
    }
    let told = load.finish(&fleet).await;
    if let Length::Time(_) = length {
        println!("{failure:?}: {rounds} times in {:?}: {told}", begun.elapsed());
    }
    fleet.stop();
}

/// Each as a test of some rounds, and as one of a minute: `cargo test --release --test it -- --ignored --nocapture for_a_minute`.
macro_rules! trials {
    ($($name:ident $long:ident $failure:ident $rounds:literal)+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $name() {
            if Engine::Postgres.is_here() {
                trial(Failure::$failure, Length::Rounds($rounds)).await;
            }
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        #[ignore = "it takes a minute"]
        async fn $long() {
            trial(Failure::$failure, Length::Time(Duration::from_mins(1))).await;
        }
    )+};
}

trials! {
    servers_that_are_killed_lose_nothing_and_do_nothing_twice servers_are_killed_for_a_minute Replica 3
    a_database_that_crashes_loses_nothing_and_does_nothing_twice the_database_crashes_for_a_minute Database 2
    connections_that_break_lose_nothing_and_do_nothing_twice connections_break_for_a_minute Cut 3
    connections_that_fall_silent_lose_nothing_and_do_nothing_twice connections_fall_silent_for_a_minute Silence 1
}
