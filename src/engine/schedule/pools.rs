//! What running nodes share: job slots, processors, memory, and resources of the user's own.

use std::collections::BTreeMap;

/// What a node reserves while it runs, by resource.
pub type Reservation = BTreeMap<String, u64>;

/// What a reservation's amount of 1 job is called that runs elsewhere, before the name of its executor. No resource of a user
/// has a space in its name.
pub const ELSEWHERE: &str = "executor ";

/// Whether a request takes no slot of this machine.
fn is_elsewhere(request: &Reservation) -> bool {
    request.keys().any(|name| name.starts_with(ELSEWHERE))
}

/// A request that can never be met.
#[derive(Debug, PartialEq, Eq)]
pub struct Unmet {
    pub resource: String,
    /// The rest of a sentence about who asks.
    pub message: String,
    /// How to mend it.
    pub help: String,
}

/// Capacities, and how much of each is taken.
pub struct Pools {
    slots: usize,
    capacity: BTreeMap<String, u64>,
    taken: BTreeMap<String, u64>,
    running: usize,
    /// Whether some requests take no slot.
    elsewhere: bool,
}

impl Pools {
    /// `slots` nodes may run at once, within the given capacities.
    pub fn new(slots: usize, capacity: BTreeMap<String, u64>) -> Self {
        let elsewhere = is_elsewhere(&capacity);
        Self { slots, capacity, taken: BTreeMap::new(), running: 0, elsewhere }
    }

    /// Why `request` can never be met: each resource of which there is less than it asks for. A request for 0 always
    /// fits, also without a provider.
    pub fn unmet(&self, request: &Reservation) -> Vec<Unmet> {
        let unmet = |(name, amount): (&String, &u64)| match self.capacity.get(name) {
            None => Some(Unmet {
                resource: name.clone(),
                message: format!("it asks for {amount} of the resource `{name}`, which is not provided"),
                help: format!("add `{name} = N` to [resources], or give --resource {name}=N"),
            }),
            Some(capacity) if capacity < amount => {
                let (amount, capacity) = (shown(name, *amount), shown(name, *capacity));
                Some(Unmet {
                    resource: name.clone(),
                    message: format!("it asks for {amount} of `{name}`, and there are only {capacity}"),
                    help: format!("ask for less, or say that there is more with --resource {name}=N"),
                })
            }
            Some(_) => None,
        };
        request.iter().filter(|(_, amount)| **amount > 0).filter_map(unmet).collect()
    }

    pub fn has_slot(&self) -> bool {
        self.running < self.slots
    }

    /// Whether a request may be met now.
    pub fn may_fit(&self) -> bool {
        self.has_slot() || self.elsewhere
    }

    /// Whether `request` can be met now.
    pub fn fits(&self, request: &Reservation) -> bool {
        (self.has_slot() || self.elsewhere && is_elsewhere(request)) && self.lacks(request).is_none()
    }

    /// A resource of which less is free now than `request` says.
    pub fn lacks<'r>(&self, request: &'r Reservation) -> Option<&'r str> {
        let lacking = request.iter().find(|(name, amount)| {
            let capacity = self.capacity.get(*name).copied().unwrap_or(0);
            let taken = self.taken.get(*name).copied().unwrap_or(0);
            taken.checked_add(**amount).is_none_or(|sum| sum > capacity)
        });
        lacking.map(|(name, _)| name.as_str())
    }

    /// Takes what [`Pools::fits`].
    pub fn take(&mut self, request: &Reservation) {
        self.running += usize::from(!(self.elsewhere && is_elsewhere(request)));
        for (name, amount) in request {
            match self.taken.get_mut(name) {
                Some(taken) => *taken += amount,
                None => {
                    self.taken.insert(name.clone(), *amount);
                }
            }
        }
    }

    /// The opposite of [`Pools::take`].
    pub fn give_back(&mut self, request: &Reservation) {
        if !(self.elsewhere && is_elsewhere(request)) {
            self.running = self.running.saturating_sub(1);
        }
        for (name, amount) in request {
            if let Some(taken) = self.taken.get_mut(name) {
                *taken = taken.saturating_sub(*amount);
            }
        }
    }
}

fn shown(name: &str, amount: u64) -> String {
    match name {
        "memory" => bytesize::ByteSize(amount).to_string(),
        _ => amount.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pools(slots: usize) -> Pools {
        Pools::new(slots, BTreeMap::from([("cpus".to_owned(), 4)]))
    }

    fn request(name: &str, amount: u64) -> Reservation {
        BTreeMap::from([(name.to_owned(), amount)])
    }

    #[test]
    fn what_runs_elsewhere_takes_no_slot() {
        let mut pools = Pools::new(1, BTreeMap::from([("cpus".into(), 4), ("executor cl".into(), 2)]));
        pools.take(&request("cpus", 1));
        assert!(!pools.has_slot() && pools.may_fit() && !pools.fits(&request("cpus", 1)));
        pools.take(&request("executor cl", 1));
        assert!(pools.fits(&request("executor cl", 1)));
        pools.take(&request("executor cl", 1));
        assert!(!pools.fits(&request("executor cl", 1)));
        pools.give_back(&request("executor cl", 1));
        assert!(pools.fits(&request("executor cl", 1)) && !pools.has_slot());
    }

    #[test]
    fn what_can_never_be_met_is_told() {
        let pools = pools(1);
        assert_eq!(pools.unmet(&request("cpus", 4)), []);
        assert_eq!(pools.unmet(&request("gpus", 0)), []);
        let both = BTreeMap::from([("cpus".to_owned(), 5), ("gpus".to_owned(), 1)]);
        let [cpus, gpus] = &pools.unmet(&both)[..] else { panic!("{:?}", pools.unmet(&both)) };
        assert_eq!(cpus.message, "it asks for 5 of `cpus`, and there are only 4");
        assert!(gpus.message.contains("which is not provided"), "{gpus:?}");
        assert!(gpus.help.starts_with("add `gpus = N` to [resources]"), "{gpus:?}");
    }

    #[test]
    fn slots_and_amounts_are_bounds_and_come_back() {
        let mut pools = pools(2);
        pools.take(&request("cpus", 3));
        assert_eq!(pools.lacks(&request("cpus", 2)), Some("cpus"));
        assert_eq!(pools.lacks(&request("cpus", u64::MAX)), Some("cpus"));
        assert!(pools.fits(&request("cpus", 1)) && pools.fits(&request("gpus", 0)));
        pools.take(&Reservation::new());
        assert!(!pools.has_slot() && !pools.fits(&Reservation::new()));
        pools.give_back(&request("cpus", 3));
        assert!(pools.fits(&request("cpus", 4)));
    }
}
