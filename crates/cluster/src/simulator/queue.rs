//! The events of the world that are still to come, in the order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A queue. Items stay at their places while the order of times changes, since they are many times as large.
#[derive(Debug)]
pub(super) struct Queue<T> {
    /// Times, the sequence numbers that tell equal ones apart, and places.
    order: BinaryHeap<Reverse<(u64, u64, usize)>>,
    items: Vec<Option<T>>,
    free: Vec<usize>,
    sequence: u64,
    /// The sequence number of the item that was taken last.
    taken: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { order: BinaryHeap::new(), items: Vec::new(), free: Vec::new(), sequence: 0, taken: 0 }
    }
}

impl<T> Queue<T> {
    /// Adds an item behind those of the same time.
    pub(super) fn push(&mut self, at: u64, item: T) {
        self.sequence += 1;
        self.insert(at, self.sequence, item);
    }

    /// Puts off an item that was taken last, which stays before those that were added after it.
    pub(super) fn put_off(&mut self, at: u64, item: T) {
        self.insert(at, self.taken, item);
    }

    /// Takes the first item with its time.
    pub(super) fn pop(&mut self) -> Option<(u64, T)> {
        let Reverse((at, sequence, place)) = self.order.pop()?;
        self.taken = sequence;
        self.free.push(place);
        let item = self.items.get_mut(place)?.take()?;
        Some((at, item))
    }

    fn insert(&mut self, at: u64, sequence: u64, item: T) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.items.push(None);
            self.items.len() - 1
        });
        if let Some(free) = self.items.get_mut(place) {
            *free = Some(item);
        }
        self.order.push(Reverse((at, sequence, place)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_in_the_order_of_time_and_then_of_their_pushes() {
        let mut queue = Queue::default();
        for (at, item) in [(5, 'a'), (3, 'b'), (5, 'c')] {
            queue.push(at, item);
        }
        assert_eq!(queue.pop(), Some((3, 'b')));
        queue.push(5, 'd');
        queue.push(1, 'e');
        let rest: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(rest, [(1, 'e'), (5, 'a'), (5, 'c'), (5, 'd')]);
    }

    #[test]
    fn item_that_is_put_off_again_stays_before_later_ones() {
        let mut queue = Queue::default();
        queue.push(1, 'a');
        assert_eq!(queue.pop(), Some((1, 'a')));
        queue.put_off(5, 'a');
        queue.push(9, 'b');
        assert_eq!(queue.pop(), Some((5, 'a')));
        queue.put_off(9, 'a');
        assert_eq!([queue.pop(), queue.pop()], [Some((9, 'a')), Some((9, 'b'))]);
    }
}
