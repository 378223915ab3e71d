//! Fair queueing: so many at a time, and who has to wait is let in by turns over the keys, so that however many wait under
//! one key take no more of the whole than the one who waits under another.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// A limit on how many are in at a time, by keys of type `K`. Its clones share it.
///
/// Under one key who came first is let in first. The keys that somebody waits under have turns: a key that has had one is
/// behind every other, and a new one is behind those that were there. Nothing is kept of a key that nobody waits under.
#[derive(Debug)]
pub struct Fair<K: Eq + Hash + Clone> {
    state: Arc<Mutex<State<K>>>,
}

/// Being in. Whoever is next is let in when it is dropped.
#[derive(Debug)]
pub struct Permit<K: Eq + Hash + Clone> {
    state: Arc<Mutex<State<K>>>,
}

#[derive(Debug)]
struct State<K: Eq + Hash + Clone> {
    /// How many more may be in. Above none, nobody waits.
    free: usize,
    /// Those who wait; none of the queues is empty.
    waiting: HashMap<K, VecDeque<Waiter<K>>>,
    /// The keys of `waiting`, the next one first.
    turns: VecDeque<K>,
    /// The number of the next who has to wait.
    number: u64,
}

#[derive(Debug)]
struct Waiter<K: Eq + Hash + Clone> {
    /// Those who came later have higher ones.
    number: u64,
    permit: oneshot::Sender<Permit<K>>,
}

/// A place in the queue, which is left when this is dropped. A permit that was handed over and never taken out is dropped
/// behind it, with `permit`, and so passed on.
struct Place<K: Eq + Hash + Clone> {
    fair: Fair<K>,
    key: K,
    number: u64,
    permit: oneshot::Receiver<Permit<K>>,
}

impl<K: Eq + Hash + Clone> Clone for Fair<K> {
    fn clone(&self) -> Self {
        Self {
            state: Arc::clone(&self.state),
        }
    }
}

impl<K: Eq + Hash + Clone> Fair<K> {
    /// So many may be in at a time; at least one.
    pub fn new(running: usize) -> Self {
        let state = State {
            free: running.max(1),
            waiting: HashMap::new(),
            turns: VecDeque::new(),
            number: 0,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Waits for this key's turn, if it has to. Who stops waiting loses their place, and nobody else anything.
    pub async fn enter(&self, key: K) -> Permit<K> {
        let mut place = match self.queue(key) {
            Ok(permit) => return permit,
            Err(place) => place,
        };
        match (&mut place.permit).await {
            Ok(permit) => permit,
            // Not before the whole queue is gone, and this is one who holds it.
            Err(_) => std::future::pending().await,
        }
    }

    /// A permit if one is free, else a place in the queue.
    fn queue(&self, key: K) -> Result<Permit<K>, Place<K>> {
        let mut state = lock(&self.state);
        if state.free > 0 {
            state.free -= 1;
            drop(state);
            return Ok(Permit {
                state: Arc::clone(&self.state),
            });
        }
        let number = state.number;
        state.number += 1;
        let (sender, permit) = oneshot::channel();
        let waiter = Waiter {
            number,
            permit: sender,
        };
        if let Some(queue) = state.waiting.get_mut(&key) {
            queue.push_back(waiter);
        } else {
            state.waiting.insert(key.clone(), VecDeque::from([waiter]));
            state.turns.push_back(key.clone());
        }
        drop(state);
        Err(Place {
            fair: self.clone(),
            key,
            number,
            permit,
        })
    }
}

impl<K: Eq + Hash + Clone> State<K> {
    /// Who is next, out of the queue.
    fn next(&mut self) -> Option<Waiter<K>> {
        let key = self.turns.pop_front()?;
        let queue = self.waiting.get_mut(&key)?;
        let waiter = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(&key);
        } else {
            self.turns.push_back(key);
        }
        waiter
    }

    /// Forgets who does not wait any more, unless they were let in already.
    fn leave(&mut self, key: &K, number: u64) {
        let Some(queue) = self.waiting.get_mut(key) else {
            return;
        };
        let Ok(place) = queue.binary_search_by_key(&number, |waiter| waiter.number) else {
            return;
        };
        queue.remove(place);
        if queue.is_empty() {
            self.waiting.remove(key);
            self.turns.retain(|turn| turn != key);
        }
    }
}

impl<K: Eq + Hash + Clone> Drop for Permit<K> {
    fn drop(&mut self) {
        let next = {
            let mut state = lock(&self.state);
            let next = state.next();
            if next.is_none() {
                state.free += 1;
            }
            next
        };
        if let Some(waiter) = next {
            let state = Arc::clone(&self.state);
            // Whoever has just stopped waiting does not take it: then it is dropped here, and the one behind is next.
            drop(waiter.permit.send(Permit { state }));
        }
    }
}

impl<K: Eq + Hash + Clone> Drop for Place<K> {
    fn drop(&mut self) {
        lock(&self.fair.state).leave(&self.key, self.number);
    }
}

/// Nothing that is done under the lock panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        sync::atomic::{AtomicUsize, Ordering},
        task::{Context, Poll, Waker},
    };

    use proptest::{collection::vec, prelude::*, sample::Index};

    use super::*;

    type Key = u8;

    /// Somebody who wants in.
    struct Entering(Pin<Box<dyn Future<Output = Permit<Key>>>>);

    impl Entering {
        /// Who has asked already.
        fn new(fair: &Fair<Key>, key: Key) -> Result<Permit<Key>, Self> {
            let fair = fair.clone();
            let mut entering = Self(Box::pin(async move { fair.enter(key).await }));
            entering.look().ok_or(entering)
        }

        fn look(&mut self) -> Option<Permit<Key>> {
            match self.0.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(permit) => Some(permit),
                Poll::Pending => None,
            }
        }
    }

    fn waits(fair: &Fair<Key>, key: Key) -> Entering {
        Entering::new(fair, key).err().expect("there is no room")
    }

    fn enters(fair: &Fair<Key>, key: Key) -> Permit<Key> {
        Entering::new(fair, key).ok().expect("there is room")
    }

    /// How many more could be in, and how many wait under how many keys.
    fn seen(fair: &Fair<Key>) -> (usize, usize, usize) {
        let state = lock(&fair.state);
        assert_eq!(state.waiting.len(), state.turns.len());
        assert!(state.turns.iter().all(|key| state.waiting.contains_key(key)));
        assert!(state.waiting.values().all(|queue| !queue.is_empty()));
        let waiting = state.waiting.values().map(VecDeque::len).sum();
        (state.free, waiting, state.turns.len())
    }

    /// Lets one in after the other, and tells their keys and numbers in that order.
    fn order(first: Permit<Key>, mut waiting: Vec<(Key, usize, Entering)>) -> Vec<(Key, usize)> {
        let mut order = Vec::new();
        let mut inside = Some(first);
        while !waiting.is_empty() {
            drop(inside.take());
            let mut let_in = Vec::new();
            waiting.retain_mut(|(key, number, entering)| match entering.look() {
                Some(permit) => {
                    let_in.push((*key, *number, permit));
                    false
                }
                None => true,
            });
            let (key, number, permit) = let_in.pop().expect("whoever is next");
            assert!(let_in.is_empty(), "one at a time");
            order.push((key, number));
            inside = Some(permit);
        }
        order
    }

    #[test]
    fn who_finds_room_goes_in_and_who_does_not_waits_until_somebody_leaves() {
        let fair = Fair::new(2);
        let first = enters(&fair, 1);
        let second = enters(&fair, 1);
        let mut third = waits(&fair, 1);
        assert_eq!(seen(&fair), (0, 1, 1));
        drop(first);
        let third = third.look().unwrap();
        assert_eq!(seen(&fair), (0, 0, 0));
        drop((second, third));
        assert_eq!(seen(&fair), (2, 0, 0));
    }

    #[test]
    fn there_is_room_for_one_at_least() {
        let fair = Fair::new(0);
        let _inside = enters(&fair, 1);
        waits(&fair, 2);
    }

    #[test]
    fn under_one_key_who_came_first_is_first() {
        let fair = Fair::new(1);
        let inside = enters(&fair, 1);
        let waiting = (0..5).map(|number| (1, number, waits(&fair, 1))).collect();
        let order: Vec<usize> = order(inside, waiting)
            .into_iter()
            .map(|(_, number)| number)
            .collect();
        assert_eq!(order, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn keys_have_turns_however_many_wait_under_each() {
        let fair = Fair::new(1);
        let inside = enters(&fair, 1);
        let waiting = [(1, 6), (2, 2), (3, 1)]
            .into_iter()
            .flat_map(|(key, count)| (0..count).map(move |number| (key, number)))
            .map(|(key, number)| (key, number, waits(&fair, key)))
            .collect();
        let keys: Vec<Key> = order(inside, waiting).into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [1, 2, 3, 1, 2, 1, 1, 1, 1]);
        assert_eq!(seen(&fair), (1, 0, 0));
    }

    #[test]
    fn a_key_that_comes_again_is_behind_those_that_have_waited() {
        let fair = Fair::new(1);
        let inside = enters(&fair, 1);
        let (mut one, mut two) = (waits(&fair, 1), waits(&fair, 2));
        drop(inside);
        let inside = one.look().unwrap();
        let waiting = vec![(1, 0, waits(&fair, 1)), (3, 0, waits(&fair, 3))];
        drop(inside);
        let inside = two.look().unwrap();
        assert_eq!(order(inside, waiting), [(1, 0), (3, 0)]);
    }

    #[test]
    fn who_stops_waiting_leaves_nothing_and_the_others_keep_their_places() {
        let fair = Fair::new(1);
        let inside = enters(&fair, 1);
        let mut waiting: Vec<_> = [(1, 0), (1, 1), (1, 2), (2, 0), (3, 0)]
            .into_iter()
            .map(|(key, number)| (key, number, waits(&fair, key)))
            .collect();
        drop(waiting.remove(3));
        drop(waiting.remove(1));
        assert_eq!(seen(&fair), (0, 3, 2));
        assert_eq!(order(inside, waiting), [(1, 0), (3, 0), (1, 2)]);
    }

    #[test]
    fn who_goes_away_as_they_are_let_in_lets_the_next_one_in() {
        let fair = Fair::new(1);
        let inside = enters(&fair, 1);
        let (gone, mut next) = (waits(&fair, 1), waits(&fair, 2));
        drop(inside);
        assert!(next.look().is_none(), "it was somebody else's turn");
        drop(gone);
        drop(next.look().unwrap());
        assert_eq!(seen(&fair), (1, 0, 0));
    }

    #[test]
    fn when_all_who_wait_go_away_there_is_room_again() {
        let fair = Fair::new(1);
        let inside = enters(&fair, 1);
        let waiting: Vec<_> = (0..100).map(|number| waits(&fair, number % 7)).collect();
        drop(inside);
        drop(waiting);
        assert_eq!(seen(&fair), (1, 0, 0));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn from_many_threads_never_more_are_in_than_may_be_and_none_is_lost() {
        const RUNNING: usize = 3;
        let fair = Fair::new(RUNNING);
        let inside = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..400_u16)
            .map(|number| {
                let (fair, inside) = (fair.clone(), Arc::clone(&inside));
                let task = tokio::spawn(async move {
                    let _permit = fair.enter(number % 5).await;
                    assert!(inside.fetch_add(1, Ordering::SeqCst) < RUNNING);
                    // Nobody goes away in here: it would be counted for ever.
                    inside.fetch_sub(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                });
                (number, task)
            })
            .collect();
        for (number, task) in tasks {
            if number % 3 == 0 {
                task.abort();
            }
            assert!(task.await.is_ok() || number % 3 == 0);
        }
        let state = lock(&fair.state);
        assert_eq!(
            (state.free, state.waiting.len(), state.turns.len()),
            (RUNNING, 0, 0)
        );
    }

    /// What may happen.
    #[derive(Debug, Clone)]
    enum Step {
        Enter(Key),
        /// One of those who were let in finds out.
        Find(Index),
        /// One of those who are in, and know it, leaves.
        Leave(Index),
        /// One of those who wait, or were let in and do not know it, goes away.
        GoAway(Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..4_u8).prop_map(Step::Enter),
            2 => any::<Index>().prop_map(Step::Find),
            3 => any::<Index>().prop_map(Step::Leave),
            1 => any::<Index>().prop_map(Step::GoAway),
        ]
    }

    /// Somebody who wants in, as the model has them.
    struct Modelled {
        key: Key,
        let_in: bool,
        entering: Entering,
    }

    /// The same without queues: the next key is the one that has had no turn for the longest, of those that wait.
    struct Model {
        free: usize,
        /// In the order in which they came.
        wanting: Vec<Modelled>,
        /// Since when each key has waited, or when it had its last turn.
        since: HashMap<Key, usize>,
        now: usize,
    }

    impl Model {
        fn waiting(&self) -> impl Iterator<Item = &Modelled> {
            self.wanting.iter().filter(|one| !one.let_in)
        }

        /// Somebody has left: who is next?
        fn leave(&mut self) {
            self.forget();
            let next = self
                .waiting()
                .map(|one| one.key)
                .min_by_key(|key| self.since[key]);
            let Some(next) = next else {
                self.free += 1;
                return;
            };
            self.now += 1;
            self.since.insert(next, self.now);
            let first = self.wanting.iter_mut().find(|one| one.key == next && !one.let_in);
            first.unwrap().let_in = true;
            self.forget();
        }

        /// A key that nobody waits under has no place.
        fn forget(&mut self) {
            let keys: Vec<Key> = self.waiting().map(|one| one.key).collect();
            self.since.retain(|key, _| keys.contains(key));
        }
    }

    proptest! {
        #[test]
        fn whatever_happens_turns_are_as_in_a_simple_model(running in 1..4_usize, steps in vec(step(), 0..120)) {
            let fair = Fair::new(running);
            let mut model = Model { free: running, wanting: Vec::new(), since: HashMap::new(), now: 0 };
            let mut inside = Vec::new();
            for step in steps {
                match step {
                    Step::Enter(key) => match Entering::new(&fair, key) {
                        Ok(permit) => {
                            prop_assert!(model.free > 0, "there was no room");
                            model.free -= 1;
                            inside.push(permit);
                        }
                        Err(entering) => {
                            prop_assert_eq!(model.free, 0, "there was room");
                            model.now += 1;
                            model.since.entry(key).or_insert(model.now);
                            model.wanting.push(Modelled { key, let_in: false, entering });
                        }
                    },
                    Step::Find(which) => {
                        let let_in: Vec<usize> =
                            (0..model.wanting.len()).filter(|&place| model.wanting[place].let_in).collect();
                        if !let_in.is_empty() {
                            let mut one = model.wanting.remove(*which.get(&let_in));
                            inside.push(one.entering.look().expect("they were let in"));
                        }
                    }
                    Step::Leave(which) if !inside.is_empty() => {
                        drop(inside.swap_remove(which.index(inside.len())));
                        model.leave();
                    }
                    Step::GoAway(which) if !model.wanting.is_empty() => {
                        let gone = model.wanting.remove(which.index(model.wanting.len()));
                        drop(gone.entering);
                        if gone.let_in {
                            model.leave();
                        } else {
                            model.forget();
                        }
                    }
                    Step::Leave(_) | Step::GoAway(_) => {}
                }
                for one in model.wanting.iter_mut().filter(|one| !one.let_in) {
                    prop_assert!(one.entering.look().is_none(), "somebody else was next");
                }
                let seen = seen(&fair);
                prop_assert_eq!(seen, (model.free, model.waiting().count(), model.since.len()));
                let let_in = model.wanting.iter().filter(|one| one.let_in).count();
                prop_assert_eq!(inside.len() + let_in + seen.0, running);
            }
            drop((model, inside));
            prop_assert_eq!(seen(&fair), (running, 0, 0));
        }

        #[test]
        fn while_a_key_waits_no_other_has_two_turns(counts in vec(1..8_usize, 2..6), later in vec((0..30_usize, 0..6_u8), 0..20)) {
            let fair = Fair::new(1);
            let mut inside = Some(enters(&fair, 0));
            let mut waiting = Vec::new();
            for (key, count) in (0..).zip(counts) {
                waiting.extend((0..count).map(|_| (key, waits(&fair, key))));
            }
            // How many turns the others have had since each key has waited, or had its own.
            let mut had: HashMap<Key, HashMap<Key, usize>> = HashMap::new();
            for turn in 0.. {
                for &(_, key) in later.iter().filter(|(when, _)| *when == turn) {
                    if let Err(entering) = Entering::new(&fair, key) {
                        waiting.push((key, entering));
                    }
                }
                drop(inside.take());
                let mut whose = None;
                waiting.retain_mut(|(key, entering)| match entering.look() {
                    Some(permit) => {
                        (whose, inside) = (Some(*key), Some(permit));
                        false
                    }
                    None => true,
                });
                let Some(whose) = whose else { break };
                had.insert(whose, HashMap::new());
                had.retain(|key, _| waiting.iter().any(|(waits, _)| waits == key));
                for (key, _) in &waiting {
                    had.entry(*key).or_default();
                }
                for (key, turns) in &mut had {
                    if *key != whose {
                        let count = turns.entry(whose).or_default();
                        *count += 1;
                        prop_assert!(*count < 2, "{} had two turns while {} waited", whose, key);
                    }
                }
            }
        }
    }
}
