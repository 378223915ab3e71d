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
