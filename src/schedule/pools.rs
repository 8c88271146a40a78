//! What running nodes share: job slots, processors, memory, and resources of the user's own.

use std::collections::BTreeMap;

/// What a node reserves while it runs, by resource.
pub type Request = BTreeMap<String, u64>;

/// Capacities, and how much of each is taken.
pub struct Pools {
    slots: usize,
    capacity: BTreeMap<String, u64>,
    taken: BTreeMap<String, u64>,
    running: usize,
}

impl Pools {
    /// `slots` nodes may run at once, within the given capacities.
    pub fn new(slots: usize, capacity: BTreeMap<String, u64>) -> Self {
        Self { slots, capacity, taken: BTreeMap::new(), running: 0 }
    }

    /// Why `request` can never be met, if so.
    pub fn check(&self, request: &Request) -> Result<(), String> {
        for (name, amount) in request {
            match self.capacity.get(name) {
                None => {
                    return Err(format!(
                        "it asks for {amount} of the resource `{name}`, which nobody provides: \
                         add `{name} = N` to [resources], or give --resource {name}=N"
                    ));
                }
                Some(capacity) if capacity < amount => {
                    let (amount, capacity) = (shown(name, *amount), shown(name, *capacity));
                    return Err(format!("it asks for {amount} of `{name}`, and there are only {capacity}"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    pub fn has_slot(&self) -> bool {
        self.running < self.slots
    }

    /// Whether `request` can be met now.
    pub fn fits(&self, request: &Request) -> bool {
        self.has_slot() && self.lacks(request).is_none()
    }

    /// A resource of which less is free now than `request` says.
    pub fn lacks<'r>(&self, request: &'r Request) -> Option<&'r str> {
        let lacking = request.iter().find(|(name, amount)| {
            let capacity = self.capacity.get(*name).copied().unwrap_or(0);
            let taken = self.taken.get(*name).copied().unwrap_or(0);
            taken.checked_add(**amount).is_none_or(|sum| sum > capacity)
        });
        lacking.map(|(name, _)| name.as_str())
    }

    /// Takes what [`Pools::fits`].
    pub fn take(&mut self, request: &Request) {
        self.running += 1;
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
    pub fn give_back(&mut self, request: &Request) {
        self.running = self.running.saturating_sub(1);
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
