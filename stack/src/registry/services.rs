//! The answer to a lookup. It knows nothing of where it comes from.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::Service;

/// The answer to a lookup: shared, so that a cache hit copies nothing. Clones count together as long as nobody sets them
/// [`apart`](Self::apart).
#[derive(Clone, PartialEq, Eq)]
pub struct Services {
    counted: Arc<Counted>,
}

/// Alone on its line of memory, which is written to whenever the answer is handed out.
#[derive(PartialEq, Eq)]
#[repr(align(64))]
struct Counted {
    services: Arc<[Service]>,
}

impl Services {
    /// The same answer with a count of its own: two threads that hand out one answer each write to memory of their own.
    #[must_use]
    pub fn apart(&self) -> Self {
        self.counted.services.clone().into()
    }

    /// Whether it is the same answer, and not only an equal one.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.counted.services, &other.counted.services)
    }
}

impl Deref for Services {
    type Target = [Service];

    #[inline]
    fn deref(&self) -> &[Service] {
        &self.counted.services
    }
}

impl Default for Services {
    fn default() -> Self {
        Arc::<[Service]>::default().into()
    }
}

impl From<Arc<[Service]>> for Services {
    fn from(services: Arc<[Service]>) -> Self {
        Self { counted: Arc::new(Counted { services }) }
    }
}

impl From<Vec<Service>> for Services {
    fn from(services: Vec<Service>) -> Self {
        Arc::<[Service]>::from(services).into()
    }
}

impl FromIterator<Service> for Services {
    fn from_iter<I: IntoIterator<Item = Service>>(services: I) -> Self {
        services.into_iter().collect::<Arc<[Service]>>().into()
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Services;
    use crate::registry::Service;

    #[test]
    fn an_answer_that_is_set_apart_is_the_same_and_counts_for_itself() {
        let services: Services = vec![Service { name: "user".into(), ..Service::default() }].into();
        let apart = services.apart();
        assert!(services.is_same(&apart) && services.is_same(&services.clone()) && services == apart);
        let held = [services.clone(), services.clone()];
        assert_eq!((Arc::strong_count(&services.counted), Arc::strong_count(&apart.counted)), (3, 1));
        let equal: Services = services.iter().cloned().collect();
        assert!(equal == services && !equal.is_same(&services));
        drop(held);
    }
}
