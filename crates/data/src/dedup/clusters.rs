//! Clusters of documents: disjoint sets (Galler and Fischer 1964) over their numbers.

/// Which documents belong together. 4 bytes a document, 8 with sizes.
pub(crate) struct Clusters {
    parents: Vec<u32>,
    /// Sizes of the sets at their roots, where union is by size.
    sizes: Option<Vec<u32>>,
}

impl Clusters {
    /// Bytes of memory for each document.
    pub(crate) const BYTES: u64 = 8;

    /// Each of `count` documents by itself. With `by_size` the root of the larger set (of equal
    /// ones, the first argument's) becomes the root of both; without, the smaller number does.
    pub(crate) fn new(count: u32, by_size: bool) -> Self {
        let sizes = by_size.then(|| vec![1; count as usize]);
        Self { parents: (0..count).collect(), sizes }
    }

    /// The root of the set that `document` is in.
    pub(crate) fn root(&mut self, document: u32) -> u32 {
        let mut at = document;
        while self.parents[at as usize] != at {
            let next = self.parents[at as usize];
            self.parents[at as usize] = self.parents[next as usize];
            at = next;
        }
        at
    }

    /// Puts the sets of both together.
    pub(crate) fn join(&mut self, left: u32, right: u32) {
        let (left, right) = (self.root(left), self.root(right));
        if left == right {
            return;
        }
        let (root, child) = match &mut self.sizes {
            Some(sizes) => {
                let (ours, theirs) = (sizes[left as usize], sizes[right as usize]);
                let (root, child) = if ours < theirs { (right, left) } else { (left, right) };
                sizes[root as usize] = ours + theirs;
                (root, child)
            }
            None => (left.min(right), left.max(right)),
        };
        self.parents[child as usize] = root;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_the_first_or_that_of_the_larger_set() {
        let (mut first, mut sized) = (Clusters::new(6, false), Clusters::new(6, true));
        for (left, right) in [(4, 5), (2, 4), (5, 2), (0, 4)] {
            first.join(left, right);
            sized.join(left, right);
        }
        assert_eq!([0, 1, 2, 3, 4, 5].map(|document| first.root(document)), [0, 1, 0, 3, 0, 0]);
        assert_eq!([0, 1, 2, 3, 4, 5].map(|document| sized.root(document)), [4, 1, 4, 3, 4, 4]);
    }
}
