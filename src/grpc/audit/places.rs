//! How many watches are open, and whose they are.
//!
//! INVARIANT: at most [`MAX_OF_ONE`] of one caller and [`MAX_IN_ALL`] in all. A
//! place is given back when it is dropped.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tonic::Status;

use crate::change::Actor;

/// The most watches of one caller.
const MAX_OF_ONE: usize = 8;
/// The most watches of all callers together.
const MAX_IN_ALL: usize = 64;

/// The places that are taken, by whom. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Places(Arc<Mutex<HashMap<Actor, usize>>>);

/// The place of one watch.
pub(super) struct Place {
    places: Places,
    actor: Actor,
}

impl Places {
    /// A place for a watch of `actor`.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED
    pub(super) fn take(&self, actor: Actor) -> Result<Place, Status> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.get(&actor).copied().unwrap_or_default();
        if own >= MAX_OF_ONE {
            return Err(Status::resource_exhausted(format!(
                "this caller has {own} watches open, the most that one may have: end one of them, \
                 or watch once with a wider filter"
            )));
        }
        let all: usize = taken.values().sum();
        if all >= MAX_IN_ALL {
            return Err(Status::resource_exhausted(format!(
                "{all} watches are open, the most that there may be: end one of them, try again \
                 later, or list the events instead"
            )));
        }
        taken.insert(actor, own + 1);
        Ok(Place { places: self.clone(), actor })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.get(&self.actor).copied().unwrap_or_default();
        if own > 1 {
            taken.insert(self.actor, own - 1);
        } else {
            taken.remove(&self.actor);
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;
    use crate::token::KeyId;

    #[test]
    fn all_callers_together_have_as_many_as_there_are_and_get_them_back() {
        let places = Places::default();
        let callers: Vec<_> = (0..9).map(|_| Actor::Key(KeyId::generate().unwrap())).collect();
        let mut held = Vec::new();
        for actor in &callers[..8] {
            held.extend((0..MAX_OF_ONE).map(|_| places.take(*actor).unwrap()));
        }
        let refused = places.take(callers[8]).err().unwrap();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert!(refused.message().contains("64 watches"), "{refused}");
        held.pop();
        held.push(places.take(callers[8]).unwrap());
        assert!(places.take(callers[7]).is_err());
        held.clear();
        assert!(places.0.lock().unwrap().is_empty());
    }
}
