//! From the mean of a text's rows to probabilities of labels.

use super::matrix::Matrix;
use super::read::MAX_COUNT;

/// How scores become probabilities, with fastText's number for it.
pub(super) enum Loss {
    /// 1, hierarchical softmax.
    Tree(Tree),
    /// 2 and 4, each label by itself (trained with negative samples, or one against all).
    Sigmoid(Vec<f32>),
    /// 3.
    Softmax,
}

/// Entries of the table of the sigmoid between -8 and 8.
const SIGMOIDS: usize = 512;
const MAX_SIGMOID: f32 = 8.0;

/// As fastText takes it.
fn log(probability: f32) -> f32 {
    (f64::from(probability) + 1e-5).ln() as f32
}

/// Takes a label with the logarithm of its probability; labels below what it gives back are not
/// looked for.
pub(super) type Take<'a> = dyn FnMut(usize, f32) -> f32 + 'a;

impl Loss {
    /// The loss that a file's settings name, for labels that are so frequent.
    pub(super) fn new(number: i32, counts: &[i64]) -> Option<Self> {
        match number {
            1 => Some(Self::Tree(Tree::new(counts))),
            2 | 4 => {
                let at = |index: usize| {
                    (index as f32 * 2.0 * MAX_SIGMOID) / SIGMOIDS as f32 - MAX_SIGMOID
                };
                let sigmoid = |x: f32| (1.0 / (1.0 + f64::from((-x).exp()))) as f32;
                Some(Self::Sigmoid((0..=SIGMOIDS).map(|index| sigmoid(at(index))).collect()))
            }
            3 => Some(Self::Softmax),
            _ => None,
        }
    }

    /// Gives labels with the logarithms of their probabilities to `take`.
    pub(super) fn visit(&self, output: &Matrix, hidden: &[f32], take: &mut Take<'_>) {
        let scores = || (0..output.rows()).map(|row| output.dot(row, hidden));
        match self {
            Self::Tree(tree) => tree.visit(output, hidden, take),
            Self::Sigmoid(table) => scores().enumerate().for_each(|(label, score)| {
                take(label, log(sigmoid(table, score)));
            }),
            Self::Softmax => {
                let mut scores: Vec<f32> = scores().collect();
                softmax(&mut scores);
                for (label, probability) in scores.into_iter().enumerate() {
                    take(label, log(probability));
                }
            }
        }
    }
}

/// Scores to probabilities.
pub(super) fn softmax(scores: &mut [f32]) {
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|score| *score = (*score - highest).exp());
    let sum: f32 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= sum);
}

fn sigmoid(table: &[f32], score: f32) -> f32 {
    if score < -MAX_SIGMOID {
        0.0
    } else if score > MAX_SIGMOID {
        1.0
    } else {
        let at = (score + MAX_SIGMOID) * SIGMOIDS as f32 / MAX_SIGMOID / 2.0;
        table[at as usize]
    }
}

/// A Huffman tree over labels; its inner nodes are rows of the output.
pub(super) struct Tree {
    /// Both children of each inner node; numbers below `labels` are leaves.
    children: Vec<[usize; 2]>,
    labels: usize,
}

impl Tree {
    /// The tree over labels, of which the most frequent are first. They weigh together less than
    /// a node that is not made yet, so no such node is a child.
    fn new(counts: &[i64]) -> Self {
        let labels = counts.len();
        let mut weights = counts.to_vec();
        let (mut children, mut node) = (Vec::new(), labels);
        let mut leaves = (0..labels).rev().peekable();
        while weights.len() < 2 * labels - 1 {
            let weigh = |node: usize| weights.get(node).copied().unwrap_or(MAX_COUNT);
            let pair = [(); 2].map(|()| match leaves.next_if(|&leaf| weigh(leaf) < weigh(node)) {
                Some(leaf) => leaf,
                None => {
                    node += 1;
                    node - 1
                }
            });
            weights.push(weigh(pair[0]).saturating_add(weigh(pair[1])));
            children.push(pair);
        }
        Self { children, labels }
    }

    fn visit(&self, output: &Matrix, hidden: &[f32], take: &mut Take<'_>) {
        let mut floor = log(0.0);
        let mut open = vec![(2 * self.labels - 2, 0.0_f32)];
        while let Some((node, score)) = open.pop() {
            if score < floor {
                continue;
            }
            if node < self.labels {
                floor = floor.max(take(node, score));
                continue;
            }
            let dot = output.dot(node - self.labels, hidden);
            let right = (1.0 / f64::from(1.0 + (-dot).exp())) as f32;
            let left = (1.0 - f64::from(right)) as f32;
            let [at_left, at_right] = self.children[node - self.labels];
            open.push((at_right, score + log(right)));
            open.push((at_left, score + log(left)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_labels_lie_deep_and_every_label_is_a_leaf() {
        let tree = Tree::new(&[50, 30, 10, 5, 5]);
        // 5 + 5, 10 + 10, 20 + 30, 50 + 50.
        assert_eq!(tree.children, [[4, 3], [5, 2], [6, 1], [7, 0]]);
        assert!(Tree::new(&[7]).children.is_empty());
    }

    #[test]
    fn probabilities_of_a_tree_add_up_to_one() {
        let tree = Tree::new(&[9, 5, 3, 3, 1]);
        let output = Matrix::new(2, (0..10).map(|value| 0.3 * value as f32 - 1.0).collect());
        let mut sum = 0.0;
        tree.visit(&output, &[0.7, -0.2], &mut |_, score| {
            sum += score.exp();
            f32::NEG_INFINITY
        });
        assert!((sum - 1.0).abs() < 1e-3, "{sum}");
    }
}
